//! A simulated Office 365: SMTP submission on one port, Entra's token endpoint on another, in a thread of its own.
//!
//! It is a peer written from OFFICE365.md and the RFCs, not from mailshim's code, and it is strict: what a client does that it
//! may not do is in [`Office365::violations`], which a test asserts to be empty.
//!
//! ```no_run
//! let office365 = office365::Office365::start(office365::Settings::default());
//! // … run a client with `office365.env()` …
//! let mails = office365.wait_taken(1, std::time::Duration::from_secs(5));
//! assert_eq!(mails[0].mailbox, "app@contoso.com");
//! assert_eq!(office365.violations(), Vec::<String>::new());
//! ```
//!
//! Dropping [`Office365`] stops everything: listeners, connections, thread, the CA file.

mod settings;
mod fault;
mod record;
mod tenant;
mod door;
mod pki;
mod smtp;
mod entra;
mod app_certificate;
pub mod wording;

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use door::Door;
use pki::Pki;
use tenant::Tenant;

pub use app_certificate::{AppCertificate, openssl};
pub use fault::{Fault, Stage, Times};
pub use record::{ConnectionStats, Line, Side, Stats, Taken, TokenRequest, Via, without_first_received};
pub use settings::{DeviceEnd, DeviceFlow, FederatedCredential, Settings, TlsSetup};

/// The running simulator.
pub struct Office365 {
    tenant: Arc<Tenant>,
    smtp: SocketAddr,
    https: SocketAddr,
    identity: SocketAddr,
    ca_pem: String,
    ca_file: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Office365 {
    /// Starts it; panics with the reason where that fails.
    pub fn start(settings: Settings) -> Office365 {
        assert!(!settings.host_names.is_empty(), "office365: host_names is empty");
        let pki = Pki::new();
        let smtp_tls = pki.server(&settings.host_names, settings.tls, settings.ask_client_certificate);
        let https_tls = pki.server(&settings.host_names, settings.https_tls, false);
        let ca_file = ca_file();
        std::fs::write(&ca_file, &pki.ca_pem)
            .unwrap_or_else(|e| panic!("office365: cannot write {}: {e}", ca_file.display()));
        let tenant = Arc::new(Tenant::new(settings));
        let (stop, stopped) = oneshot::channel();
        let (bound, addresses) = mpsc::channel();
        let shared = tenant.clone();
        let body = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("office365: a runtime");
            runtime.block_on(async {
                let (smtp, smtp_addr) = bind(&shared, shared.settings.smtp_port).await;
                let (https, https_addr) = bind(&shared, shared.settings.https_port).await;
                for listener in smtp {
                    tokio::spawn(accept(
                        listener,
                        |tenant| &tenant.smtp_door,
                        shared.clone(),
                        smtp_tls.clone(),
                        smtp::serve,
                    ));
                }
                for listener in https {
                    tokio::spawn(accept(
                        listener,
                        |tenant| &tenant.https_door,
                        shared.clone(),
                        https_tls.clone(),
                        entra::serve,
                    ));
                }
                let (identity, identity_addr) = bind(&shared, 0).await;
                for listener in identity {
                    tokio::spawn(accept(
                        listener,
                        |tenant| &tenant.https_door,
                        shared.clone(),
                        https_tls.clone(),
                        entra::serve_local,
                    ));
                }
                let _ = bound.send((smtp_addr, https_addr, identity_addr));
                let _ = stopped.await;
            });
        };
        let thread =
            std::thread::Builder::new().name("office365".into()).spawn(body).expect("office365: a thread");
        let Ok((smtp, https, identity)) = addresses.recv() else {
            let _ = std::fs::remove_file(&ca_file);
            match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => unreachable!("office365: ended before it began"),
            }
        };
        let office365 = Office365 {
            tenant,
            smtp,
            https,
            identity,
            ca_pem: pki.ca_pem,
            ca_file,
            stop: Some(stop),
            thread: Some(thread),
        };
        let _ = office365.tenant.authority.set(office365.authority());
        if office365.tenant.settings.token_port_closed {
            office365.refuse_token_connections(true);
        }
        office365
    }

    /// Where SMTP listens.
    pub fn smtp_addr(&self) -> SocketAddr {
        self.smtp
    }

    /// Where the token endpoint listens.
    pub fn https_addr(&self) -> SocketAddr {
        self.https
    }

    fn host(&self) -> &str {
        &self.tenant.settings.host_names[0]
    }

    /// `localhost:PORT`, for `MAILSHIM_UPSTREAM`.
    pub fn upstream(&self) -> String {
        format!("{}:{}", self.host(), self.smtp.port())
    }

    /// `https://localhost:PORT`, for `AZURE_AUTHORITY_HOST`.
    pub fn authority(&self) -> String {
        format!("https://{}:{}", self.host(), self.https.port())
    }

    /// `http://127.0.0.1:PORT`, for `AZURE_POD_IDENTITY_AUTHORITY_HOST`.
    pub fn imds(&self) -> String {
        format!("http://{}", self.identity)
    }

    /// `http://127.0.0.1:PORT/msi/token`, for `IDENTITY_ENDPOINT`; [`Settings::identity_header`] goes with it.
    pub fn identity_endpoint(&self) -> String {
        format!("http://{}{}", self.identity, entra::APP_SERVICE)
    }

    /// The CA that both certificates chain to.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The same in a file, removed on drop.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// What a user of mailshim sets to send through the simulator.
    pub fn env(&self) -> Vec<(String, String)> {
        let credentials = self.tenant.credentials.lock().unwrap().clone();
        let mailbox = credentials.mailboxes.into_iter().next().unwrap_or_default();
        let pairs = [
            ("MAILSHIM_MAILBOX", mailbox),
            ("MAILSHIM_TENANT_ID", credentials.tenant),
            ("MAILSHIM_CLIENT_ID", credentials.client_id),
            ("MAILSHIM_CLIENT_SECRET", credentials.client_secret),
            ("MAILSHIM_UPSTREAM", self.upstream()),
            ("MAILSHIM_CA_FILE", self.ca_file.display().to_string()),
            ("AZURE_AUTHORITY_HOST", self.authority()),
            // Several shims beside one simulator must not fight over the probes' port.
            ("MAILSHIM_HTTP_LISTEN", "off".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// The mails taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        self.tenant.record.taken()
    }

    /// The mails taken after the first `seen`.
    pub fn taken_since(&self, seen: usize) -> Vec<Taken> {
        self.tenant.record.taken_since(seen)
    }

    /// How many `taken` would give; copies nothing.
    pub fn taken_count(&self) -> usize {
        self.tenant.record.taken_count()
    }

    /// The mails taken so far; the simulator forgets them.
    pub fn drain_taken(&self) -> Vec<Taken> {
        self.tenant.record.drain_taken()
    }

    /// The dialogue so far; the simulator forgets it.
    pub fn drain_dialogue(&self) -> Vec<Line> {
        self.tenant.record.drain_dialogue()
    }

    /// Waits for `n` mails; panics, with the dialogue, when they have not come in time.
    #[track_caller]
    pub fn wait_taken(&self, n: usize, timeout: Duration) -> Vec<Taken> {
        if !self.tenant.record.wait_taken(n, timeout) {
            let lines: Vec<String> = self.dialogue().iter().map(Line::to_string).collect();
            let tail = lines[lines.len().saturating_sub(60)..].join("\n");
            panic!(
                "office365: {} of {n} mails within {timeout:?}; the dialogue's end:\n{tail}",
                self.taken_count()
            );
        }
        self.taken()
    }

    /// Waits until the counters satisfy `done`; whether they did in time.
    pub fn wait(&self, timeout: Duration, done: impl Fn(&Stats) -> bool) -> bool {
        self.tenant.record.wait(timeout, done)
    }

    /// What was said on the SMTP connections, in the order it was said.
    pub fn dialogue(&self) -> Vec<Line> {
        self.tenant.record.dialogue()
    }

    /// What clients did against the protocol; a test asserts that it is empty.
    pub fn violations(&self) -> Vec<String> {
        self.tenant.record.violations()
    }

    /// The requests to the token endpoint that have been answered (or dropped on purpose).
    pub fn token_requests(&self) -> Vec<TokenRequest> {
        self.tenant.record.token_requests()
    }

    /// Counters.
    pub fn stats(&self) -> Stats {
        self.tenant.record.stats()
    }

    /// Forgets mails, dialogue, violations and token requests; the counters go on.
    pub fn forget(&self) {
        self.tenant.record.forget();
    }

    /// Arms a fault. Faults of the same moment are used in the order in which they were armed.
    pub fn fault(&self, fault: Fault, times: Times) {
        self.tenant.faults.arm(fault, times);
        // Connections that are idle already look again.
        self.tenant.orders.send_modify(|orders| orders.look += 1);
    }

    /// Disarms all.
    pub fn clear_faults(&self) {
        self.tenant.faults.clear();
        self.tenant.orders.send_modify(|orders| orders.look += 1);
    }

    /// Tokens issued so far get 535 5.7.3 from now on.
    pub fn revoke_tokens(&self) {
        self.tenant.revoke_tokens();
    }

    /// Changes the app's secret, as an administrator who rotates it.
    pub fn set_client_secret(&self, secret: &str) {
        self.tenant.credentials.lock().unwrap().client_secret = secret.to_owned();
    }

    /// Changes the mailboxes' password.
    pub fn set_password(&self, password: &str) {
        self.tenant.credentials.lock().unwrap().password = password.to_owned();
    }

    /// Changes the certificates (DER) of the app registration.
    pub fn set_certificates(&self, certificates: &[Vec<u8>]) {
        self.tenant.credentials.lock().unwrap().certificates = certificates.to_vec();
    }

    /// A service account's token from the cluster's issuer, for `AZURE_FEDERATED_TOKEN_FILE`: what the settings'
    /// federated credential expects. A negative life has ended already.
    pub fn federated_token(&self, credential: &FederatedCredential, lives_seconds: i64) -> String {
        let FederatedCredential { issuer, subject, audience } = credential;
        self.tenant.issuer.token(issuer, subject, audience, lives_seconds)
    }

    /// A refresh token, as if a person had just signed in.
    pub fn give_refresh_token(&self) -> String {
        self.tenant.give_refresh_token()
    }

    /// Puts the clock by which refresh tokens end (90 days) forward.
    pub fn put_refresh_clock_forward(&self, by: Duration) {
        self.tenant.delegated.put_forward(by);
    }

    /// All refresh tokens given so far are refused from now on: the person changed the password.
    pub fn revoke_refresh_tokens(&self) {
        self.tenant.delegated.revoke();
    }

    /// Changes the tenant id.
    pub fn set_tenant(&self, tenant: &str) {
        self.tenant.credentials.lock().unwrap().tenant = tenant.to_owned();
    }

    /// Changes the client id.
    pub fn set_client_id(&self, client_id: &str) {
        self.tenant.credentials.lock().unwrap().client_id = client_id.to_owned();
    }

    /// Every access token that was issued, to look for where none may be.
    pub fn tokens(&self) -> Vec<String> {
        self.tenant.issued_tokens()
    }

    /// Changes which mailboxes may sign in.
    pub fn set_mailboxes(&self, mailboxes: &[&str]) {
        self.tenant.credentials.lock().unwrap().mailboxes = mailboxes.iter().map(|m| m.to_string()).collect();
    }

    /// Grants `mailbox` Send As on `other`.
    pub fn grant_send_as(&self, mailbox: &str, other: &str) {
        self.tenant.credentials.lock().unwrap().send_as.push((mailbox.to_owned(), other.to_owned()));
    }

    /// Refuses new SMTP connections (the port is closed) from here on, or takes them again.
    pub fn refuse_connections(&self, refuse: bool) {
        self.tenant.smtp_door.refuse(refuse);
    }

    /// The same of the token endpoint.
    pub fn refuse_token_connections(&self, refuse: bool) {
        self.tenant.https_door.refuse(refuse);
    }

    /// FIN, without 421 or close_notify, on every connection that waits for a command outside a transaction.
    pub fn close_idle(&self) {
        self.tenant.orders.send_modify(|orders| orders.close += 1);
    }
}

impl Drop for Office365 {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.ca_file);
    }
}

fn ca_file() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    std::env::temp_dir().join(format!("office365-ca-{}-{n}.pem", std::process::id()))
}

/// Closes the port until the door opens. A socket stays bound to it, or another program would be given it meanwhile.
async fn closed(listener: TcpListener, door: &Door) -> TcpListener {
    let address = listener.local_addr().expect("a bound socket has an address");
    drop(listener);
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.expect("a socket");
    socket.set_reuseaddr(true).expect("an option of sockets");
    socket.bind(address).unwrap_or_else(|e| panic!("office365: cannot keep {address}: {e}"));
    door.closed().await;
    socket.listen(1024).unwrap_or_else(|e| panic!("office365: cannot listen on {address} again: {e}"))
}

async fn bind(tenant: &Tenant, port: u16) -> (Vec<TcpListener>, SocketAddr) {
    let settings = &tenant.settings;
    // A free port on one family can be taken on the other: try some.
    for _ in 0..20 {
        let first = SocketAddr::new(settings.listen, port);
        let listener = TcpListener::bind(first)
            .await
            .unwrap_or_else(|e| panic!("office365: cannot listen on {first}: {e}"));
        let address = listener.local_addr().expect("a bound socket has an address");
        if !settings.ipv6 {
            return (vec![listener], address);
        }
        let second = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), address.port());
        match TcpListener::bind(second).await {
            Ok(v6) => return (vec![listener, v6], address),
            Err(e) if port != 0 => panic!("office365: cannot listen on {second}: {e}"),
            Err(_) => {}
        }
    }
    panic!("office365: no port that is free on 127.0.0.1 and [::1]");
}

async fn accept<F>(
    mut listener: TcpListener,
    door: fn(&Tenant) -> &Door,
    tenant: Arc<Tenant>,
    tls: Arc<tokio_rustls::rustls::ServerConfig>,
    serve: fn(TcpStream, Arc<Tenant>, Arc<tokio_rustls::rustls::ServerConfig>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((tcp, _)) => drop(tokio::spawn(serve(tcp, tenant.clone(), tls.clone()))),
                // Out of file descriptors, most likely: do not spin on it.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            () = door(&tenant).closing() => listener = closed(listener, door(&tenant)).await,
        }
    }
}
