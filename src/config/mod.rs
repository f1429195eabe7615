//! The environment in, a valid [`Config`] or every mistake out.
//!
//! Names, defaults and meanings stand in one table, `config/variables.rs`. The way of a value:
//!
//! 1. `environment.rs`: which variables are set, by value or by `X_FILE`, under which name; envy makes one flat struct
//!    of optional strings of them. `unknown.rs` judges the names that are not in the table.
//! 2. Here, in `sign_in.rs`, `managed.rs` and `network.rs`: text to values, with the parsers of `value.rs`, `address.rs`
//!    and `policy.rs`.
//!
//! A value is repeated in an error only where it cannot be a secret.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

mod variables;
mod environment;
mod unknown;
mod value;
mod cloud;
mod sign_in;
mod network;
mod report;
mod managed;
#[cfg(test)]
mod tests;

pub use cloud::{CLOUDS, Cloud};
pub use report::{Report, Row, report};
pub use sign_in::Login;
pub use variables::{DefaultValue, VARIABLES, Variable};

use crate::credential::AppLogin;
use crate::identity;
use crate::identity::sign_in::{SignIn, TokenSource};
use crate::message::sender::{self, AddressList, FromPolicy, Sender};
use crate::names::{self, HostPort, Listen, Mailbox};
use crate::smtp::path::Address;
use crate::telemetry::{AddressDetail, LogConfig, LogFormat};
use crate::transport::proxy::EgressProxy;
use crate::transport::tls::ConnectorCertificate;
use environment::{Environment, Reader};
use value::{duration, number, size};
use variables::RawEnv;

/// What mailshim was told; it exists only if valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// The name in the greeting and in EHLO upstream.
    pub hostname: String,
    /// Largest message, in bytes.
    pub max_message_size: u64,
    /// Recipients of one transaction.
    pub max_recipients: usize,
    /// Connections of the app at once.
    pub max_sessions: usize,
    /// The login that the app must use; without it, any is accepted and none is needed.
    pub app_login: Option<AppLogin>,
    /// The mailbox that signs in and sends, and how.
    pub identity: identity::sign_in::Options,
    /// Whose defaults hold.
    pub cloud: &'static Cloud,
    /// Where mail is submitted.
    pub upstream: HostPort,
    /// Extra roots: a file that could be read at start; its contents are not yet judged.
    pub ca_file: Option<PathBuf>,
    /// What a connector knows us by.
    pub connector_certificate: Option<ConnectorCertificate>,
    /// The proxy that SMTP and token traffic goes through.
    pub egress_proxy: Option<EgressProxy>,
    /// Senders that sign in as their own mailbox; nobody where it is not set.
    pub login_as_sender: AddressList,
    /// The sender that the policy uses.
    pub from: Sender,
    /// What is done about the sender that the app gave.
    pub from_policy: FromPolicy,
    /// Senders that the app may use.
    pub allowed_senders: AddressList,
    /// Recipients that the app may write to.
    pub allowed_recipients: AddressList,
    /// Where all mail goes instead.
    pub redirect_to: Option<Address>,
    /// Connections to the upstream for one mailbox.
    pub max_connections: usize,
    /// Messages of one mailbox in any 60 s; 0 for no limit.
    pub messages_per_minute: usize,
    /// Recipients of one mailbox in any 24 h; 0 for no limit.
    pub recipients_per_day: u64,
    /// The longest one mail waits before its answer.
    pub hold: Duration,
    /// Where `/livez`, `/readyz` and `/metrics` are; `None` for nowhere.
    pub http_listen: Option<SocketAddr>,
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
        let (raw, mut reader) = env.read(VARIABLES);
        reader.refuse_unknown(&env);
        match config(&raw, &mut reader) {
            Some(config) if reader.errors.is_empty() => Ok(Self { warnings: reader.warnings, ..config }),
            _ => Err(ConfigErrors(reader.errors)),
        }
    }
}

/// Reads `MAILSHIM_LISTEN` and nothing else, for the commands that only talk to a running shim.
///
/// # Errors
/// What is wrong with it.
pub fn listen_only(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Listen, ConfigErrors> {
    let (raw, mut reader) = Environment::new(vars).read(variables::variable("MAILSHIM_LISTEN"));
    listen(&raw, &mut reader).filter(|_| reader.errors.is_empty()).ok_or(ConfigErrors(reader.errors))
}

/// Reads `MAILSHIM_HTTP_LISTEN` and nothing else.
///
/// # Errors
/// What is wrong with it.
pub fn http_listen_only(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Option<SocketAddr>, ConfigErrors> {
    let (raw, mut reader) = Environment::new(vars).read(variables::variable("MAILSHIM_HTTP_LISTEN"));
    let text = raw.mailshim_http_listen.as_deref();
    reader.value("MAILSHIM_HTTP_LISTEN", text, names::http_listen).ok_or(ConfigErrors(reader.errors))
}

/// What a command needs to know to send through the running shim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where the shim listens.
    pub listen: Listen,
    /// What it asks for, if it does.
    pub app_login: Option<AppLogin>,
}

/// Reads what `send` and `sendmail` need, and nothing else.
///
/// # Errors
/// Every mistake in it.
pub fn client(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Client, ConfigErrors> {
    let names = ["MAILSHIM_LISTEN", "MAILSHIM_APP_USERNAME", "MAILSHIM_APP_PASSWORD"];
    let (raw, mut reader) =
        Environment::new(vars).read(VARIABLES.iter().filter(|variable| names.contains(&variable.name)));
    let (listen, app_login) = (listen(&raw, &mut reader), app_login(&raw, &mut reader));
    listen
        .filter(|_| reader.errors.is_empty())
        .map(|listen| Client { listen, app_login })
        .ok_or(ConfigErrors(reader.errors))
}

/// Reads the `--timeout` of a command, written as the variables' durations are.
///
/// # Errors
/// The rest of a sentence that begins with the text.
pub fn timeout(text: &str) -> Result<Duration, String> {
    duration("0s", "1d")(text)
}

/// Reads what `mailshim login` needs. The rest may be wrong or missing, but no name may be unknown.
///
/// # Errors
/// Every mistake there is.
pub fn login(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Login, ConfigErrors> {
    let env = Environment::new(vars);
    let (raw, mut reader) = env.read(sign_in::LOGIN.iter().filter_map(|name| variables::variable(name)));
    reader.refuse_unknown(&env);
    cloud(&raw, &mut reader);
    sign_in::login(&raw, &mut reader).filter(|_| reader.errors.is_empty()).ok_or(ConfigErrors(reader.errors))
}

/// `None` only after a mistake has been reported. All is read before the first `?`, so that all is reported.
fn config(raw: &RawEnv, reader: &mut Reader) -> Option<Config> {
    cloud(raw, reader);
    let listen = listen(raw, reader);
    let hostname = reader.value("MAILSHIM_HOSTNAME", raw.mailshim_hostname.as_deref(), names::hostname);
    let max_message_size = reader.value(
        "MAILSHIM_MAX_MESSAGE_SIZE",
        raw.mailshim_max_message_size.as_deref(),
        // What smtp.office365.com announces as SIZE is the most that an administrator can allow there.
        size("1KiB", "150MiB"),
    );
    let max_recipients =
        // The most that an administrator can allow in Exchange Online.
        reader.value("MAILSHIM_MAX_RECIPIENTS", raw.mailshim_max_recipients.as_deref(), number(1, 1000));
    let max_sessions =
        reader.value("MAILSHIM_MAX_SESSIONS", raw.mailshim_max_sessions.as_deref(), number(1, 1000));
    let app_login = app_login(raw, reader);
    let sign_in = sign_in::sign_in(raw, reader);
    let mailbox = mailbox(raw, reader, sign_in.as_ref());
    let upstream = upstream(raw, reader);
    let ca_file = reader.value("MAILSHIM_CA_FILE", raw.mailshim_ca_file.as_deref(), value::readable_file);
    let connector_certificate = network::connector_certificate(raw, reader);
    let egress_proxy = network::egress_proxy(raw, reader);
    let login_as_sender =
        reader.value("MAILSHIM_LOGIN_AS_SENDER", raw.mailshim_login_as_sender.as_deref(), AddressList::parse);
    let from = reader.value("MAILSHIM_FROM", raw.mailshim_from.as_deref(), Sender::parse);
    let from_policy =
        reader.value("MAILSHIM_FROM_POLICY", raw.mailshim_from_policy.as_deref(), FromPolicy::parse);
    let allowed_senders =
        reader.value("MAILSHIM_ALLOWED_SENDERS", raw.mailshim_allowed_senders.as_deref(), AddressList::parse);
    let allowed_recipients = reader.value(
        "MAILSHIM_ALLOWED_RECIPIENTS",
        raw.mailshim_allowed_recipients.as_deref(),
        AddressList::parse,
    );
    let redirect_to =
        reader.value("MAILSHIM_REDIRECT_TO", raw.mailshim_redirect_to.as_deref(), sender::redirect_to);
    let max_connections = max_connections(raw, reader);
    let messages_per_minute = reader.value(
        "MAILSHIM_MESSAGES_PER_MINUTE",
        raw.mailshim_messages_per_minute.as_deref(),
        number(0, 100_000),
    );
    let recipients_per_day = reader.value(
        "MAILSHIM_RECIPIENTS_PER_DAY",
        raw.mailshim_recipients_per_day.as_deref(),
        number(0, 10_000_000),
    );
    let hold = reader.value("MAILSHIM_HOLD", raw.mailshim_hold.as_deref(), duration("1s", "10m"));
    let filter = reader.value("MAILSHIM_LOG", raw.mailshim_log.as_deref(), value::log_filter);
    let format = reader.value("MAILSHIM_LOG_FORMAT", raw.mailshim_log_format.as_deref(), log_format);
    let http_listen =
        reader.value("MAILSHIM_HTTP_LISTEN", raw.mailshim_http_listen.as_deref(), names::http_listen);
    let addresses =
        reader.value("MAILSHIM_LOG_ADDRESSES", raw.mailshim_log_addresses.as_deref(), address_detail);
    let shutdown_delay =
        reader.value("MAILSHIM_SHUTDOWN_DELAY", raw.mailshim_shutdown_delay.as_deref(), duration("0s", "1h"));
    let shutdown_grace =
        reader.value("MAILSHIM_SHUTDOWN_GRACE", raw.mailshim_shutdown_grace.as_deref(), duration("0s", "1h"));
    let exec_on_failure =
        reader.value("MAILSHIM_EXEC_ON_FAILURE", raw.mailshim_exec_on_failure.as_deref(), on_failure);

    let mailbox = mailbox?;
    let from = from.or_else(|| Sender::of_mailbox(&mailbox));
    let sign_in = sign_in?;
    refuse_impossible_logins(reader, &sign_in, from_policy, login_as_sender.is_some());
    Some(Config {
        listen: listen?,
        hostname: hostname.unwrap_or_else(|| mailbox.domain().to_string()),
        max_message_size: max_message_size?,
        max_recipients: max_recipients?,
        max_sessions: max_sessions?,
        app_login,
        identity: identity::sign_in::Options { mailbox, sign_in, token_margin: reader.cloud.token_margin },
        cloud: reader.cloud,
        upstream: upstream?,
        ca_file,
        connector_certificate,
        egress_proxy,
        login_as_sender: login_as_sender.unwrap_or_default(),
        from: from?,
        from_policy: from_policy?,
        allowed_senders: allowed_senders.unwrap_or_default(),
        allowed_recipients: allowed_recipients.unwrap_or_default(),
        redirect_to,
        max_connections: max_connections?,
        messages_per_minute: messages_per_minute?,
        recipients_per_day: recipients_per_day? as u64,
        hold: hold?,
        http_listen: http_listen?,
        http_listen_is_default: !reader.is_set("MAILSHIM_HTTP_LISTEN"),
        log: LogConfig { filter: filter?, format: format?, addresses: addresses? },
        shutdown_delay: shutdown_delay?,
        shutdown_grace: shutdown_grace?,
        exec_on_failure: exec_on_failure?,
        warnings: Vec::new(),
    })
}

/// Before all else: the cloud's defaults hold for what is read after it.
fn cloud(raw: &RawEnv, reader: &mut Reader) {
    if let Some(cloud) = reader.value("MAILSHIM_CLOUD", raw.mailshim_cloud.as_deref(), cloud::cloud) {
        reader.cloud = cloud;
        cloud.doubt.into_iter().for_each(|doubt| reader.warn(format!("MAILSHIM_CLOUD: {doubt}")));
    }
}

/// The mailbox that signs in. Where nobody does, it is the sender that gives the domain.
fn mailbox(raw: &RawEnv, reader: &mut Reader, sign_in: Option<&SignIn>) -> Option<Mailbox> {
    if let Some(SignIn::None) = sign_in {
        reader.require(
            "MAILSHIM_FROM",
            "MAILSHIM_AUTH is none, so no mailbox says who sends: set it to the sender",
        );
        if !reader.is_set("MAILSHIM_MAILBOX") {
            let from = raw.mailshim_from.as_deref().and_then(|text| Sender::parse(text).ok())?;
            return Mailbox::parse(from.address.as_str()).ok();
        }
    } else {
        reader.require("MAILSHIM_MAILBOX", "set it to the mailbox that sends, such as noreply@contoso.com");
    }
    reader.value("MAILSHIM_MAILBOX", raw.mailshim_mailbox.as_deref(), Mailbox::parse)
}

fn listen(raw: &RawEnv, reader: &mut Reader) -> Option<Listen> {
    const NAME: &str = "MAILSHIM_LISTEN";
    let text = raw.mailshim_listen.as_deref().or_else(|| variables::default_text(NAME))?;
    let mut addresses = Vec::new();
    let mut is_valid = true;
    for entry in text.split(',').map(str::trim) {
        match names::listen_entry(entry) {
            // `localhost:25,127.0.0.1:25` would fail at the second bind.
            Ok(found) => found.into_iter().for_each(|address| {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }),
            Err(problem) => {
                reader.refuse_value(NAME, entry, &problem);
                is_valid = false;
            }
        }
    }
    if is_valid {
        reader.accept(NAME);
    }
    is_valid.then(|| Listen { addresses, is_default: !reader.is_set(NAME) })
}

/// Signing in as the sender needs a token that serves other mailboxes, and a sender that stays the app's.
fn refuse_impossible_logins(reader: &mut Reader, sign_in: &SignIn, policy: Option<FromPolicy>, is_set: bool) {
    const NAME: &str = "MAILSHIM_LOGIN_AS_SENDER";
    if !is_set {
        return;
    }
    if policy == Some(FromPolicy::Force) {
        reader.refuse(
            NAME,
            "is set, and MAILSHIM_FROM_POLICY=force gives every mail the same sender: unset one of them",
        );
    }
    if !matches!(sign_in, SignIn::Token(source) if !matches!(source, TokenSource::Refresh(..))) {
        let way = sign_in.name();
        reader.refuse(
            NAME,
            format!("needs an application that signs in (a secret, a certificate or a platform identity), not {way}"),
        );
    }
}

fn app_login(raw: &RawEnv, reader: &mut Reader) -> Option<AppLogin> {
    const USERNAME: &str = "MAILSHIM_APP_USERNAME";
    const PASSWORD: &str = "MAILSHIM_APP_PASSWORD";
    // Half a login must not pass for none: the listener would be open.
    if reader.is_set(USERNAME) {
        reader.require(
            PASSWORD,
            "MAILSHIM_APP_USERNAME is set; set both, or neither for an app without a login",
        );
    }
    if reader.is_set(PASSWORD) {
        reader.require(
            USERNAME,
            "MAILSHIM_APP_PASSWORD is set; set both, or neither for an app without a login",
        );
    }
    let password = reader.secret(PASSWORD, raw.mailshim_app_password.as_deref());
    Some(AppLogin { username: raw.mailshim_app_username.clone()?, password: password? })
}

fn upstream(raw: &RawEnv, reader: &mut Reader) -> Option<HostPort> {
    let upstream = reader.value("MAILSHIM_UPSTREAM", raw.mailshim_upstream.as_deref(), HostPort::parse)?;
    if upstream.port == 465 {
        reader.warn(
            "MAILSHIM_UPSTREAM: port 465 begins with TLS, which Office 365 does not offer and mailshim does \
             not speak; use 587",
        );
    }
    Some(upstream)
}

fn max_connections(raw: &RawEnv, reader: &mut Reader) -> Option<usize> {
    let text = raw.mailshim_max_connections.as_deref();
    let connections = reader.value("MAILSHIM_MAX_CONNECTIONS", text, number(1, 50))?;
    if connections > 3 {
        reader.warn(
            "MAILSHIM_MAX_CONNECTIONS: Office 365 allows a mailbox 3 connections at once and refuses mail \
             (432 4.3.2) beyond them",
        );
    }
    Some(connections)
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is not a log format: write auto, text or json".to_string()),
    }
}

fn address_detail(text: &str) -> Result<AddressDetail, String> {
    match text {
        "full" => Ok(AddressDetail::Full),
        "domain" => Ok(AddressDetail::Domain),
        "none" => Ok(AddressDetail::None),
        _ => Err("is not known: write full, domain or none".to_string()),
    }
}

fn on_failure(text: &str) -> Result<OnFailure, String> {
    match text {
        "stop" => Ok(OnFailure::Stop),
        "restart" => Ok(OnFailure::Restart),
        _ => Err("is neither stop nor restart".to_string()),
    }
}

/// One mistake, in words for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable, under the name that was set.
    pub variable: String,
    /// What is wrong and what to write instead, in one line.
    pub problem: String,
}

impl ConfigError {
    fn new(variable: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { variable: variable.into(), problem: problem.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.problem)
    }
}

/// Every mistake in the configuration; there is at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {} in the configuration:", if count == 1 { "mistake" } else { "mistakes" })?;
        self.0.iter().try_for_each(|error| write!(f, "\n{error}"))
    }
}

impl std::error::Error for ConfigErrors {}
