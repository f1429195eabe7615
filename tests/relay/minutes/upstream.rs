//! A mailbox of Exchange Online on the paused clock: STARTTLS, AUTH LOGIN, DATA, and its limits, nothing else. The
//! simulator of the other tests has a thread and a clock of its own; four minutes there are four minutes.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use support::files::TempFile;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

pub const HOST: &str = "smtp.test";
const MINUTE: Duration = Duration::from_secs(60);
/// Between the dot and its answer.
const VERDICT: Duration = Duration::from_millis(200);

/// What the mailbox allows, and what it saw.
pub struct Mailbox {
    /// Transactions at once.
    pub connections: usize,
    /// Messages in any 60 s.
    pub per_minute: usize,
    /// Transactions of another program, all the time.
    pub others: usize,
    /// An answer to every dot, in place of the ordinary one.
    pub says: Option<&'static str>,
    /// An answer to every AUTH, in place of the ordinary one.
    pub signs_in: Option<&'static str>,
    /// When each MAIL came.
    pub mails: Vec<Instant>,
    sending: usize,
    begun: VecDeque<Instant>,
    /// Most of ours at once.
    pub most: usize,
    /// Subject and time of each mail that was taken.
    pub taken: Vec<(String, Instant)>,
    /// Replies of 4xx and 5xx.
    pub refusals: Vec<String>,
}

/// The server; clones are the same one.
#[derive(Clone)]
pub struct Upstream {
    mailbox: Arc<Mutex<Mailbox>>,
    acceptor: TlsAcceptor,
    ca_file: Arc<TempFile>,
}

impl Upstream {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![HOST.to_string()]).unwrap().self_signed(&key).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        let mailbox = Mailbox {
            connections: 3,
            per_minute: 30,
            others: 0,
            says: None,
            signs_in: None,
            mails: Vec::new(),
            sending: 0,
            begun: VecDeque::new(),
            most: 0,
            taken: Vec::new(),
            refusals: Vec::new(),
        };
        Self {
            mailbox: Arc::new(Mutex::new(mailbox)),
            acceptor: TlsAcceptor::from(Arc::new(config)),
            ca_file: Arc::new(TempFile::new(certificate.pem())),
        }
    }

    pub fn ca_file(&self) -> &Path {
        self.ca_file.as_ref().as_ref()
    }

    pub fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        self.mailbox.lock().unwrap()
    }

    /// Subjects in the order in which their mails were taken.
    pub fn subjects(&self) -> Vec<String> {
        self.mailbox().taken.iter().map(|(subject, _)| subject.clone()).collect()
    }

    /// A new connection; ours is the end that is returned.
    pub fn connect(&self) -> DuplexStream {
        let (ours, theirs) = duplex(64 * 1024);
        let server = self.clone();
        tokio::spawn(async move { server.serve(theirs).await });
        ours
    }

    async fn serve(&self, wire: DuplexStream) -> Option<()> {
        let mut wire = BufReader::new(wire);
        say(&mut wire, "220 smtp.test ready").await?;
        while !line(&mut wire).await?.starts_with("STARTTLS") {
            say(&mut wire, "250-smtp.test\r\n250-PIPELINING\r\n250 STARTTLS").await?;
        }
        say(&mut wire, "220 2.0.0 ready").await?;
        let mut wire = BufReader::new(self.acceptor.accept(wire.into_inner()).await.ok()?);
        let mut transaction: Option<Transaction> = None;
        loop {
            let command = line(&mut wire).await?;
            let reply = match command.get(..4)? {
                "EHLO" => "250-smtp.test\r\n250-PIPELINING\r\n250 AUTH LOGIN".to_string(),
                "AUTH" => {
                    for challenge in ["334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"] {
                        say(&mut wire, challenge).await?;
                        line(&mut wire).await?;
                    }
                    let refusal = self.mailbox().signs_in;
                    if let Some(refusal) = refusal {
                        self.mailbox().refusals.push(refusal.to_string());
                    }
                    refusal.unwrap_or("235 2.7.0 Authentication successful").to_string()
                }
                "MAIL" => {
                    transaction = self.begin();
                    if transaction.is_none() {
                        let words = "421 4.4.2 Message submission rate for this client has exceeded the configured limit";
                        self.mailbox().refusals.push(words.to_string());
                        say(&mut wire, words).await?;
                        return None;
                    }
                    "250 2.1.0 Sender OK".to_string()
                }
                "RCPT" => "250 2.1.5 Recipient OK".to_string(),
                "DATA" => {
                    say(&mut wire, "354 go").await?;
                    let content = content(&mut wire).await?;
                    sleep(VERDICT).await;
                    let reply = self.judge(transaction.as_ref()?, &content);
                    transaction = None;
                    reply
                }
                "RSET" => "250 2.0.0 Resetting".to_string(),
                _ => {
                    say(&mut wire, "221 2.0.0 bye").await?;
                    return None;
                }
            };
            say(&mut wire, &reply).await?;
        }
    }

    /// `None`: too many within the minute.
    fn begin(&self) -> Option<Transaction> {
        let now = Instant::now();
        let mut mailbox = self.mailbox();
        mailbox.mails.push(now);
        while mailbox.begun.front().is_some_and(|begun| *begun + MINUTE <= now) {
            mailbox.begun.pop_front();
        }
        if mailbox.begun.len() >= mailbox.per_minute {
            return None;
        }
        mailbox.begun.push_back(now);
        mailbox.sending += 1;
        mailbox.most = mailbox.most.max(mailbox.sending);
        let is_too_many = mailbox.sending + mailbox.others > mailbox.connections;
        Some(Transaction { upstream: self.clone(), is_too_many })
    }

    fn judge(&self, transaction: &Transaction, content: &str) -> String {
        let mut mailbox = self.mailbox();
        let field = |name: &str| {
            content.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_string()
        };
        let refusal = if transaction.is_too_many {
            Some("432 4.3.2 Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending")
        } else if !field("From: ").contains("app@contoso.com") {
            Some("554 5.2.252 SendAsDenied; app@contoso.com not allowed to send as another")
        } else {
            mailbox.says
        };
        if let Some(refusal) = refusal {
            mailbox.refusals.push(refusal.to_string());
            return refusal.to_string();
        }
        mailbox.taken.push((field("Subject: "), Instant::now()));
        "250 2.0.0 OK".to_string()
    }
}

/// Counts from MAIL to its end, however it ends.
struct Transaction {
    upstream: Upstream,
    is_too_many: bool,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.upstream.mailbox().sending -= 1;
    }
}

async fn say(wire: &mut (impl AsyncWrite + Unpin), reply: &str) -> Option<()> {
    wire.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
    wire.flush().await.ok()
}

async fn line(wire: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut line = String::new();
    let octets = wire.read_line(&mut line).await.ok()?;
    (octets > 0).then(|| line.trim_end().to_string())
}

async fn content(wire: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut content = String::new();
    loop {
        let line = line(wire).await?;
        if line == "." {
            return Some(content);
        }
        content.push_str(&line);
        content.push('\n');
    }
}
