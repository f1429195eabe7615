//! The shim's sessions, relay and pool on the paused clock, and the apps that talk to them.

use std::sync::Arc;
use std::time::Duration;

use mailshim::testing::config::Config;
use mailshim::testing::deadlines::Deadlines;
use mailshim::testing::delivery::directory::{Accounts, Allowance};
use mailshim::testing::delivery::intake::Intake;
use mailshim::testing::delivery::relay::Relay;
use mailshim::testing::delivery::{Delivery, Worker};
use mailshim::testing::durable::System;
use mailshim::testing::identity::Identity;
use mailshim::testing::life::Life;
use mailshim::testing::message::Budget;
use mailshim::testing::message::policy::Policy;
use mailshim::testing::message::sender::{FromPolicy, Sender};
use mailshim::testing::queue::report::ReportOptions;
use mailshim::testing::session::machine::Limits;
use mailshim::testing::session::{Memory, Sessions};
use mailshim::testing::smtp::path::Address;
use mailshim::testing::spool::{SpoolOptions, Store};
use mailshim::testing::transport::dial::Dialer;
use mailshim::testing::transport::http::Http;
use mailshim::testing::transport::tls;
use mailshim::testing::upstream::connector::Connector;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, duplex};
use tokio::sync::watch;

use super::upstream::{HOST, Upstream};

pub struct Shim {
    sessions: Sessions,
    _life: watch::Sender<Life>,
}

impl Shim {
    pub fn new(upstream: &Upstream, messages_per_minute: usize, hold: Duration) -> Self {
        Self::over(upstream, messages_per_minute, |accounts, life, _| {
            Delivery::Direct(Relay::new(accounts, hold, life))
        })
    }

    /// With a spool in this directory, which writes in place: the clock stands still for as long as a thread would.
    pub async fn spooled(
        upstream: &Upstream,
        messages_per_minute: usize,
        directory: &str,
        lifetime: Duration,
    ) -> Self {
        let options = SpoolOptions { directory: directory.into(), max_bytes: 1_000_000_000, lifetime };
        let store = Store::in_place(&options, Arc::new(System));
        store.make_directories().unwrap();
        store.lock().await.unwrap();
        store.read_directory().await.unwrap();
        store.pace_reports((messages_per_minute > 0).then(|| (messages_per_minute / 4).max(1)));
        Self::over(upstream, messages_per_minute, |accounts, life, budget| {
            let reports = ReportOptions {
                to: None,
                mailbox: Address::parse("app@contoso.com").unwrap(),
                policy: policy(),
                upstream: HOST.into(),
            };
            let worker = Worker::new(store.clone(), Arc::clone(&accounts), lifetime, reports, budget, life);
            tokio::spawn(worker.run(3));
            Delivery::Spooled(Intake::new(store, accounts))
        })
    }

    fn over(
        upstream: &Upstream,
        messages_per_minute: usize,
        delivery: impl FnOnce(Arc<Accounts>, watch::Receiver<Life>, Budget) -> Delivery,
    ) -> Self {
        let vars = [("MAILSHIM_MAILBOX", "app@contoso.com"), ("MAILSHIM_PASSWORD", "x")];
        let vars = vars.map(|(name, value)| (name.into(), value.into()));
        let config = Config::from_env(vars).unwrap();
        let deadlines = Arc::new(Deadlines::default());
        let tls = tls::client_config(Some(upstream.ca_file()), None).unwrap();
        let wires = upstream.clone();
        let dialer = Dialer::from_wires(&deadlines, move || Box::new(wires.connect()));
        let http = Http::new(dialer.clone(), Arc::clone(&tls), &deadlines);
        let connector = Connector {
            dialer,
            tls,
            host: HOST.into(),
            port: 587,
            hostname: "contoso.com".into(),
            deadlines: Arc::clone(&deadlines),
        };
        let allowance = Allowance { connections: 3, messages_per_minute, recipients_per_day: 0 };
        let (life, seen) = watch::channel(Life::Running);
        let identity = Arc::new(Identity::new(&config.identity, http));
        let accounts = Accounts::new(identity, connector, allowance, None, None, seen.clone());
        let budget = Budget::default();
        let sessions = Sessions {
            limits: Limits {
                hostname: "contoso.com".into(),
                max_message_size: 1_000_000,
                max_recipients: 10,
                login_required: false,
            },
            app_login: None,
            delivery: delivery(Arc::new(accounts), seen.clone(), budget.clone()),
            policy: Arc::new(policy()),
            budget,
            memory: Memory::default(),
            deadlines,
            life: seen,
        };
        Self { sessions, _life: life }
    }

    /// An app's connection, greeted.
    pub async fn app(&self) -> App {
        let (ours, theirs) = duplex(64 * 1024);
        let sessions = self.sessions.clone();
        tokio::spawn(async move { sessions.serve(Box::new(theirs)).await });
        let mut app = App(BufReader::new(ours));
        app.says("220").await;
        app
    }
}

fn policy() -> Policy {
    Policy {
        from_policy: FromPolicy::Repair,
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

pub struct App(BufReader<DuplexStream>);

impl App {
    pub async fn write(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    pub async fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line.trim_end().to_string()
    }

    async fn says(&mut self, code: &str) {
        let reply = self.reply().await;
        assert!(reply.starts_with(code), "{reply}");
    }

    /// A whole mail up to its dot; the answer is not waited for.
    pub async fn submit(&mut self, from: &str, subject: &str) {
        for (command, code) in
            [("MAIL FROM:<app@contoso.com>", "250"), ("RCPT TO:<x@example.com>", "250"), ("DATA", "354")]
        {
            self.write(&format!("{command}\r\n")).await;
            self.says(code).await;
        }
        self.write(&format!("From: {from}\r\nSubject: {subject}\r\n\r\ntext\r\n.\r\n")).await;
    }

    /// A whole mail and its answer.
    pub async fn mail(&mut self, subject: &str) -> String {
        self.submit("app@contoso.com", subject).await;
        self.reply().await
    }
}
