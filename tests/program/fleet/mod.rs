//! Replicas of the real program on a real PostgreSQL, made for the test; skipped, with a line, where none is installed.

mod engine;
mod limits;
mod long;
mod pace;

use std::time::Duration;

use office365::Office365;
use support::CANARY;
use support::files::TempFile;
use support::postgres::Postgres;
use support::program::Program;

/// A replica of the fleet on this server.
struct Fleet {
    postgres: Postgres,
    office365: Office365,
    roots: TempFile,
}

impl Fleet {
    fn start(settings: office365::Settings) -> Option<Self> {
        Some(Self::on(Postgres::start()?, settings))
    }

    fn on(postgres: Postgres, settings: office365::Settings) -> Self {
        let office365 = Office365::start(settings);
        let ca = std::fs::read_to_string(postgres.ca()).unwrap();
        let roots = TempFile::new(format!("{}{ca}", office365.ca_pem()));
        Self { postgres, office365, roots }
    }

    fn replica(&self, more: &[(&str, &str)]) -> Program {
        let url = self.postgres.url("replica");
        let mut variables = vec![
            ("MAILSHIM_FLEET", url.as_str()),
            ("MAILSHIM_FLEET_PASSWORD", CANARY),
            ("MAILSHIM_CA_FILE", self.roots.path()),
            ("MAILSHIM_SHUTDOWN_GRACE", "2s"),
        ];
        variables.extend(more);
        Program::start(&self.office365, &variables)
    }

    /// A replica that has reached the engine.
    fn member(&self, more: &[(&str, &str)]) -> Program {
        let mut replica = self.replica(more);
        replica.wait_for("is reached");
        replica
    }

    /// The most mails that Office 365 was sent in any 60 s.
    fn most_in_a_minute(&self) -> usize {
        let mut times: Vec<_> = self.office365.taken().iter().map(|taken| taken.at).collect();
        times.sort_unstable();
        let in_window = |from: usize| {
            times[from..].iter().take_while(|time| **time < times[from] + Duration::from_secs(60)).count()
        };
        (0..times.len()).map(in_window).max().unwrap_or_default()
    }
}

/// Sends one mail; the last reply.
fn send(replica: &Program) -> support::client::Reply {
    try_send(replica.address).expect("the replica takes a mail")
}

/// Sends one mail; `None` where the replica is gone meanwhile.
fn try_send(address: std::net::SocketAddr) -> Option<support::client::Reply> {
    let mut app = support::client::Client::dial(address);
    let mail = "EHLO app\r\nMAIL FROM:<app@contoso.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n";
    let (greeted, sent) = (app.reply().code == 220, app.try_send(mail));
    if !(greeted && sent && [250, 250, 250, 354].into_iter().all(|code| app.reply().code == code)) {
        return None;
    }
    app.try_send("Subject: fleet\r\n\r\nhello\r\n.\r\n");
    let reply = app.reply();
    (reply.code != 0).then_some(reply)
}
