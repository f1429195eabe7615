//! Faults: each happens at its moment, as often as told, and is not held against the client.

use std::time::Duration;

use crate::client::{Client, HEADER, MAIL, RCPT, ask, none, start, token, xoauth2};
use office365::{Fault, Office365, Settings, Stage, Times, TlsSetup, wording};

#[test]
fn faults_happen_at_their_stage_and_as_often_as_told() {
    let office365 = start();
    office365.fault(Fault::ReplyAt(Stage::Greeting, wording::NOT_AVAILABLE.into()), Times::Once);
    let mut client = Client::connect(&office365);
    assert_eq!(client.rest(), format!("{}\r\n", wording::NOT_AVAILABLE));
    let mut client = Client::signed_in(&office365);
    for fault in
        [Fault::MixedCodesAt(Stage::Mail), Fault::GarbageAt(Stage::Mail), Fault::TrickleAt(Stage::Mail)]
    {
        office365.fault(fault, Times::Once);
    }
    assert_eq!(client.command(MAIL), "250-a\n550 b");
    assert!(client.command(MAIL).starts_with('\0'));
    assert_eq!(client.command(MAIL), "250 2.1.0 Sender OK");
    client.command(RCPT);
    office365.fault(Fault::HalfReplyAt(Stage::Dot), Times::Once);
    client.command("DATA");
    client.send(format!("{HEADER}.\r\n"));
    let half = client.rest();
    assert!(half.starts_with("250 2.0.0 OK <1@") && !half.ends_with('\n'), "{half}");
    assert_eq!(office365.wait_taken(1, Duration::from_secs(5))[0].content, HEADER.as_bytes());
    for (stage, taken) in [(Stage::Content, 1), (Stage::Dot, 1), (Stage::Accepted, 2)] {
        let mut client = Client::signed_in(&office365);
        office365.fault(Fault::DropAt(stage), Times::Once);
        client.send(format!("{MAIL}\r\n{RCPT}\r\nBDAT {} LAST\r\n{HEADER}", HEADER.len()));
        assert_eq!(client.rest(), "250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n", "{stage:?}");
        assert_eq!(office365.taken_count(), taken, "{stage:?}");
    }
    assert_eq!(office365.violations(), none());
}

#[test]
fn starttls_faults() {
    let office365 = start();
    office365.fault(Fault::StartTlsStripped, Times::Once);
    let mut client = Client::connect(&office365);
    client.reply();
    assert!(client.command("EHLO a.b").contains("\n250-XXXXXXXX\n"));
    assert!(client.command("STARTTLS").starts_with("500 5.3.3 "));
    office365.fault(Fault::InjectAfterStartTls, Times::Once);
    assert!(!client.command("EHLO a.b").contains("XXXXXXXX"));
    client.send("STARTTLS\r\n");
    assert_eq!(client.reply(), "220 2.0.0 SMTP server ready");
    assert_eq!(client.reply(), "250 injected");
    for setup in [
        TlsSetup::WrongName,
        TlsSetup::Expired,
        TlsSetup::SelfSigned,
        TlsSetup::UnknownCa,
        TlsSetup::MissingIntermediate,
    ] {
        let office365 = Office365::start(Settings { tls: setup, ..Settings::default() });
        let mut client = Client::connect(&office365);
        client.reply();
        client.command("EHLO a.b");
        client.command("STARTTLS");
        let error = client.start_tls(&office365).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.starts_with("invalid peer certificate"), "{setup:?}: '{error}'");
        assert!(office365.wait(Duration::from_secs(5), |stats| stats.handshakes_failed == 1), "{setup:?}");
    }
    let office365 = Office365::start(Settings { tls: TlsSetup::Intermediate, ..Settings::default() });
    Client::signed_in(&office365);
}

#[test]
fn idle_connections_end_as_told() {
    let office365 = start();
    let mut busy = Client::signed_in(&office365);
    busy.command(MAIL);
    let mut idle = Client::signed_in(&office365);
    office365.close_idle();
    assert_eq!(idle.rest(), "");
    assert_eq!(busy.command("RSET"), "250 2.0.0 Resetting");
    office365.fault(Fault::TimeoutIdle(Duration::from_millis(20)), Times::Once);
    assert_eq!(busy.rest(), "421 4.4.1 Connection timed out\r\n");
    let mut deaf = Client::signed_in(&office365);
    office365.fault(Fault::BlackholeIdle, Times::Once);
    deaf.patience(Duration::from_millis(200));
    assert_eq!(deaf.command("NOOP"), "");
    assert!(!office365.dialogue().iter().any(|line| line.text == "NOOP"));
    drop(deaf);
    assert!(office365.wait(Duration::from_secs(5), |stats| stats.connections_open == 0));
}

#[test]
fn token_faults() {
    let office365 = start();
    office365.fault("token-retry-after=429=7".parse().unwrap(), Times::Once);
    let (status, head, _) = ask(&office365, &[]);
    assert!(status == 429 && head.contains("\r\nretry-after: 7"), "{head}");
    office365.fault(Fault::TokenGarbage, Times::Once);
    let (status, _, body) = ask(&office365, &[]);
    assert!(status == 200 && serde_json::from_str::<serde_json::Value>(&body).is_err());
    office365.fault(Fault::TokenDrop, Times::Once);
    assert_eq!(ask(&office365, &[]).0, 0);
    office365.fault(Fault::TokenHugeHeader, Times::Once);
    assert!(ask(&office365, &[]).1.len() > 1_000_000);
    office365.fault(Fault::TokenLifetime(Duration::from_secs(0)), Times::Once);
    let mut client = Client::secure(&office365);
    assert!(client.command(&xoauth2("app@contoso.com", &token(&office365))).starts_with("535 5.7.3 "));
    let statuses: Vec<u16> = office365.token_requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [429, 200, 0, 200, 200]);
    assert_eq!(office365.violations(), none());
}

#[test]
fn silence_and_noise() {
    let office365 = start();
    for (fault, first) in [
        (Fault::HttpInsteadOfSmtp, "HTTP/1.1 400 Bad Request"),
        (Fault::GarbageAt(Stage::Connect), "\0"),
        (Fault::DropAt(Stage::Connect), ""),
        (Fault::ResetAt(Stage::Greeting), ""),
        (Fault::StallAt(Stage::Greeting), ""),
    ] {
        office365.fault(fault.clone(), Times::Once);
        let mut client = Client::connect(&office365);
        client.patience(Duration::from_millis(100));
        let reply = client.reply();
        assert!(reply.starts_with(first) && (reply.is_empty() == first.is_empty()), "{fault:?}: {reply}");
    }
    let mut client = Client::signed_in(&office365);
    office365.fault(Fault::EndlessReplyAt(Stage::Noop), Times::Once);
    client.send("NOOP\r\n");
    for _ in 0..10_000 {
        assert_eq!(client.line(), "250-and another thing");
    }
    drop(client);
    let mut client = Client::signed_in(&office365);
    office365.fault(Fault::QuitIgnored, Times::Once);
    client.patience(Duration::from_millis(200));
    assert_eq!(client.command("QUIT"), "");
    client.patience(Duration::from_secs(5));
    assert_eq!(client.command("NOOP"), "250 2.0.0 OK");
    assert_eq!(office365.violations(), none());
}

#[test]
fn handshake_faults() {
    for fault in [
        Fault::TlsGarbage,
        Fault::DropAt(Stage::Handshake),
        Fault::ResetAt(Stage::Handshake),
        Fault::ReplyAt(Stage::Handshake, "454 4.7.0 TLS not available".into()),
    ] {
        let office365 = start();
        office365.fault(fault.clone(), Times::Once);
        let mut client = Client::connect(&office365);
        client.reply();
        client.command("EHLO a.b");
        assert_eq!(client.command("STARTTLS"), "220 2.0.0 SMTP server ready");
        assert!(client.start_tls(&office365).is_err(), "{fault:?}");
        Client::signed_in(&office365);
    }
}

#[test]
fn an_xoauth2_challenge_ends_in_535() {
    let office365 = start();
    let mut client = Client::secure(&office365);
    office365.fault(Fault::XoauthChallenge, Times::Once);
    let line = xoauth2("app@contoso.com", &token(&office365));
    assert!(client.command(&line).starts_with("334 eyJzdGF0dXMiOiI0MDEi"));
    assert!(client.command("").starts_with("535 5.7.3 "));
    assert!(client.command(&line).starts_with("235 "), "the next attempt is judged as ever");
    assert_eq!(office365.violations(), none());
}

#[test]
fn an_unwanted_354() {
    let office365 = start();
    let mut client = Client::signed_in(&office365);
    office365.fault(Fault::ReplyAt(Stage::Rcpt, "550 5.1.1 no".into()), Times::Times(2));
    office365.fault(Fault::UnwantedData354, Times::Once);
    client.send(format!("{MAIL}\r\n{RCPT}\r\n{RCPT}\r\nDATA\r\n"));
    let replies = client.replies::<4>();
    assert!(replies[2].starts_with("550 5.1.1") && replies[3].starts_with("354 "), "{replies:?}");
    client.send(format!("{HEADER}.\r\n"));
    assert!(client.reply().starts_with("554 5.5.1 No valid recipients"));
    assert_eq!((office365.taken_count(), office365.violations()), (0, none()));
}

#[test]
fn an_early_refusal_of_content() {
    let office365 = start();
    let mut client = Client::signed_in(&office365);
    client.command(MAIL);
    client.command(RCPT);
    office365.fault(Fault::ReplyAt(Stage::Chunk, wording::TEMPORARY.into()), Times::Once);
    client.send(format!("BDAT {}\r\n{HEADER}BDAT 2 LAST\r\n\r\n", HEADER.len()));
    assert_eq!(client.reply(), wording::TEMPORARY);
    assert!(client.reply().starts_with("503 5.5.2 "));
    assert_eq!((office365.taken_count(), office365.violations()), (0, none()));
    assert!(client.command(MAIL).starts_with("503 5.5.1 "), "RFC 3030 wants RSET");
    assert_eq!(office365.violations(), ["connection 1: MAIL within a transaction"]);
}

#[test]
fn every_name_of_a_fault_is_understood() {
    for name in [
        "drop-at=mail",
        "reset-at=dot",
        "reply-at=last=554 5.2.2 full=up",
        "delay-at=auth=200ms",
        "stall-at=data",
        "half-reply-at=accepted",
        "trickle-at=ehlo2",
        "garbage-at=rset",
        "mixed-codes-at=noop",
        "big-reply-at=quit",
        "endless-reply-at=chunk",
        "starttls-absent",
        "starttls-refused",
        "starttls-stripped",
        "inject-after-starttls",
        "http-instead-of-smtp",
        "chunk-not-swallowed",
        "unwanted-data-354",
        "stale-idle=2s",
        "timeout-idle=1m",
        "blackhole-idle",
        "quit-ignored",
        "tls-garbage",
        "xoauth-challenge",
        "token-error=401,invalid_client,7000222,The secret, alas, expired.",
        "token-retry-after=503=30",
        "token-5xx=502",
        "token-garbage",
        "token-missing",
        "token-stall",
        "token-delay=1s",
        "token-endless",
        "token-huge-header",
        "token-drop",
        "token-redirect",
        "token-wrong-audience",
        "token-lifetime=10s",
    ] {
        if let Err(problem) = name.parse::<Fault>() {
            panic!("{name}: {problem}");
        }
    }
    let reply = Fault::ReplyAt(Stage::Dot, "554 5.2.2 full=up".into());
    assert_eq!("reply-at=last=554 5.2.2 full=up".parse(), Ok(reply));
    for name in ["drop-at=nowhere", "drop", "delay-at=mail=5", "reply-at=mail", "token-error=401"] {
        assert!(name.parse::<Fault>().is_err(), "{name}");
    }
}
