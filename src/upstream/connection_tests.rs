//! What a connection allows of itself, over a pipe and a paused clock.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
};

use super::*;
use crate::deadlines::Deadlines;
use crate::outcome::Retry;
use crate::secret::Secret;
use crate::smtp::command::{Body, Mail, Recipient};
use crate::smtp::path::Address;
use crate::term::{BootTime, Lasts};
use tokio::sync::watch;

fn connection(good_for: Duration) -> (Connection, DuplexStream) {
    let (wire, server) = duplex(256 * 1024);
    let link = Link::new(Box::new(wire), Arc::new(Deadlines::default()));
    let credential = Credential::Xoauth2 {
        user: "a@b.c".into(),
        token: Secret::new("token".into()),
        generation: 1,
        good_until: Instant::now() + good_for,
        fresh: true,
    };
    (Connection::new(link, Extensions::default(), credential), server)
}

fn envelope() -> Envelope {
    let address = Address::parse("a@b.c").unwrap();
    let (size, body) = (None, Body::SevenBit);
    let mail = Mail { reverse_path: Some(address.clone()), size, body, ret: None, envid: None };
    Envelope { mail, recipients: vec![Recipient { address, notify: None, orcpt: None }] }
}

fn content() -> HeldContent<'static> {
    HeldContent::in_memory([Bytes::from_static(b"A: b\r\n\r\nc\r\n")])
}

#[tokio::test(start_paused = true)]
async fn a_connection_ends_with_its_token_and_its_age() {
    let minute = Duration::from_secs(60);
    let (short, _server) = connection(minute);
    assert_eq!(short.idle_until(), Instant::now() + minute);
    let (long, _server) = connection(60 * minute);
    assert_eq!(long.idle_until(), Instant::now() + Duration::from_secs(90));
    tokio::time::advance(minute).await;
    assert!(!short.is_reusable() && long.is_reusable());
    tokio::time::advance(7 * minute).await;
    assert!(long.is_reusable());
    assert_eq!(long.idle_until(), Instant::now() + minute);
    tokio::time::advance(minute).await;
    assert!(!long.is_reusable());
}

#[tokio::test(start_paused = true)]
async fn a_dialogue_that_was_dropped_spoils_its_connection() {
    let (mut connection, mut server) = connection(Duration::from_secs(3000));
    let (envelope, mut content) = (envelope(), content());
    let mut octets = [0; 100];
    tokio::select! {
        _ = connection.send(&envelope, &mut content) => panic!("nobody answered"),
        read = server.read(&mut octets) => assert_eq!(&octets[..read.unwrap()], b"MAIL FROM:<a@b.c>\r\n"),
    }
    // The reply that comes late must not be taken for the next mail's.
    server.write_all(b"250 OK\r\n").await.unwrap();
    assert!(!connection.is_reusable());
}

/// A server that answers whatever comes with the next of these.
fn answering(mut server: DuplexStream, replies: Vec<&'static str>) {
    tokio::spawn(async move {
        let mut octets = [0; 1000];
        for reply in replies {
            assert_ne!(server.read(&mut octets).await.unwrap(), 0, "nothing was asked");
            server.write_all(reply.as_bytes()).await.unwrap();
        }
    });
}

const TAKEN: [&str; 4] = ["250 OK\r\n", "250 OK\r\n", "354 Go\r\n", "250 OK\r\n"];

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_behind_its_verdict_has_given_it() {
    let (mut connection, server) = connection(Duration::from_secs(3000));
    answering(server, TAKEN.to_vec());
    let outcome = connection.send(&envelope(), &mut content()).await.unwrap();
    assert!(matches!(outcome, Outcome::Accepted(_)), "{outcome:?}");
    assert!(!connection.is_reusable());
}

#[tokio::test(start_paused = true)]
async fn twenty_messages_and_no_more() {
    let (mut connection, server) = connection(Duration::from_secs(3000));
    answering(server, TAKEN.repeat(MAX_MESSAGES as usize + 1));
    for number in 1..=MAX_MESSAGES {
        assert!(connection.is_reusable(), "{number}");
        connection.send(&envelope(), &mut content()).await.unwrap();
    }
    assert!(!connection.is_reusable());
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_its_outcome() {
    let (mut connection, server) = connection(Duration::from_secs(3000));
    answering(
        server,
        vec![
            "250 OK\r\n",
            "550 5.1.1 No\r\n",
            "250 OK\r\n",
            "452 4.5.3 Many\r\n",
            "354 Go\r\n",
            "250 Done\r\n",
        ],
    );
    let mut envelope = envelope();
    envelope.recipients = vec![envelope.recipients[0].clone(); 4];
    let each = connection.send_to_each(&envelope, &mut content()).await.unwrap();
    assert!(matches!(&each[0], RecipientOutcome::Settled(Outcome::Failed(fault)) if fault.is_certain()));
    assert_eq!(each[1], RecipientOutcome::Settled(Outcome::Accepted(Reply::new(250, "Done"))));
    assert_eq!(each[2..], [RecipientOutcome::NotTried, RecipientOutcome::NotTried]);
}

/// Answers each write that it takes whole, takes so many octets, and then breaks.
struct Breaks {
    replies: Vec<&'static [u8]>,
    owed: usize,
    takes: usize,
    broken: bool,
}

impl AsyncRead for Breaks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.owed == 0 && !self.broken {
            return Poll::Pending;
        }
        self.owed = self.owed.saturating_sub(1);
        octets.put_slice(self.replies.pop().unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Breaks {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        let taken = octets.len().min(self.takes);
        self.takes -= taken;
        self.owed += usize::from(taken == octets.len());
        self.broken = taken < octets.len();
        Poll::Ready(if taken == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(taken) })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn only_an_end_that_has_left_leaves_a_doubt() {
    let whole = b"MAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\nDATA\r\nA: b\r\n\r\nc\r\n.\r\n".len();
    for takes in 0..=whole {
        let (mut connection, _server) = connection(Duration::from_secs(3000));
        let replies: Vec<&[u8]> = vec![b"354 Go\r\n", b"250 OK\r\n", b"250 OK\r\n"];
        connection.link.wire = Box::new(Breaks { replies, owed: 0, takes, broken: false });
        match connection.send(&envelope(), &mut content()).await.unwrap() {
            Outcome::Unknown(_) => assert_eq!(takes, whole),
            Outcome::Failed(fault) => {
                assert!(takes < whole && fault.retry() != Retry::Never, "{takes}: {fault:?}")
            }
            Outcome::Accepted(reply) | Outcome::Queued(reply) => panic!("{takes}: {reply}"),
        }
        assert!(!connection.is_reusable());
    }
}

/// A server that says the credential back, decoded, in a refusal and in what is no reply, where the cut falls into it.
#[tokio::test(start_paused = true)]
async fn a_credential_that_is_said_back_goes_no_further() {
    let (token, password) = (format!("eyJ0.{}", "Zm9v_-b4r".repeat(9)), "p'a\"ss~wörd 1".to_string());
    for (secret, said) in [
        (&token, format!("535 5.7.3 Bearer {token} is bad")),
        (&password, format!("535 5.7.3 no \"{password}\" here")),
        (&password, format!("{}{password} is wrong", "x".repeat(70))),
        (&token, format!("HTTP/1.1 {token}")),
        (&token, "x".repeat(60) + &token),
    ] {
        let (wire, mut server) = duplex(4096);
        let mut link = Link::new(Box::new(wire), Arc::new(Deadlines::default()));
        link.line(&crate::upstream::line::Line::secret(
            "c2VjcmV0",
            "[redacted]",
            Some(&Secret::new(secret.clone())),
        ));
        server.write_all(format!("{said}\r\n").as_bytes()).await.unwrap();
        link.write(Stage::Auth).await.unwrap();
        let fault = match link.reply(Stage::Auth).await {
            Ok(reply) => Fault::refused(Stage::Auth, &reply),
            Err(fault) => fault,
        };
        let reply = crate::outcome::Outcome::Failed(fault.clone()).to_reply(&Default::default());
        for shown in [fault.to_string(), format!("{fault:?}"), reply.to_string()] {
            assert!(
                !secret.as_bytes().windows(8).any(|part| shown.contains(&*String::from_utf8_lossy(part))),
                "{shown}"
            );
        }
        assert!(fault.to_string().contains("[redacted]"), "{fault}");
    }
}

/// A term of a fleet that ends when its sender says so.
fn term() -> (watch::Sender<Lasts>, Arc<Term>) {
    let later = BootTime::now().plus(Duration::from_secs(3600));
    let (sender, lasts) = watch::channel(Lasts { until: Some(later), is_recalled: false });
    (sender, Arc::new(Term::new(lasts, Arc::default(), (1, 1), || ())))
}

const OVER: Lasts = Lasts { until: Some(BootTime::at_boot()), is_recalled: false };

/// As after SIGSTOP: the replica wakes up in the middle of a mail, and its connection is another's.
#[tokio::test(start_paused = true)]
async fn past_its_term_a_connection_never_ends_a_mail() {
    let (mut connection, mut server) = connection(Duration::from_secs(3000));
    let (ends, term) = term();
    connection.bind(Some(term));
    let server = tokio::spawn(async move {
        let mut octets = [0; 1000];
        for reply in ["250 OK\r\n", "250 OK\r\n"] {
            let _ = server.read(&mut octets).await.unwrap();
            server.write_all(reply.as_bytes()).await.unwrap();
        }
        let data = server.read(&mut octets).await.unwrap();
        assert_eq!(&octets[..data], b"DATA\r\n");
        ends.send_replace(OVER);
        server.write_all(b"354 go on\r\n").await.unwrap();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        rest
    });
    let (envelope, mut content) = (envelope(), content());
    let outcome = connection.send(&envelope, &mut content).await.unwrap();
    let Outcome::Failed(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!((fault.cause(), fault.retry()), (&Cause::TermOver, Retry::Again));
    assert!(!connection.is_reusable());
    drop(connection);
    assert_eq!(server.await.unwrap(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_others_wait_for_takes_no_further_mail() {
    let (mut connection, _server) = connection(Duration::from_secs(3000));
    let (ends, term) = term();
    connection.bind(Some(term));
    assert!(connection.is_reusable());
    let wanted = connection.wanted();
    ends.send_modify(|lasts| lasts.is_recalled = true);
    wanted.await;
    assert!(!connection.is_reusable());
}
