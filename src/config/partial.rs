//! What the single commands read: no more than they need, so that a mistake elsewhere does not stop them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::Environment;
use super::error::ConfigErrors;
use super::variables::variable;
use super::{app, application, fleet, network, policy, spool, value};
use crate::credential::AppLogin;
use crate::fleet::FleetOptions;
use crate::identity::sign_in::{Application, IdentityOptions, SignIn};
use crate::message::policy::Policy;
use crate::names::{self, Listen};
use crate::transport::proxy::EgressProxy;

/// Reads `MAILSHIM_LISTEN` and nothing else, for the commands that only talk to a running shim.
///
/// # Errors
/// What is wrong with it.
pub fn listen_only(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Listen, ConfigErrors> {
    let mut reader = Environment::new(vars).read(variable("MAILSHIM_LISTEN"));
    let listen = app::listen(&mut reader);
    reader.finish(listen)
}

/// Reads `MAILSHIM_HTTP_LISTEN` and nothing else.
///
/// # Errors
/// What is wrong with it.
pub fn http_listen_only(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Option<SocketAddr>, ConfigErrors> {
    let mut reader = Environment::new(vars).read(variable("MAILSHIM_HTTP_LISTEN"));
    let http_listen = network::http_listen(&mut reader);
    reader.finish(http_listen)
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
    let mut reader = Environment::new(vars).read(names.into_iter().filter_map(variable));
    let (listen, app_login) = (app::listen(&mut reader), app::login(&mut reader));
    reader.finish(listen.map(|listen| Client { listen, app_login }))
}

/// Reads `MAILSHIM_SPOOL_DIR` and nothing else.
///
/// # Errors
/// It is not set, or no path.
pub fn spool_directory(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<PathBuf, ConfigErrors> {
    let mut reader = Environment::new(vars).read(variable("MAILSHIM_SPOOL_DIR"));
    reader.require("MAILSHIM_SPOOL_DIR", "without it there is no spool: set it to the one that the shim has");
    let directory = spool::directory(&mut reader);
    reader.finish(directory)
}

/// Reads an age on the command line.
///
/// # Errors
/// The rest of a sentence that begins with the text.
pub fn age(text: &str) -> Result<Duration, String> {
    value::duration("0s", "3650d")(text)
}

/// Reads what `mailshim queue retry --prepare` needs where no shim runs: who mail comes from. The rest may be wrong or
/// missing, but no name may be unknown.
///
/// # Errors
/// Every mistake there is.
pub fn sender_policy(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Policy, ConfigErrors> {
    let names = [
        "MAILSHIM_CLOUD",
        "MAILSHIM_AUTH",
        "MAILSHIM_MAILBOX",
        "MAILSHIM_HOSTNAME",
        "MAILSHIM_LOGIN_AS_SENDER",
        "MAILSHIM_FROM",
        "MAILSHIM_FROM_POLICY",
        "MAILSHIM_ALLOWED_SENDERS",
        "MAILSHIM_ALLOWED_RECIPIENTS",
        "MAILSHIM_LOCAL_TO",
        "MAILSHIM_REDIRECT_TO",
    ];
    let env = Environment::new(vars);
    let mut reader = env.read(names.into_iter().filter_map(variable));
    reader.refuse_unknown(&env);
    reader.choose_cloud();
    // The only way in that changes what is made of a sender, and none that is deduced.
    let is_without = reader.text("MAILSHIM_AUTH") == Some("none");
    let given = policy::read(&mut reader);
    let sign_in = is_without.then_some(SignIn::None);
    let mailbox = policy::mailbox(&mut reader, sign_in.as_ref());
    let hostname = reader.value("MAILSHIM_HOSTNAME", names::hostname);
    let mailbox = given.mailbox(mailbox, is_without);
    let policy = mailbox.and_then(|mailbox| given.policy(&mailbox, is_without, hostname.as_deref()));
    reader.finish(policy)
}

/// Reads the `--timeout` of a command, written as the variables' durations are.
///
/// # Errors
/// The rest of a sentence that begins with the text.
pub fn timeout(text: &str) -> Result<Duration, String> {
    value::duration("0s", "1d")(text)
}

/// What `mailshim login` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Whom to ask, as whom, for what.
    pub application: Application,
    /// Where the refresh token goes; it need not exist.
    pub refresh_token_file: PathBuf,
    /// Extra roots.
    pub ca_file: Option<PathBuf>,
    /// The proxy that token traffic goes through.
    pub egress_proxy: Option<EgressProxy>,
}

/// Reads what `mailshim login` needs. The rest may be wrong or missing, but no name may be unknown.
///
/// # Errors
/// Every mistake there is.
pub fn login(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Login, ConfigErrors> {
    const FILE: &str = "MAILSHIM_REFRESH_TOKEN_FILE";
    let names = [
        "MAILSHIM_CLOUD",
        "MAILSHIM_EGRESS_PROXY",
        "NO_PROXY",
        "MAILSHIM_TENANT_ID",
        "MAILSHIM_CLIENT_ID",
        "AZURE_AUTHORITY_HOST",
        "MAILSHIM_OAUTH_SCOPE",
        FILE,
        "MAILSHIM_CA_FILE",
    ];
    let env = Environment::new(vars);
    let mut reader = env.read(names.into_iter().filter_map(variable));
    reader.refuse_unknown(&env);
    reader.choose_cloud();
    let application = application::delegated(&mut reader);
    reader.require(FILE, "set it to the path where the sign-in is to be kept, on a volume that stays");
    let ca_file = network::ca_file(&mut reader);
    let egress_proxy = network::egress_proxy(&mut reader);
    let refresh_token_file = reader.text(FILE).map(PathBuf::from);
    let login = application.zip(refresh_token_file).map(|(application, refresh_token_file)| Login {
        application,
        refresh_token_file,
        ca_file,
        egress_proxy,
    });
    reader.finish(login)
}

/// What `mailshim fleet` needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetCommand {
    /// The fleet.
    pub options: FleetOptions,
    /// Extra roots.
    pub ca_file: Option<PathBuf>,
    /// The proxy that token traffic goes through.
    pub egress_proxy: Option<EgressProxy>,
    /// Whose token is the role's password, where it is one.
    pub identity: Option<IdentityOptions>,
}

/// Reads what `mailshim fleet` needs. The rest may be wrong or missing, but no name may be unknown.
///
/// # Errors
/// Every mistake there is.
pub fn fleet_command(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<FleetCommand, ConfigErrors> {
    const FLEET: [&str; 9] = [
        "MAILSHIM_FLEET",
        "MAILSHIM_FLEET_PASSWORD",
        "MAILSHIM_FLEET_AUTH",
        "MAILSHIM_FLEET_CERT_FILE",
        "MAILSHIM_FLEET_KEY_FILE",
        "MAILSHIM_FLEET_SCHEMA",
        "MAILSHIM_FLEET_SIZE",
        "MAILSHIM_FLEET_UNREACHABLE",
        "MAILSHIM_CA_FILE",
    ];
    const SIGN_IN: [&str; 18] = [
        "MAILSHIM_CLOUD",
        "MAILSHIM_EGRESS_PROXY",
        "NO_PROXY",
        "MAILSHIM_MAILBOX",
        "MAILSHIM_AUTH",
        "MAILSHIM_TENANT_ID",
        "MAILSHIM_CLIENT_ID",
        "MAILSHIM_CLIENT_SECRET",
        "MAILSHIM_CLIENT_CERTIFICATE_PATH",
        "MAILSHIM_CLIENT_CERTIFICATE_PASSWORD",
        "AZURE_FEDERATED_TOKEN_FILE",
        "MAILSHIM_MANAGED_IDENTITY",
        "IDENTITY_ENDPOINT",
        "IDENTITY_HEADER",
        "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        "AZURE_AUTHORITY_HOST",
        "MAILSHIM_OAUTH_SCOPE",
        "MAILSHIM_REFRESH_TOKEN_FILE",
    ];
    let env = Environment::new(vars);
    let by_token = fleet::needs_sign_in(&env.read(FLEET.into_iter().filter_map(variable)));
    let others = if by_token { &SIGN_IN[..] } else { &[] };
    let mut reader = env.read(FLEET.iter().chain(others).copied().filter_map(variable));
    reader.refuse_unknown(&env);
    reader.choose_cloud();
    reader.require(
        "MAILSHIM_FLEET",
        "set it to postgresql://user@host/database, with the owner of the schema for init",
    );
    let sign_in = if by_token { fleet::sign_in_if_needed(&mut reader).flatten() } else { None };
    let options = fleet::options(&mut reader, sign_in.as_ref()).flatten();
    let ca_file = network::ca_file(&mut reader);
    let egress_proxy = if by_token { network::egress_proxy(&mut reader) } else { None };
    let mailbox = if by_token { policy::mailbox(&mut reader, sign_in.as_ref()) } else { None };
    let token_margin = reader.cloud.token_margin;
    let identity =
        mailbox.zip(sign_in).map(|(mailbox, sign_in)| IdentityOptions { mailbox, sign_in, token_margin });
    let command = options.map(|options| FleetCommand { options, ca_file, egress_proxy, identity });
    reader.finish(command)
}
