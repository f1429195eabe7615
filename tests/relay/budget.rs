//! The memory for held content comes back, however a message ends.

use std::sync::Arc;
use std::time::Duration;

use mailshim::testing::config::Config;
use mailshim::testing::delivery::Delivery;
use mailshim::testing::delivery::directory::{Accounts, Allowance};
use mailshim::testing::delivery::relay::Relay;
use mailshim::testing::identity::Identity;
use mailshim::testing::life::Life;
use mailshim::testing::message::Budget;
use mailshim::testing::message::budget::{CERTAIN_SHARE, MAX_COMMON_SHARE};
use mailshim::testing::message::policy::Policy;
use mailshim::testing::message::sender::{FromPolicy, Sender};
use mailshim::testing::session::machine::Limits;
use mailshim::testing::session::{Memory, Sessions};
use mailshim::testing::smtp::path::Address;
use mailshim::testing::transport::dial::Dialer;
use mailshim::testing::transport::http::Http;
use mailshim::testing::transport::tls;
use mailshim::testing::upstream::connector::Connector;
use support::PATIENCE;
use support::mails::{large, stuffed};
use support::thread::deadlines;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use tokio::time::timeout;

/// The least that signs in.
fn config() -> Config {
    let vars = [("MAILSHIM_MAILBOX", "app@contoso.com"), ("MAILSHIM_PASSWORD", "x")];
    Config::from_env(vars.map(|(name, value)| (name.into(), value.into()))).unwrap()
}

/// The sender stays as the app gave it.
fn policy() -> Policy {
    Policy {
        from_policy: FromPolicy::Keep,
        from: Sender { display: None, address: Address::parse("app@contoso.com").unwrap() },
        null_sender_stays: false,
        allowed_senders: None,
        allowed_recipients: None,
        login_as_sender: None,
        local_to: None,
        redirect_to: None,
        hostname: "contoso.com".into(),
        domain: "contoso.com".into(),
    }
}

/// Sessions whose mail finds nobody upstream.
fn sessions(budget: &Budget) -> (Sessions, watch::Sender<Life>) {
    let deadlines = Arc::new(deadlines());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (dialer, tls) = (Dialer::new(&deadlines, None), tls::client_config(None, None).unwrap());
    let http = Http::new(dialer.clone(), Arc::clone(&tls), &deadlines);
    let connector = Connector {
        dialer,
        tls,
        host: "127.0.0.1".into(),
        port: closed.port(),
        hostname: "contoso.com".into(),
        deadlines: Arc::clone(&deadlines),
    };
    let (life, seen) = watch::channel(Life::Running);
    let allowance = Allowance { connections: 3, messages_per_minute: 0, recipients_per_day: 0 };
    let identity = Arc::new(Identity::new(&config().identity, http));
    let accounts = Accounts::new(identity, connector, allowance, None, None, seen.clone());
    let relay = Relay::new(Arc::new(accounts), Duration::from_secs(2), seen.clone());
    let limits = Limits {
        hostname: "contoso.com".into(),
        max_message_size: 10_000_000,
        max_recipients: 500,
        login_required: false,
    };
    let sessions = Sessions {
        limits,
        app_login: None,
        delivery: Delivery::Direct(relay),
        policy: Arc::new(policy()),
        budget: budget.clone(),
        memory: Memory::default(),
        deadlines,
        life: seen,
    };
    (sessions, life)
}

async fn until_reply(app: &mut DuplexStream, code: &str) -> String {
    let mut said = String::new();
    let mut octets = [0; 4096];
    let reading = async {
        while !said.lines().any(|line| line.starts_with(code)) || !said.ends_with('\n') {
            match app.read(&mut octets).await {
                Ok(0) | Err(_) => break,
                Ok(count) => said.push_str(std::str::from_utf8(&octets[..count]).unwrap()),
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {code}"));
    said
}

#[tokio::test]
async fn what_was_held_is_given_back() {
    for octets in [1000, 200_000, 600_000] {
        for hangs_up in [false, true] {
            let budget = Budget::default();
            let (sessions, _life) = sessions(&budget);
            let (mut app, wire) = duplex(1024 * 1024);
            let session = tokio::spawn(async move { sessions.serve(Box::new(wire)).await });
            let content = stuffed(&large(1, octets));
            app.write_all(b"MAIL FROM:<app@contoso.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n")
                .await
                .unwrap();
            until_reply(&mut app, "354").await;
            app.write_all(&content).await.unwrap();
            let holds = async {
                while budget.used() == 0 {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, holds).await.expect("it is held");
            assert!(budget.used() <= 256 * 1024 + 16 * 1024, "{}", budget.used());
            if !hangs_up {
                until_reply(&mut app, "451").await;
            }
            drop(app);
            timeout(PATIENCE, session)
                .await
                .unwrap_or_else(|_| panic!("no end: {octets} {hangs_up}"))
                .unwrap();
            assert_eq!(budget.used(), 0, "{octets} {hangs_up}");
        }
    }
}

/// A header block of this length, without its end.
fn header_block(octets: usize) -> Vec<u8> {
    let line = format!("X-Long: {}\r\n", "v".repeat(990));
    [&b"From: app@contoso.com\r\n"[..], &line.repeat(octets.div_ceil(1000)).into_bytes()].concat()
}

#[tokio::test]
async fn header_blocks_share_their_room_and_give_it_back() {
    let budget = Budget::default();
    let (sessions, _life) = sessions(&budget);
    let mut apps = Vec::new();
    for _ in 0..20 {
        let (mut app, wire) = duplex(1024 * 1024);
        let sessions = sessions.clone();
        let session = tokio::spawn(async move { sessions.serve(Box::new(wire)).await });
        app.write_all(b"MAIL FROM:<app@contoso.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n").await.unwrap();
        until_reply(&mut app, "354").await;
        // More than is held: it is read on, and counted.
        app.write_all(&header_block(250_000)).await.unwrap();
        app.write_all(b"\r\n").await.unwrap();
        app.write_all(&b"text\r\n".repeat(5_000)).await.unwrap();
        apps.push((app, session));
    }
    let mut refused = 0;
    for (app, _) in &mut apps {
        app.write_all(b".\r\n").await.unwrap();
        let said = until_reply(app, "45").await;
        refused += usize::from(said.contains("452 4.3.1 "));
        assert!(said.contains("452 4.3.1 ") || said.contains("451 "), "{said}");
    }
    let fit = MAX_COMMON_SHARE / (256 * 1024 - CERTAIN_SHARE);
    assert!(refused > 0 && refused <= 20 - fit, "{refused} of 20 were refused, where {fit} fit");
    for (app, session) in apps {
        drop(app);
        timeout(PATIENCE, session).await.expect("its end").unwrap();
    }
    assert_eq!((budget.used(), budget.common_used()), (0, 0));
}
