//! One connection to PostgreSQL: our dial, our TLS, a deadline for every call. Nothing is kept in its session: no named
//! statement, no setting, no lock, so that PgBouncer may give each call another one.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::options::FleetOptions;
use crate::names::HostPort;
use crate::secret::Secret;
use crate::transport::dial::Dialer;
use crate::transport::tls;

/// The longest one call may take.
const CALL: Duration = Duration::from_secs(2);
/// The longest one host may take to be connected to, with TLS and sign-in.
const CONNECT: Duration = Duration::from_secs(5);

/// A password as it is now, or `None` where none is used; or a sentence that says why it cannot be had.
pub type Password = Result<Option<Secret<String>>, String>;
/// Whoever gives the password: asked at each connection.
pub type PasswordSource = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Password> + Send>> + Send + Sync>;

/// How the engine is reached.
#[derive(Clone)]
pub struct Reach {
    /// Past any proxy.
    pub dialer: Dialer,
    /// Roots, and the client certificate where there is one.
    pub tls: Arc<ClientConfig>,
    /// The role's password.
    pub password: PasswordSource,
}

/// A call came to nothing: a sentence, fit for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What failed.
    pub words: String,
    /// What to do about it; empty where the words say it.
    pub fix: &'static str,
}

impl Failed {
    pub(super) fn new(words: impl Into<String>, fix: &'static str) -> Self {
        Self { words: words.into(), fix }
    }
}

/// What to do where nothing answers.
const LOOK: &str = "Look whether PostgreSQL runs there and is reached: host and port in MAILSHIM_FLEET, firewall and network policy \
                    (it is never proxied).";
/// What to do where only standbys answer.
const WRITABLE: &str = "Name the primary in MAILSHIM_FLEET, or all hosts by commas.";
/// What to do about a certificate.
const ROOT: &str = "Give the root of its certificate in MAILSHIM_CA_FILE, and in MAILSHIM_FLEET the name that stands in the certificate.";

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)?;
        match self.fix {
            "" => Ok(()),
            fix => write!(f, "; {fix}"),
        }
    }
}

/// A parameter with its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) struct Engine {
    hosts: Vec<HostPort>,
    user: String,
    database: String,
    reach: Reach,
    connection: Mutex<Option<Arc<Connection>>>,
    /// Why the last one was given up.
    failed: Mutex<Option<Failed>>,
    /// The connection has become useless.
    pub(super) lost: Notify,
}

/// What a server said of itself when it was connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// Host and port.
    pub host: String,
    /// PostgreSQL's version.
    pub version: String,
    /// It survives a crash: `fsync = on`.
    pub fsync: bool,
    /// The standbys that a commit waits for; empty for none.
    pub synchronous: String,
    /// Where the WAL is written: it changes with each failover.
    pub timeline: String,
    /// The schema's version; `None` where there is no schema that this role can read.
    pub schema: Option<i32>,
}

pub(super) struct Connection {
    client: Client,
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    pub(super) fn new(options: &FleetOptions, reach: Reach) -> Self {
        Self {
            hosts: options.hosts.clone(),
            user: options.user.clone(),
            database: options.database.clone(),
            reach,
            connection: Mutex::default(),
            failed: Mutex::default(),
            lost: Notify::new(),
        }
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects to the first host that takes writes, and keeps that connection for calls.
    pub(super) async fn connect(&self, schema: &str) -> Result<ServerFacts, Failed> {
        let (mut problems, mut fix) = (Vec::new(), LOOK);
        for host in &self.hosts {
            let connected = timeout(CONNECT, self.connect_to(host, schema)).await;
            match connected.unwrap_or_else(|_| {
                Err(Failed::new(format!("no answer within {} s", CONNECT.as_secs()), LOOK))
            }) {
                Ok((connection, facts)) => {
                    *self.current() = Some(Arc::new(connection));
                    return Ok(facts);
                }
                Err(problem) => {
                    problems.push(format!("{host}: {}", problem.words));
                    fix = problem.fix;
                }
            }
        }
        Err(Failed::new(problems.join("; "), fix))
    }

    async fn connect_to(&self, host: &HostPort, schema: &str) -> Result<(Connection, ServerFacts), Failed> {
        let password = (self.reach.password)().await.map_err(|words| Failed::new(words, ""))?;
        let wire = self.reach.dialer.connect_by_search(&host.host, host.port).await;
        let wire = wire.map_err(|fault| Failed::new(fault.to_string(), LOOK))?;
        let mut config = Config::new();
        config
            .user(&self.user)
            .dbname(&self.database)
            .application_name("mailshim")
            .ssl_mode(SslMode::Require);
        if let Some(password) = &password {
            config.password(password.expose());
        }
        let secured = Tls { config: Arc::clone(&self.reach.tls), host: host.host.clone() };
        let (client, connection) = config.connect_raw(wire, secured).await.map_err(|error| said(&error))?;
        // It ends when the client is dropped or the server goes; a call tells why.
        let task = tokio::spawn(async move { drop(connection.await) });
        let connection = Connection { client, task };
        let facts = connection.facts(host, schema).await?;
        Ok((connection, facts))
    }

    /// One round trip. Whatever fails costs the connection: a call that was given up may still be under way in it.
    pub(super) async fn call(&self, sql: &str, parameters: &[Parameter<'_>]) -> Result<Vec<Row>, Failed> {
        let connection = self.current().clone();
        let connection = connection.ok_or_else(|| Failed::new("there is no connection", LOOK))?;
        let called = timeout(CALL, connection.client.query_typed(sql, parameters)).await;
        let failed = match called {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => said(&error),
            Err(_) => Failed::new(format!("no answer within {} s", CALL.as_secs()), LOOK),
        };
        self.drop_connection(&connection, &failed);
        Err(failed)
    }

    /// Why there is no connection any more, if so.
    pub(super) fn why_lost(&self) -> Option<Failed> {
        match &*self.current() {
            Some(_) => None,
            None => {
                Some(self.failed().clone().unwrap_or_else(|| Failed::new("there is no connection", LOOK)))
            }
        }
    }

    fn failed(&self) -> MutexGuard<'_, Option<Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the connection up.
    pub(super) fn disconnect(&self) {
        *self.current() = None;
    }

    fn drop_connection(&self, which: &Arc<Connection>, failed: &Failed) {
        *self.failed() = Some(failed.clone());
        let mut connection = self.current();
        if connection.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, which)) {
            *connection = None;
            self.lost.notify_one();
        }
    }

    /// Runs a script of several statements, for `init`.
    pub(super) async fn run(&self, script: &str) -> Result<(), Failed> {
        let connection = self.current().clone();
        let connection = connection.ok_or_else(|| Failed::new("there is no connection", LOOK))?;
        connection.client.batch_execute(script).await.map_err(|error| said(&error))
    }
}

impl Connection {
    async fn facts(&self, host: &HostPort, schema: &str) -> Result<ServerFacts, Failed> {
        let row = self.client.query_typed_one(
            "select current_setting('server_version'), current_setting('fsync') = 'on', \
             current_setting('synchronous_standby_names'), \
             pg_is_in_recovery() or current_setting('transaction_read_only') = 'on', \
             case when pg_is_in_recovery() then '' else substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) end, \
             case when not exists (select from pg_namespace where nspname = $2) then false \
                      when not has_schema_privilege($2, 'usage') then false \
                      else to_regclass($1) is not null and has_table_privilege(to_regclass($1), 'select') end",
            &[(&format!("{schema}.meta"), Type::TEXT), (&schema, Type::TEXT)],
        ).await.map_err(|error| said(&error))?;
        if row.get(3) {
            return Err(Failed::new("it is read-only (a standby)", WRITABLE));
        }
        let schema = match row.get(5) {
            true => {
                let sql = format!("select version from {schema}.meta");
                let meta = self.client.query_typed_opt(&sql, &[]).await.map_err(|error| said(&error))?;
                meta.map(|row| row.get(0))
            }
            false => None,
        };
        Ok(ServerFacts {
            host: host.to_string(),
            version: row.get(0),
            fsync: row.get(1),
            synchronous: row.get(2),
            timeline: row.get(4),
            schema,
        })
    }
}

/// The server's words, or the library's; neither holds a password.
fn said(error: &tokio_postgres::Error) -> Failed {
    if let Some(error) = error.as_db_error() {
        return Failed::new(format!("{} ({})", error.message(), error.code().code()), fix_of(error.code()));
    }
    let mut words = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    // Ours is the only layer that answers with a kind of error of its own: the handshake's.
    Failed::new(words, if is_handshake(error) { ROOT } else { LOOK })
}

fn is_handshake(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::InvalidData)
}

/// What to do about an error of the server's, by its code alone.
fn fix_of(code: &SqlState) -> &'static str {
    match *code {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "Check the role in MAILSHIM_FLEET and its MAILSHIM_FLEET_PASSWORD (or certificate, or the Entra role of that name), and \
             that pg_hba.conf lets it in over TLS."
        }
        SqlState::INVALID_CATALOG_NAME => "Make the database, or name another one in MAILSHIM_FLEET.",
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "Grant the role USAGE on the schema, EXECUTE on its functions and DML on its tables: mailshim fleet init prints how."
        }
        SqlState::UNDEFINED_FUNCTION | SqlState::UNDEFINED_TABLE | SqlState::INVALID_SCHEMA_NAME => {
            "Run mailshim fleet init as the schema's owner."
        }
        SqlState::TOO_MANY_CONNECTIONS => {
            "Raise max_connections, or put PgBouncer in front: each replica holds one connection."
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => WRITABLE,
        _ => "",
    }
}

/// Our handshake, as tokio-postgres wants it. SCRAM runs without channel binding: it is inside TLS with a verified name.
struct Tls {
    config: Arc<ClientConfig>,
    host: String,
}

struct Secured(tokio_rustls::client::TlsStream<TcpStream>);

impl TlsConnect<TcpStream> for Tls {
    type Stream = Secured;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let secured = tls::handshake(&self.config, &self.host, stream, CONNECT).await;
            secured
                .map(Secured)
                .map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault.to_string()))
        })
    }
}

impl TlsStream for Secured {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
