//! What the simulator saw: mails, dialogue, violations, counters. Everything that a test asserts on is here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

/// How the content of a mail came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// DATA.
    Data,
    /// BDAT, in this many chunks.
    Bdat(usize),
}

/// A mail that the simulator answered for with 250 (or would have: see [`crate::Stage::Accepted`]).
#[derive(Clone, Debug)]
pub struct Taken {
    /// Who had signed in; empty under [`crate::Settings::connector`].
    pub mailbox: String,
    /// The whole argument of MAIL as received: `FROM:<a@b> SIZE=12`.
    pub mail: String,
    /// The whole argument of each accepted RCPT as received: `TO:<c@d>`.
    pub rcpts: Vec<String>,
    /// The content, dots unstuffed; empty with `keep_content` off.
    pub content: Vec<u8>,
    /// Its octets.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Number of the connection it came on, from 1.
    pub connection: u64,
    /// DATA or BDAT.
    pub via: Via,
    /// TLS version and cipher suite.
    pub tls: String,
    /// Argument of the EHLO in force.
    pub ehlo: String,
    /// SHA-256 of the client certificate, if one was asked for and shown, and of each of its chain that came with it.
    pub client_certificates: Vec<[u8; 32]>,
    /// When the last of it had come.
    pub at: Instant,
}

/// The fields that a relay may put behind the app's, where the app left them out.
const ADDED: [&str; 3] = ["Date: ", "Message-ID: ", "MIME-Version: "];

impl Taken {
    /// Compares the content with what the app sent, octet by octet. One Received field before it and the fields that RFC
    /// 5322 and MIME ask for behind its own are a relay's to add.
    ///
    /// # Errors
    /// Where the first difference is.
    pub fn carries(&self, sent: &[u8]) -> Result<(), String> {
        let arrived = without_first_received(&self.content);
        let header_end =
            |content: &[u8]| content.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 2);
        let (Some(sent_end), Some(end)) = (header_end(sent), header_end(arrived)) else {
            return Err("there is no header".to_owned());
        };
        let (sent_fields, sent_body) = sent.split_at(sent_end);
        let (fields, body) = arrived.split_at(end);
        let same = fields.iter().zip(sent_fields).take_while(|(a, b)| a == b).count();
        let Some(added) = fields.strip_prefix(sent_fields) else {
            return Err(format!("the header differs from octet {same} on"));
        };
        let sent_text = String::from_utf8_lossy(sent_fields);
        for line in String::from_utf8_lossy(added).lines() {
            let may = ADDED.iter().any(|name| {
                line.starts_with(name)
                    && !sent_text.lines().any(|own| own.to_lowercase().starts_with(&name.to_lowercase()))
            });
            if !may {
                return Err(format!("a field was added: {line}"));
            }
        }
        if body != sent_body {
            let same = body.iter().zip(sent_body).take_while(|(a, b)| a == b).count();
            let (arrived, sent) = (body.len(), sent_body.len());
            return Err(format!(
                "the body differs from octet {same} on; {sent} octets were sent, {arrived} arrived"
            ));
        }
        Ok(())
    }
}

/// The content behind a Received field at its very beginning.
pub fn without_first_received(content: &[u8]) -> &[u8] {
    if !content.starts_with(b"Received: ") {
        return content;
    }
    let mut at = 0;
    loop {
        let Some(line) = content[at..].windows(2).position(|two| two == b"\r\n") else { return content };
        at += line + 2;
        if !matches!(content.get(at), Some(b' ' | b'\t')) {
            return &content[at..];
        }
    }
}

/// Who wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The simulator.
    Server,
}

/// One line of the dialogue; prints as `3 C: EHLO mail.contoso.com`. Credentials are never in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the connection, from 1.
    pub connection: u64,
    /// Whether TLS was on.
    pub tls: bool,
    /// Who wrote it.
    pub side: Side,
    /// The line without CRLF; `[…]` stands for credentials, `(N octets)` for content.
    pub text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.side == Side::Client { "C" } else { "S" };
        write!(f, "{} {side}: {}", self.connection, self.text)
    }
}

/// One request to the token endpoint.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Method and path.
    pub target: String,
    /// Form fields; values of secrets, assertions and tokens are `[…]`.
    pub fields: Vec<(String, String)>,
    /// Status of the answer; 0 where none was given.
    pub status: u16,
    /// When.
    pub at: Instant,
}

/// Counters of one SMTP connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// Its number, from 1.
    pub id: u64,
    /// Flushes of replies: what a client that waits for each of them pays in round trips. The TLS handshake is not counted.
    pub round_trips: u64,
    /// Mails taken.
    pub messages: u64,
    /// Whether it has ended.
    pub closed: bool,
    /// How it ended: `QUIT`, `client left`, `client left without close_notify`, `server`.
    pub end: Option<&'static str>,
    /// Server name in the ClientHello.
    pub sni: Option<String>,
}

/// Counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// SMTP connections accepted so far.
    pub connections_opened: u64,
    /// Open now.
    pub connections_open: u64,
    /// Most open at once.
    pub max_open: u64,
    /// Most transactions in progress at once, of any one mailbox.
    pub max_sending: u64,
    /// Mails taken.
    pub messages: u64,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Tokens issued.
    pub tokens_issued: u64,
    /// 235 given.
    pub auth_ok: u64,
    /// AUTH refused.
    pub auth_refused: u64,
    /// TLS handshakes (SMTP) that failed.
    pub handshakes_failed: u64,
    /// Sum of the connections' round trips.
    pub round_trips: u64,
    /// Each connection, in the order of acceptance.
    pub connections: Vec<ConnectionStats>,
}

#[derive(Default)]
struct Records {
    taken: Vec<Taken>,
    dialogue: Vec<Line>,
    violations: Vec<String>,
    token_requests: Vec<TokenRequest>,
    stats: Stats,
    sending: BTreeMap<String, u64>,
}

/// The records, shared by the simulator's thread and the test's.
#[derive(Default)]
pub(crate) struct Recorder {
    records: Mutex<Records>,
    changed: Condvar,
}

impl Recorder {
    pub(crate) fn opened(&self) -> u64 {
        let mut records = self.records.lock().unwrap();
        let stats = &mut records.stats;
        stats.connections_opened += 1;
        stats.connections_open += 1;
        stats.max_open = stats.max_open.max(stats.connections_open);
        let id = stats.connections_opened;
        stats.connections.push(ConnectionStats { id, ..ConnectionStats::default() });
        self.changed.notify_all();
        id
    }

    pub(crate) fn closed(&self, id: u64, end: &'static str) {
        let mut records = self.records.lock().unwrap();
        records.stats.connections_open -= 1;
        let connection = &mut records.stats.connections[id as usize - 1];
        connection.closed = true;
        connection.end = Some(end);
        self.changed.notify_all();
    }

    pub(crate) fn connection(&self, id: u64, change: impl FnOnce(&mut ConnectionStats)) {
        change(&mut self.records.lock().unwrap().stats.connections[id as usize - 1]);
    }

    pub(crate) fn flushed(&self, id: u64) {
        let mut records = self.records.lock().unwrap();
        records.stats.round_trips += 1;
        records.stats.connections[id as usize - 1].round_trips += 1;
    }

    pub(crate) fn count(&self, change: impl FnOnce(&mut Stats)) {
        change(&mut self.records.lock().unwrap().stats);
        self.changed.notify_all();
    }

    pub(crate) fn sending(&self, mailbox: &str, begins: bool) {
        let mut records = self.records.lock().unwrap();
        if !records.sending.contains_key(mailbox) {
            records.sending.insert(mailbox.to_owned(), 0);
        }
        let sending = records.sending.get_mut(mailbox).unwrap();
        *sending = if begins { *sending + 1 } else { *sending - 1 };
        let now = *sending;
        records.stats.max_sending = records.stats.max_sending.max(now);
        self.changed.notify_all();
    }

    pub(crate) fn take(&self, taken: Taken) {
        let mut records = self.records.lock().unwrap();
        records.stats.messages += 1;
        records.stats.connections[taken.connection as usize - 1].messages += 1;
        records.taken.push(taken);
        self.changed.notify_all();
    }

    pub(crate) fn line(&self, line: Line) {
        self.records.lock().unwrap().dialogue.push(line);
    }

    pub(crate) fn violation(&self, text: String) {
        let mut records = self.records.lock().unwrap();
        // A derailed client can produce one violation a line for ever.
        if records.violations.len() < 1_000 {
            records.violations.push(text);
        }
    }

    pub(crate) fn token_request(&self, request: TokenRequest) {
        let mut records = self.records.lock().unwrap();
        records.token_requests.push(request);
        self.changed.notify_all();
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.records.lock().unwrap().taken.clone()
    }

    pub(crate) fn taken_since(&self, seen: usize) -> Vec<Taken> {
        let records = self.records.lock().unwrap();
        records.taken.get(seen..).unwrap_or_default().to_vec()
    }

    pub(crate) fn dialogue(&self) -> Vec<Line> {
        self.records.lock().unwrap().dialogue.clone()
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.records.lock().unwrap().violations.clone()
    }

    pub(crate) fn token_requests(&self) -> Vec<TokenRequest> {
        self.records.lock().unwrap().token_requests.clone()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.records.lock().unwrap().stats.clone()
    }

    pub(crate) fn taken_count(&self) -> usize {
        self.records.lock().unwrap().taken.len()
    }

    pub(crate) fn drain_taken(&self) -> Vec<Taken> {
        std::mem::take(&mut self.records.lock().unwrap().taken)
    }

    pub(crate) fn drain_dialogue(&self) -> Vec<Line> {
        std::mem::take(&mut self.records.lock().unwrap().dialogue)
    }

    pub(crate) fn forget(&self) {
        let mut records = self.records.lock().unwrap();
        records.taken.clear();
        records.dialogue.clear();
        records.violations.clear();
        records.token_requests.clear();
    }

    /// Waits until `done` holds; whether it does.
    pub(crate) fn wait(&self, timeout: Duration, done: impl Fn(&Stats) -> bool) -> bool {
        self.wait_records(timeout, |records| done(&records.stats))
    }

    /// Waits until `n` mails are there; whether they are.
    pub(crate) fn wait_taken(&self, n: usize, timeout: Duration) -> bool {
        self.wait_records(timeout, |records| records.taken.len() >= n)
    }

    fn wait_records(&self, timeout: Duration, done: impl Fn(&Records) -> bool) -> bool {
        let records = self.records.lock().unwrap();
        let waited = self.changed.wait_timeout_while(records, timeout, |records| !done(records));
        !waited.unwrap().1.timed_out()
    }
}
