//! What it accepts, what it refuses and in which words, what it holds against a client.

use std::time::Duration;

use crate::client::{Client, HEADER, MAIL, RCPT, ask, none, start, token, xoauth2};
use office365::{Fault, Office365, Settings, Stage, Times, Via, wording};

#[test]
fn data_is_taken_unstuffed() {
    let office365 = start();
    let mut client = Client::signed_in(&office365);
    assert_eq!(client.command(MAIL), "250 2.1.0 Sender OK");
    assert_eq!(client.command(RCPT), "250 2.1.5 Recipient OK");
    assert_eq!(client.command("DATA"), "354 Start mail input; end with <CRLF>.<CRLF>");
    // Octet by octet: the decoder must not depend on how the content is cut.
    for octet in format!("{HEADER}..\r\n...\r\n..a\r\n.\r\n").bytes() {
        client.send([octet]);
    }
    let store = format!("[Hostname={}]", wording::STORE);
    assert_eq!(client.reply(), format!("250 2.0.0 OK <1@contoso.com> {store}"));
    assert_eq!(client.command("QUIT"), "221 2.0.0 Service closing transmission channel");
    let taken = office365.wait_taken(1, Duration::from_secs(5));
    assert_eq!(taken[0].content, format!("{HEADER}.\r\n..\r\n.a\r\n").into_bytes());
    assert_eq!(taken[0].mail, "FROM:<app@contoso.com>");
    assert_eq!(taken[0].rcpts, ["TO:<someone@example.com>"]);
    assert_eq!((taken[0].mailbox.as_str(), taken[0].via), ("app@contoso.com", Via::Data));
    assert!(taken[0].tls.starts_with("TLSv1_3 "), "{}", taken[0].tls);
    assert_eq!(office365.violations(), none());
}

#[test]
fn a_flight_of_mail_rcpt_bdat_is_one_round_trip() {
    let office365 = start();
    let mut client = Client::signed_in(&office365);
    let before = office365.stats().round_trips;
    let content = format!("{HEADER}.\r\n{}\r\n", "x".repeat(40_000));
    let size = content.len();
    client.send(format!("{MAIL} SIZE={size} BODY=8BITMIME\r\n{RCPT}\r\nBDAT {size} LAST\r\n{content}"));
    let replies = client.replies::<3>();
    assert_eq!(replies.each_ref().map(|r| &r[..9]), ["250 2.1.0", "250 2.1.5", "250 2.0.0"]);
    assert_eq!(office365.stats().round_trips - before, 1);
    let taken = office365.taken();
    assert_eq!(taken[0].content, content.into_bytes());
    assert_eq!(taken[0].via, Via::Bdat(1));
    assert_eq!(office365.violations(), none());
}

#[test]
fn extensions_are_exchanges_in_its_order() {
    let office365 = start();
    let mut client = Client::secure(&office365);
    let reply = client.command("EHLO test.contoso.com");
    let offered: Vec<&str> = reply.lines().skip(1).map(|line| &line[4..]).collect();
    let expected = [
        "SIZE 157286400",
        "PIPELINING",
        "DSN",
        "ENHANCEDSTATUSCODES",
        "AUTH LOGIN XOAUTH2",
        "8BITMIME",
        "BINARYMIME",
        "CHUNKING",
        "SMTPUTF8",
    ];
    assert_eq!(offered, expected);
}

#[test]
fn token_endpoint_refuses_in_entras_words() {
    let office365 = start();
    for (replace, status, error, code) in [
        (("client_secret", "wrong"), 401, "invalid_client", 7_000_215),
        (("client_id", "unknown"), 400, "unauthorized_client", 700_016),
        (("tenant", "other"), 400, "invalid_request", 90_002),
        (("scope", "https://graph.microsoft.com/.default"), 400, "invalid_scope", 70_011),
        (("grant_type", "password"), 400, "unsupported_grant_type", 70_003),
    ] {
        let (got, _, body) = ask(&office365, &[replace]);
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((got, json["error"].as_str().unwrap()), (status, error));
        assert_eq!(json["error_codes"], serde_json::json!([code]));
        let description = json["error_description"].as_str().unwrap();
        assert!(description.starts_with(&format!("AADSTS{code}: ")), "{description}");
    }
    assert_eq!(office365.stats().tokens_issued, 0);
    let secrets: Vec<String> = office365
        .token_requests()
        .into_iter()
        .flat_map(|r| r.fields)
        .filter(|f| f.0 == "client_secret")
        .map(|f| f.1)
        .collect();
    assert_eq!(secrets, ["[…]"; 5]);
}

#[test]
fn auth_refuses_wrong_users_and_bad_tokens() {
    let office365 = start();
    let mut client = Client::secure(&office365);
    let good = token(&office365);
    office365.fault(Fault::TokenWrongAudience, Times::Once);
    let graph = token(&office365);
    for (user, token) in
        [("other@contoso.com", &good), ("app@contoso.com", &graph), ("app@contoso.com", &"x".to_owned())]
    {
        let reply = client.command(&xoauth2(user, token));
        assert!(reply.starts_with("535 5.7.3 Authentication unsuccessful [SY5P282CA0097."), "{reply}");
    }
    office365.revoke_tokens();
    assert!(client.command(&xoauth2("app@contoso.com", &good)).starts_with("535 5.7.3 "));
    // Without an initial response, with a token made after the revocation.
    assert_eq!(client.command("AUTH XOAUTH2"), "334 ");
    let response = xoauth2("app@contoso.com", &token(&office365));
    assert_eq!(client.command(response.rsplit(' ').next().unwrap()), "235 2.7.0 Authentication successful");
    let stats = office365.stats();
    assert_eq!((stats.auth_ok, stats.auth_refused), (1, 4));
    assert_eq!(office365.violations(), none());
    let shown: Vec<String> = office365.dialogue().iter().map(|line| line.to_string()).collect();
    assert!(
        shown.contains(&"1 C: AUTH XOAUTH2 […]".to_owned()) && shown.contains(&"1 C: […]".to_owned()),
        "{shown:#?}"
    );
    assert!(!shown.iter().any(|line| line.contains(&good[..20]) || line.contains("dXNlcj1")));
}

#[test]
fn auth_login_and_the_530_after_a_535() {
    let office365 = start();
    let mut client = Client::secure(&office365);
    assert_eq!(client.command("AUTH LOGIN"), "334 VXNlcm5hbWU6");
    assert_eq!(client.command("YXBwQGNvbnRvc28uY29t"), "334 UGFzc3dvcmQ6");
    assert!(client.command("d3Jvbmc=").starts_with("535 5.7.3 "));
    let reply = client.command(MAIL);
    assert!(
        reply.starts_with("530 5.7.57 Client not authenticated to send mail. Error: 535 5.7.3 "),
        "{reply}"
    );
    assert_eq!(office365.violations(), ["connection 1: MAIL without AUTH"]);
    assert_eq!(client.command("AUTH LOGIN YXBwQGNvbnRvc28uY29t"), "334 UGFzc3dvcmQ6");
    assert!(client.command("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==").starts_with("235 "));
}

#[test]
fn violations_are_recorded() {
    let settings = Settings { pipelining: false, dsn: false, smtputf8: false, ..Settings::default() };
    let office365 = Office365::start(settings);
    let mut plain = Client::connect(&office365);
    plain.reply();
    plain.command("EHLO test.contoso.com");
    assert!(plain.command("AUTH LOGIN YQ==").starts_with("451 5.7.3 Require STARTTLS"));
    assert!(plain.command(MAIL).starts_with("451 5.7.3 STARTTLS is required"));
    let mut client = Client::signed_in(&office365);
    assert!(client.command(&format!("{MAIL} RET=HDRS")).starts_with("501 5.5.4 Unrecognized parameter"));
    assert!(client.command("MAIL FROM: <app@contoso.com>").starts_with("501 5.1.7"));
    client.send(format!("{MAIL}\r\n{RCPT}\r\n"));
    client.replies::<2>();
    client.command("DATA");
    client.send("From: app@contoso.com\n\r\na\rb\r\n.\r\n");
    assert!(client.reply().starts_with("250 2.0.0 OK "), "Exchange takes it, and bounces later");
    client.send("NOOP\n");
    client.reply();
    let rules: Vec<String> =
        office365.violations().iter().map(|v| v.split_once(": ").unwrap().1.to_owned()).collect();
    let expected = [
        "AUTH without TLS: the credentials have crossed in the clear",
        "MAIL without TLS",
        "parameter RET was not offered",
        "no valid reverse-path in 'FROM: <app@contoso.com>' (RFC 5321 §4.1.2)",
        "more sent behind MAIL without waiting; PIPELINING was not offered",
        "a bare LF in the content (RFC 5321 §2.3.8)",
        "a bare CR in the content (RFC 5321 §2.3.8)",
        "a command with a bare LF or CR (RFC 5321 §2.3.8)",
    ];
    assert_eq!(rules, expected);
}

#[test]
fn send_as_is_judged_by_the_from_header_after_the_dot() {
    let office365 = start();
    let mut client = Client::signed_in(&office365);
    let content = "From: \"x, <app@contoso.com>\"\r\n <boss@contoso.com>\r\n\r\nhi\r\n";
    let flight = format!("{MAIL}\r\n{RCPT}\r\nBDAT {} LAST\r\n{content}", content.len());
    client.send(&flight);
    client.replies::<2>();
    let reply = client.reply();
    let start =
        "554 5.2.252 SendAsDenied; app@contoso.com not allowed to send as boss@contoso.com; STOREDRV.";
    assert!(reply.starts_with(start) && reply.len() > 1_900, "{reply}");
    office365.grant_send_as("app@contoso.com", "boss@contoso.com");
    client.send(&flight);
    client.replies::<2>();
    assert!(client.reply().starts_with("250 2.0.0 OK <"));
    assert_eq!(office365.violations(), none());
}

#[test]
fn a_chunk_behind_a_refusal_is_swallowed_or_not() {
    let office365 = start();
    let mut client = Client::signed_in(&office365);
    office365.fault(
        Fault::ReplyAt(Stage::Rcpt, "550 5.4.1 Recipient address rejected: Access denied".into()),
        Times::Always,
    );
    let flight = format!("{MAIL}\r\n{RCPT}\r\nBDAT 6 LAST\r\nNOOP\r\n");
    client.send(&flight);
    let replies = client.replies::<3>();
    assert!(
        replies[1].starts_with("550 5.4.1") && replies[2].starts_with("503 5.5.2 Need rcpt"),
        "{replies:?}"
    );
    assert!(client.command("RSET").starts_with("250 "), "the chunk was read as a command");
    office365.fault(Fault::ChunkNotSwallowed, Times::Once);
    client.send(&flight);
    let replies = client.replies::<4>();
    assert_eq!(replies[3], "250 2.0.0 OK", "the chunk's NOOP");
    assert_eq!((office365.taken_count(), office365.violations()), (0, none()));
}

#[test]
fn limits_answer_where_exchange_does() {
    let settings = Settings {
        max_connections: Some(1),
        messages_per_minute: Some(3),
        max_recipients: 1,
        max_message_size: 1_000,
        ..Settings::default()
    };
    let office365 = Office365::start(settings);
    let (mut first, mut second) = (Client::signed_in(&office365), Client::signed_in(&office365));
    first.command(MAIL);
    second.command(MAIL);
    second.command(RCPT);
    let size = HEADER.len();
    second.send(format!("BDAT {size} LAST\r\n{HEADER}"));
    assert_eq!(second.reply(), wording::CONCURRENT);
    first.command(RCPT);
    assert!(first.command(RCPT).starts_with("452 4.5.3 Too many recipients"));
    first.command("DATA");
    assert!(first.command(&format!("{HEADER}{}\r\n.", "x".repeat(1_000))).starts_with("552 5.3.4 "));
    assert_eq!(first.command(MAIL), "250 2.1.0 Sender OK");
    assert_eq!(second.command(MAIL), wording::SUBMISSION_RATE);
    assert_eq!(second.rest(), "");
    assert_eq!((office365.taken_count(), office365.stats().max_sending), (0, 2));
}

#[test]
fn drop_stops_everything() {
    let office365 = Office365::start(Settings { ipv6: true, ..Settings::default() });
    let (address, file) = (office365.smtp_addr(), office365.ca_file().to_owned());
    let mut client = Client::signed_in(&office365);
    assert!(std::net::TcpStream::connect(("::1", address.port())).is_ok());
    drop(office365);
    assert_eq!(client.rest(), "");
    assert!(std::net::TcpStream::connect(address).is_err());
    assert!(!file.exists());
}

#[test]
fn latency_is_paid_once_a_flight() {
    let office365 = Office365::start(Settings { latency: Duration::from_millis(100), ..Settings::default() });
    let mut client = Client::signed_in(&office365);
    let began = std::time::Instant::now();
    client.send(format!("{MAIL}\r\n{RCPT}\r\nBDAT {} LAST\r\n{HEADER}", HEADER.len()));
    let replies = client.replies::<3>();
    // A lower bound only: a slow machine may take longer, none takes less.
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert!(replies[2].starts_with("250 2.0.0 OK"));
    // Greeting, EHLO, STARTTLS, EHLO, AUTH, and the flight.
    assert_eq!(office365.stats().round_trips, 6);
}

#[test]
fn a_connector_takes_mail_without_auth() {
    let settings = Settings { connector: true, auth: vec![], chunking: false, ..Settings::default() };
    let office365 = Office365::start(settings);
    let mut client = Client::secure(&office365);
    assert!(client.command("AUTH LOGIN").starts_with("503 "));
    assert_eq!(client.command(MAIL), "250 2.1.0 Sender OK");
    assert!(client.command("BDAT 0").starts_with("500 5.3.3 Unrecognized command 'BDAT'"));
    client.command(RCPT);
    client.command("DATA");
    client.send("From: any@contoso.com\r\n\r\n.\r\n");
    assert!(client.reply().starts_with("250 2.0.0 OK <"));
    assert_eq!(office365.taken()[0].mailbox, "");
    assert_eq!(
        office365.violations(),
        ["connection 1: AUTH before EHLO under TLS", "connection 1: BDAT; CHUNKING was not offered"]
    );
}

#[test]
fn without_keeping_content_size_and_digest_remain() {
    let office365 =
        Office365::start(Settings { keep_content: false, record_dialogue: false, ..Settings::default() });
    let mut client = Client::signed_in(&office365);
    client.send(format!("{MAIL}\r\n{RCPT}\r\nBDAT {} LAST\r\n{HEADER}", HEADER.len()));
    office365.wait_taken(1, Duration::from_secs(5));
    let taken = office365.drain_taken();
    assert_eq!((taken[0].content.len(), taken[0].size), (0, HEADER.len() as u64));
    let digest = ring::digest::digest(&ring::digest::SHA256, HEADER.as_bytes());
    assert_eq!(taken[0].sha256, digest.as_ref());
    assert_eq!((office365.taken_count(), office365.stats().messages, office365.dialogue().len()), (0, 1, 0));
}
