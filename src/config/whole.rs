//! The whole configuration: what `run`, `check`, `exec` and `env` read.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::cloud::Cloud;
use super::environment::{Environment, Reader};
use super::error::ConfigErrors;
use super::value::{duration, number, size};
use super::variables::VARIABLES;
use super::{app, fleet, network, policy, sign_in, spool};
use crate::alert::AlertOptions;
use crate::delivery::directory::Allowance;
use crate::fleet::FleetOptions;
use crate::identity::sign_in::{IdentityOptions, SignIn};
use crate::message::policy::Policy;
use crate::message::sender::Sender;
use crate::names::{self, HostPort, Listen};
use crate::session::options::SessionOptions;
use crate::session::step::Limits;
use crate::smtp::path::Address;
use crate::spool::SpoolOptions;
use crate::telemetry::{AddressDetail, LogConfig, LogFilter, LogFormat};
use crate::transport::proxy::EgressProxy;
use crate::transport::tls::ConnectorCertificate;

/// What mailshim was told; it exists only if valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// What holds for the app's connections.
    pub session: SessionOptions,
    /// What is done about senders, recipients and headers.
    pub policy: Policy,
    /// The longest one mail waits before its answer.
    pub hold: Duration,
    /// Where mail waits on a disk; `None` where the app waits for Office 365's answer.
    pub spool: Option<SpoolOptions>,
    /// Who hears of mail that the spool could not deliver; `None` for its sender.
    pub bounce_to: Option<Address>,
    /// What this process shares with other replicas; `None` where it is alone.
    pub fleet: Option<FleetOptions>,
    /// What one mailbox may use.
    pub allowance: Allowance,
    /// The mailbox that signs in and sends, and how.
    pub identity: IdentityOptions,
    /// Whose defaults hold.
    pub cloud: &'static Cloud,
    /// Where mail is submitted.
    pub upstream: HostPort,
    /// The name in EHLO upstream.
    pub hostname: String,
    /// Extra roots: a file that could be read at start; its contents are not yet judged.
    pub ca_file: Option<PathBuf>,
    /// What a connector knows us by.
    pub connector_certificate: Option<ConnectorCertificate>,
    /// The proxy that SMTP and token traffic goes through.
    pub egress_proxy: Option<EgressProxy>,
    /// Where the status page, `/livez`, `/readyz` and `/metrics` are; `None` for nowhere.
    pub http_listen: Option<SocketAddr>,
    /// Who is told of events; `None` for nobody.
    pub alerts: Option<AlertOptions>,
    /// Nothing was set: mail goes without it if the port is taken.
    pub http_listen_is_default: bool,
    /// What to log, and how.
    pub log: LogConfig,
    /// How long to keep accepting after SIGTERM.
    pub shutdown_delay: Duration,
    /// How long to finish what is in hand after that.
    pub shutdown_grace: Duration,
    /// What the shim's own death does to the app that `exec` started.
    pub exec_on_failure: OnFailure,
    /// To be logged at start.
    pub warnings: Vec<String>,
}

/// What the shim's own death does to the app that `exec` started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// It is asked to end, too: whoever runs the container starts both again.
    Stop,
    /// Nothing: the shim is started again.
    Restart,
}

impl Config {
    /// Reads the whole configuration; give it `std::env::vars_os()`.
    ///
    /// # Errors
    /// Every mistake there is, not just the first.
    pub fn from_env(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigErrors> {
        let env = Environment::new(vars);
        let mut reader = env.read(VARIABLES);
        reader.refuse_unknown(&env);
        let config = config(&mut reader);
        let warnings = std::mem::take(&mut reader.warnings);
        reader.finish(config).map(|config| Self { warnings, ..config })
    }
}

/// `None` only after a mistake has been reported. All is read before the first `?`, so that all is reported.
pub(super) fn config(reader: &mut Reader) -> Option<Config> {
    // Before all else: the cloud's defaults hold for what is read after it.
    reader.choose_cloud();
    let listen = app::listen(reader);
    let hostname = reader.value("MAILSHIM_HOSTNAME", names::hostname);
    // What smtp.office365.com announces as SIZE is the most that an administrator can allow there.
    let max_message_size = reader.value("MAILSHIM_MAX_MESSAGE_SIZE", size("1KiB", "150MiB"));
    // The most that an administrator can allow in Exchange Online.
    let max_recipients = reader.value("MAILSHIM_MAX_RECIPIENTS", number(1, 1000));
    let max_sessions = reader.value("MAILSHIM_MAX_SESSIONS", number(1, 1000));
    let app_login = app::login(reader);
    let sign_in = sign_in::sign_in(reader);
    let mailbox = policy::mailbox(reader, sign_in.as_ref());
    let upstream = network::upstream(reader);
    let ca_file = network::ca_file(reader);
    let connector_certificate = network::connector_certificate(reader);
    let egress_proxy = network::egress_proxy(reader);
    let given = policy::read(reader);
    let connections = max_connections(reader);
    let messages_per_minute = reader.value("MAILSHIM_MESSAGES_PER_MINUTE", number(0, 100_000));
    let recipients_per_day = reader.value("MAILSHIM_RECIPIENTS_PER_DAY", number(0, 10_000_000));
    let hold = reader.value("MAILSHIM_HOLD", duration("1s", "10m"));
    let spool = spool::options(reader);
    let bounce_to = reader.value("MAILSHIM_BOUNCE_TO", Sender::parse_address);
    let fleet = fleet::options(reader, sign_in.as_ref());
    let filter = reader.value("MAILSHIM_LOG", LogFilter::parse);
    let format = reader.value("MAILSHIM_LOG_FORMAT", LogFormat::parse);
    let http_listen = network::http_listen(reader);
    let alerts = network::alerts(reader);
    let addresses = reader.value("MAILSHIM_LOG_ADDRESSES", AddressDetail::parse);
    let shutdown_delay = reader.value("MAILSHIM_SHUTDOWN_DELAY", duration("0s", "1h"));
    let shutdown_grace = reader.value("MAILSHIM_SHUTDOWN_GRACE", duration("0s", "24h"));
    let exec_on_failure = reader.value("MAILSHIM_EXEC_ON_FAILURE", on_failure);

    let sign_in = sign_in?;
    let nobody_signs_in = sign_in == SignIn::None;
    let mailbox = given.mailbox(mailbox, nobody_signs_in)?;
    policy::refuse_impossible_logins(reader, &sign_in, &given);
    let policy = given.policy(&mailbox, nobody_signs_in, hostname.as_deref());
    let hostname = hostname.unwrap_or_else(|| mailbox.domain().to_string());
    Some(Config {
        listen: listen?,
        session: SessionOptions {
            limits: Limits {
                hostname: hostname.clone(),
                max_message_size: max_message_size?,
                max_recipients: max_recipients?,
                login_required: app_login.is_some(),
            },
            app_login,
            max_sessions: max_sessions?,
        },
        policy: policy?,
        hold: hold?,
        spool: spool?,
        bounce_to,
        fleet: fleet?,
        allowance: Allowance {
            connections: connections?,
            messages_per_minute: messages_per_minute?,
            recipients_per_day: recipients_per_day? as u64,
        },
        identity: IdentityOptions { mailbox, sign_in, token_margin: reader.cloud.token_margin },
        cloud: reader.cloud,
        upstream: upstream?,
        hostname,
        ca_file,
        connector_certificate,
        egress_proxy,
        http_listen: http_listen?,
        alerts,
        http_listen_is_default: !reader.is_set("MAILSHIM_HTTP_LISTEN"),
        log: LogConfig { filter: filter?, format: format?, addresses: addresses? },
        shutdown_delay: shutdown_delay?,
        shutdown_grace: shutdown_grace?,
        exec_on_failure: exec_on_failure?,
        warnings: Vec::new(),
    })
}

fn max_connections(reader: &mut Reader) -> Option<usize> {
    let connections = reader.value("MAILSHIM_MAX_CONNECTIONS", number(1, 50))?;
    if connections > 3 {
        reader.warn(
            "MAILSHIM_MAX_CONNECTIONS: Office 365 allows a mailbox 3 connections at once and refuses mail \
             (432 4.3.2) beyond them",
        );
    }
    Some(connections)
}

fn on_failure(text: &str) -> Result<OnFailure, String> {
    match text {
        "stop" => Ok(OnFailure::Stop),
        "restart" => Ok(OnFailure::Restart),
        _ => Err("is neither stop nor restart".to_string()),
    }
}
