//! What mailshim is compared with: a client that an app could have had in itself. It keeps its own TLS connection to
//! the same upstream, and sends MAIL, RCPT and the content in one write, as mailshim does.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use office365::Office365;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::dialogue::Dialogue;

/// Messages over one connection, as in mailshim: both pay for a new one equally often.
pub const MESSAGES_PER_CONNECTION: u32 = 20;
/// The longest that any reply may take: what hangs ends the benchmark.
pub const PATIENCE: Duration = Duration::from_secs(60);

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// What is needed to open connections.
#[derive(Clone)]
pub struct Account {
    upstream: SocketAddr,
    tls: Arc<ClientConfig>,
    sign_in: Arc<str>,
}

/// A signed-in connection that is opened again after every 20 messages.
pub struct Direct {
    account: Account,
    dialogue: Dialogue<Tls>,
    messages: u32,
}

impl Account {
    /// Obtains a token from the simulator.
    pub fn new(office365: &Office365) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(office365.ca_pem().as_bytes())
            .map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Arc::new(tls);
        let env: std::collections::HashMap<String, String> = office365.env().into_iter().collect();
        let of = |name: &str| env.get(name).map(String::as_str).unwrap_or_default();
        let token = token(&tls, office365.https_addr(), &of)?;
        let mailbox = of("MAILSHIM_MAILBOX");
        let response = BASE64_STANDARD.encode(format!("user={mailbox}\x01auth=Bearer {token}\x01\x01"));
        let sign_in = format!("AUTH XOAUTH2 {response}").into();
        Ok(Self { upstream: office365.smtp_addr(), tls, sign_in })
    }
}

fn handshake(tls: &Arc<ClientConfig>, tcp: TcpStream) -> Result<Tls, String> {
    let name = ServerName::try_from("localhost").map_err(|error| error.to_string())?;
    let connection = ClientConnection::new(Arc::clone(tls), name).map_err(|error| error.to_string())?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| format!("TLS: {error}"))?;
    }
    Ok(stream)
}

/// A loopback connection whose every reply is waited for.
pub fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let connect = || -> std::io::Result<TcpStream> {
        let tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        Ok(tcp)
    };
    connect().map_err(|error| format!("cannot connect to {address}: {error}"))
}

fn token<'a>(
    tls: &Arc<ClientConfig>,
    address: SocketAddr,
    of: &dyn Fn(&str) -> &'a str,
) -> Result<String, String> {
    let form: String = form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", "client_credentials")
        .append_pair("client_id", of("MAILSHIM_CLIENT_ID"))
        .append_pair("client_secret", of("MAILSHIM_CLIENT_SECRET"))
        .append_pair("scope", "https://outlook.office365.com/.default")
        .finish();
    let mut stream = handshake(tls, connect(address)?)?;
    let request = format!(
        "POST /{}/oauth2/v2.0/token HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        of("MAILSHIM_TENANT_ID"),
        form.len(),
    );
    let mut answer = Vec::new();
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    // The end may come without close_notify; what counts is whether a whole answer is there.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let json: serde_json::Value = serde_json::from_str(body).map_err(|error| format!("no token: {error}"))?;
    json["access_token"].as_str().map(str::to_owned).ok_or_else(|| "no token in the answer".to_string())
}

impl Direct {
    /// Opens a connection.
    pub fn open(account: &Account) -> Result<Self, String> {
        Ok(Self { account: account.clone(), dialogue: sign_in(account)?, messages: 0 })
    }

    /// Opens a new connection if this one has taken its last message; `mail` does it by itself, within its time.
    pub fn renew(&mut self) -> Result<(), String> {
        if self.messages >= MESSAGES_PER_CONNECTION {
            self.dialogue.ask("QUIT", "221")?;
            (self.dialogue, self.messages) = (sign_in(&self.account)?, 0);
        }
        Ok(())
    }

    /// Sends one mail and waits for its verdict.
    pub fn mail(&mut self, content: &[u8]) -> Result<(), String> {
        self.renew()?;
        self.messages += 1;
        let size = content.len();
        let mut flight = format!(
            "MAIL FROM:<app@contoso.com> SIZE={size}\r\nRCPT TO:<someone@example.com>\r\nBDAT {size} LAST\r\n"
        )
        .into_bytes();
        flight.extend_from_slice(content);
        self.dialogue.write(&flight)?;
        (0..3).try_for_each(|_| self.dialogue.expect("250"))
    }
}

fn sign_in(account: &Account) -> Result<Dialogue<Tls>, String> {
    let mut clear = Dialogue::new(connect(account.upstream)?);
    clear.expect("220")?;
    clear.ask("EHLO benchmark.contoso.com", "250")?;
    clear.ask("STARTTLS", "220")?;
    let mut dialogue = Dialogue::new(handshake(&account.tls, clear.into_stream()?)?);
    dialogue.ask("EHLO benchmark.contoso.com", "250")?;
    dialogue.ask(&account.sign_in, "235")?;
    Ok(dialogue)
}
