//! A server that gives one reply too many, at each stage: never is a mail taken for accepted that the server has not
//! accepted, whatever it says of other things.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
    DuplexStream, duplex,
};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::message::{Abandoned, Awaited, Budget, Envelope, HeldContent, Piece, Source};
use crate::outcome::{Cause, Outcome, Retry};
use crate::secret::Secret;
use crate::smtp::command::{Body, Mail, Recipient};
use crate::smtp::path::Address;
use crate::transport::tls;

/// Where the reply comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Twice {
    Nowhere,
    Greeting,
    PlainEhlo,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    Chunk,
    Verdict,
}

/// How the second one comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comes {
    InOnePiece,
    AtOnce,
    Later,
}

/// How the content is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Small,
    Large,
    Streamed,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    twice: Twice,
    comes: Comes,
    chunking: bool,
    /// With PIPELINING and enhanced codes; without them each command waits for its reply.
    pipelining: bool,
    size: Size,
    /// A mail was taken over the same connection before, and its verdict may have come twice.
    reused: bool,
    /// What the server makes of the mail.
    verdict: &'static str,
}

const ACCEPTED: &str = "250 2.6.0 Queued mail for delivery";
const REFUSED: &str = "554 5.2.0 Never";

/// What the server saw.
#[derive(Default)]
struct Seen {
    /// Contents that came to their end.
    mails: usize,
}

struct Server {
    case: Case,
    seen: Arc<Mutex<Seen>>,
    acceptor: TlsAcceptor,
}

impl Server {
    async fn say(&self, wire: &mut (impl AsyncWrite + Unpin), stage: Twice, reply: &str) -> Option<()> {
        let (first, again) = (format!("{reply}\r\n"), format!("{}\r\n", reply.replace("354 ", "250 2.0.0 ")));
        let is_twice = stage != Twice::Nowhere
            && self.case.twice == stage
            && (!self.case.reused || self.is_second(stage));
        match self.case.comes {
            _ if !is_twice => wire.write_all(first.as_bytes()).await.ok()?,
            Comes::InOnePiece => wire.write_all((first + &again).as_bytes()).await.ok()?,
            Comes::AtOnce => {
                wire.write_all(first.as_bytes()).await.ok()?;
                wire.write_all(again.as_bytes()).await.ok()?;
            }
            Comes::Later => {
                wire.write_all(first.as_bytes()).await.ok()?;
                wire.flush().await.ok()?;
                sleep(Duration::from_millis(50)).await;
                wire.write_all(again.as_bytes()).await.ok()?;
            }
        }
        wire.flush().await.ok()
    }

    /// The opening, the second mail, or the end of the first.
    fn is_second(&self, stage: Twice) -> bool {
        let mails = self.seen.lock().unwrap().mails;
        match stage {
            Twice::Mail | Twice::Rcpt | Twice::Data | Twice::Chunk => mails == 1,
            _ => true,
        }
    }

    async fn serve(self, wire: DuplexStream) -> Option<()> {
        let mut wire = BufReader::new(wire);
        self.say(&mut wire, Twice::Greeting, "220 smtp.test ready").await?;
        while !line(&mut wire).await?.starts_with("STARTTLS") {
            self.say(&mut wire, Twice::PlainEhlo, "250-smtp.test\r\n250 STARTTLS").await?;
        }
        self.say(&mut wire, Twice::Nowhere, "220 2.0.0 ready").await?;
        let mut wire = BufReader::new(self.acceptor.accept(wire.into_inner()).await.ok()?);
        let offers = [
            if self.case.chunking { "250-CHUNKING\r\n" } else { "" },
            if self.case.pipelining { "250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n" } else { "" },
        ];
        loop {
            let command = line(&mut wire).await?;
            let (stage, reply) = match command.get(..4)? {
                "EHLO" => (Twice::Ehlo, format!("250-smtp.test\r\n{}250 AUTH XOAUTH2", offers.concat())),
                "AUTH" => (Twice::Auth, "235 2.7.0 Authentication successful".into()),
                "MAIL" => (Twice::Mail, "250 2.1.0 Sender OK".into()),
                "RCPT" => (Twice::Rcpt, "250 2.1.5 Recipient OK".into()),
                "DATA" => {
                    self.say(&mut wire, Twice::Data, "354 Go").await?;
                    while line(&mut wire).await? != "." {}
                    (Twice::Verdict, self.judge().await)
                }
                "BDAT" => {
                    let octets = command.split(' ').nth(1)?.parse().ok()?;
                    wire.read_exact(&mut vec![0; octets]).await.ok()?;
                    match command.ends_with("LAST") {
                        true => (Twice::Verdict, self.judge().await),
                        false => (Twice::Chunk, "250 2.6.0 CHUNK received OK".into()),
                    }
                }
                "RSET" => (Twice::Nowhere, "250 2.0.0 Resetting".into()),
                "QUIT" => (Twice::Nowhere, "221 2.0.0 Bye".into()),
                _ => return None,
            };
            self.say(&mut wire, stage, &reply).await?;
        }
    }

    /// It takes its time: whoever is one reply ahead by then has long believed the wrong one.
    async fn judge(&self) -> String {
        sleep(Duration::from_secs(2)).await;
        let mut seen = self.seen.lock().unwrap();
        seen.mails += 1;
        if self.case.reused && seen.mails == 1 { ACCEPTED.into() } else { self.case.verdict.into() }
    }
}

async fn line(wire: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut line = String::new();
    wire.read_line(&mut line).await.ok()?;
    line.ends_with('\n').then(|| line.trim_end().to_string())
}

/// A certificate, and the file by which it is trusted.
struct Trust(TlsAcceptor, std::path::PathBuf);

impl Trust {
    fn new(test: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["smtp.test".into()]).unwrap().self_signed(&key).unwrap();
        let file = std::env::temp_dir().join(format!("mailshim-{test}-{}.pem", std::process::id()));
        std::fs::write(&file, certificate.pem()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )
            .unwrap();
        Self(TlsAcceptor::from(Arc::new(config)), file)
    }

    fn connector(&self, case: Case, seen: &Arc<Mutex<Seen>>) -> Connector {
        let deadlines = Arc::new(Deadlines::default());
        let tls = tls::client_config(Some(&self.1), None).unwrap();
        let (acceptor, seen) = (self.0.clone(), Arc::clone(seen));
        let dialer = Dialer::from_wires(&deadlines, move || {
            let (ours, theirs) = duplex(1024 * 1024);
            let server = Server { case, seen: Arc::clone(&seen), acceptor: acceptor.clone() };
            tokio::spawn(server.serve(theirs));
            Box::new(ours)
        });
        let (host, hostname) = ("smtp.test".into(), "b.c".into());
        Connector { dialer, tls, host, port: 587, hostname, deadlines }
    }
}

impl Drop for Trust {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.1);
    }
}

fn credential() -> Credential {
    Credential::Xoauth2 {
        user: "a@b.c".into(),
        token: Secret::new("token".into()),
        generation: 1,
        good_until: Instant::now() + Duration::from_secs(3000),
        fresh: true,
    }
}

fn envelope() -> Envelope {
    let address = Address::parse("a@b.c").unwrap();
    let (size, body) = (None, Body::SevenBit);
    let mail = Mail { reverse_path: Some(address.clone()), size, body, ret: None, envid: None };
    Envelope { mail, recipients: vec![Recipient { address, notify: None, orcpt: None }] }
}

/// So many pieces of 15 KiB, as an app would send them.
struct App(usize);

impl Source for App {
    fn next(&mut self) -> Awaited<'_, Piece> {
        Box::pin(async {
            if self.0 == 0 {
                return Piece::End;
            }
            self.0 -= 1;
            Piece::Chunk(piece())
        })
    }

    fn gone(&mut self) -> Awaited<'_, Abandoned> {
        Box::pin(std::future::pending())
    }
}

fn piece() -> Bytes {
    b"thirteen char\r\n".repeat(1024).into()
}

fn content(size: Size) -> HeldContent<'static> {
    match size {
        Size::Small => HeldContent::in_memory([Bytes::from_static(b"A: b\r\n\r\nc\r\n")]),
        Size::Large => HeldContent::in_memory(vec![piece(); 9]),
        Size::Streamed => HeldContent::new(App(10), Budget::default()),
    }
}

/// What came of it; `None` where the first mail, which the server took, was not known to be taken.
async fn sent(connector: &Connector, case: Case) -> Option<Outcome> {
    let mut connection = match connector.open(&credential()).await {
        Ok(connection) => connection,
        Err(fault) => return Some(Outcome::Failed(fault)),
    };
    if case.reused {
        let first = connection.send(&envelope(), &mut content(Size::Small)).await.unwrap();
        let Outcome::Accepted(reply) = first else { return None };
        assert_eq!(reply.to_string(), ACCEPTED);
        if !connection.is_reusable() {
            return None;
        }
    }
    Some(connection.send(&envelope(), &mut content(case.size)).await.unwrap())
}

fn cases() -> Vec<Case> {
    let stages = [
        Twice::Nowhere,
        Twice::Greeting,
        Twice::PlainEhlo,
        Twice::Ehlo,
        Twice::Auth,
        Twice::Mail,
        Twice::Rcpt,
        Twice::Data,
        Twice::Chunk,
        Twice::Verdict,
    ];
    let mut cases = Vec::new();
    for twice in stages {
        for comes in [Comes::InOnePiece, Comes::AtOnce, Comes::Later] {
            for flags in 0..8 {
                for size in [Size::Small, Size::Large, Size::Streamed] {
                    for verdict in [ACCEPTED, REFUSED] {
                        let [chunking, pipelining, reused] = [1, 2, 4].map(|flag| flags & flag != 0);
                        cases.push(Case { twice, comes, chunking, pipelining, size, reused, verdict });
                    }
                }
            }
        }
    }
    let is_opening = |twice| matches!(twice, Twice::Greeting | Twice::PlainEhlo | Twice::Ehlo | Twice::Auth);
    cases.retain(|case: &Case| case.size == Size::Small || !is_opening(case.twice));
    // One that comes later than the client looks, and looks like an answer to what the client has done by then, is that
    // answer as far as anybody can tell: a 250 behind 354, once the dot has left.
    cases.retain(|case| case.comes != Comes::Later || case.twice != Twice::Data);
    cases
}

#[tokio::test(start_paused = true)]
async fn never_is_accepted_what_the_server_has_not_accepted() {
    let trust = Trust::new("never-accepted");
    let (mut accepted, mut unknown, mut failed) = (0, 0, 0);
    for case in cases() {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let outcome = sent(&trust.connector(case, &seen), case).await;
        // The server's own word on the last mail, if it got that far.
        sleep(Duration::from_secs(10)).await;
        let got_it = seen.lock().unwrap().mails > usize::from(case.reused);
        let is_good = got_it && case.verdict == ACCEPTED;
        match outcome {
            Some(Outcome::Accepted(reply) | Outcome::Queued(reply)) => {
                accepted += 1;
                assert!(is_good && reply.to_string() == ACCEPTED, "{case:?}: {reply}");
            }
            Some(Outcome::Unknown(_)) => {
                unknown += 1;
                assert!(got_it, "{case:?}");
            }
            Some(Outcome::Failed(fault)) => {
                failed += 1;
                assert!(!is_good, "{case:?}: {fault:?}");
                // What was stopped before its end is tried again, and on another connection.
                assert!(got_it || fault.retry() != Retry::Never, "{case:?}: {fault:?}");
            }
            None => assert!(matches!(case.twice, Twice::Auth | Twice::Verdict), "{case:?}"),
        }
        if case.twice == Twice::Nowhere {
            assert!(got_it, "{case:?}");
        }
    }
    assert!(accepted > 50 && unknown > 20 && failed > 100, "{accepted} {unknown} {failed}");
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_one_piece_before_the_content_stops_it() {
    let trust = Trust::new("one-piece");
    for case in cases() {
        let in_flight = case.chunking && case.pipelining && case.size == Size::Small;
        let before_content = !matches!(case.twice, Twice::Nowhere | Twice::Verdict) && !in_flight;
        let is_asked = match case.twice {
            Twice::Data => !case.chunking,
            Twice::Chunk => case.chunking && case.size == Size::Streamed,
            _ => true,
        };
        if case.comes != Comes::InOnePiece || !before_content || !is_asked {
            continue;
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let Some(Outcome::Failed(fault)) = sent(&trust.connector(case, &seen), case).await else {
            panic!("{case:?}");
        };
        assert!(matches!(fault.cause(), Cause::BrokenReply(_)), "{case:?}: {fault:?}");
        assert!(fault.retry() != Retry::Never, "{case:?}");
        sleep(Duration::from_secs(10)).await;
        let before = usize::from(case.reused);
        assert!(seen.lock().unwrap().mails <= before, "{case:?}");
    }
}
