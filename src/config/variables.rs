//! The one table of variables: name, default, meaning.

use DefaultValue::{Derived, Required, Text};

/// One environment variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What holds when it is not set.
    pub default: DefaultValue,
    /// Never shown, and read again at each use where it is given by file.
    pub secret: bool,
    /// A bad value may be repeated in an error: nobody would paste a secret here by mistake.
    pub echoed: bool,
    /// Names that are read where `name` is not set.
    pub aliases: &'static [&'static str],
    /// What it means, in one line.
    pub summary: &'static str,
}

/// What holds when a variable is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, read as if it had been set.
    Text(&'static str),
    /// Something worked out, described.
    Derived(&'static str),
    /// There must be a value.
    Required,
    /// Nothing.
    Unset,
}

impl DefaultValue {
    /// For documentation: the text, the description, or a word.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Text(text) | Self::Derived(text) => text,
            Self::Required => "required",
            Self::Unset => "unset",
        }
    }
}

const PLAIN: Variable = Variable {
    name: "",
    default: DefaultValue::Unset,
    secret: false,
    echoed: false,
    aliases: &[],
    summary: "",
};
const ECHOED: Variable = Variable { echoed: true, ..PLAIN };
const SECRET: Variable = Variable { secret: true, ..PLAIN };

/// Every variable that mailshim reads.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "MAILSHIM_LISTEN",
        default: Text("127.0.0.1:25,[::1]:25"),
        summary: "comma list of loopback addresses to listen on; localhost:25 is both",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_HOSTNAME",
        default: Derived("domain of the mailbox"),
        summary: "name in the greeting and in EHLO upstream",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_MAX_MESSAGE_SIZE",
        default: Text("35MiB"),
        summary: "largest message, advertised as SIZE",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_MAX_RECIPIENTS",
        default: Text("500"),
        summary: "recipients of one transaction",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_MAX_SESSIONS",
        default: Text("64"),
        summary: "connections of the app at once",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_APP_USERNAME",
        summary: "with MAILSHIM_APP_PASSWORD: the login that the app must use",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_APP_PASSWORD",
        summary: "with MAILSHIM_APP_USERNAME: the login that the app must use",
        ..SECRET
    },
    Variable {
        name: "MAILSHIM_MAILBOX",
        default: Required,
        summary: "the mailbox that signs in and sends",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_CLOUD",
        default: Text("worldwide"),
        summary: "worldwide, gcc-high, dod, china, outlook.com or hve: host, authority, scope and limits",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_AUTH",
        default: Derived("deduced from what is set"),
        summary: "how to sign in: secret, certificate, workload, managed, refresh, password or none",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_TENANT_ID",
        aliases: &["AZURE_TENANT_ID"],
        summary: "the Entra tenant: its id or one of its domains",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_CLIENT_ID",
        aliases: &["AZURE_CLIENT_ID"],
        summary: "the app registration: its Application (client) ID",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_CLIENT_SECRET",
        aliases: &["AZURE_CLIENT_SECRET"],
        summary: "the app registration's client secret: its Value, not its Secret ID",
        ..SECRET
    },
    Variable {
        name: "MAILSHIM_CLIENT_CERTIFICATE_PATH",
        aliases: &["AZURE_CLIENT_CERTIFICATE_PATH"],
        summary: "the app registration's certificate and RSA key: PEM, or PKCS#12",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_CLIENT_CERTIFICATE_PASSWORD",
        aliases: &["AZURE_CLIENT_CERTIFICATE_PASSWORD"],
        summary: "the password of the certificate's encrypted key or PKCS#12 file",
        ..SECRET
    },
    Variable {
        name: "AZURE_FEDERATED_TOKEN_FILE",
        summary: "workload identity's token, read at each exchange; AKS sets it",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_MANAGED_IDENTITY",
        summary: "system, or the client id of a user-assigned identity: sign in as what Azure runs this as",
        ..PLAIN
    },
    Variable {
        name: "IDENTITY_ENDPOINT",
        default: Derived("set by App Service and Container Apps; without it IMDS is asked"),
        summary: "managed identity's local endpoint",
        ..PLAIN
    },
    Variable {
        name: "IDENTITY_HEADER",
        default: Derived("set by App Service and Container Apps"),
        summary: "what managed identity's local endpoint wants to see",
        ..SECRET
    },
    Variable {
        name: "AZURE_POD_IDENTITY_AUTHORITY_HOST",
        default: Derived("http://169.254.169.254"),
        summary: "where IMDS is; loopback and link-local addresses only",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_REFRESH_TOKEN_FILE",
        summary: "the delegated sign-in's refresh token: written by mailshim login, rewritten at each use",
        ..PLAIN
    },
    Variable {
        name: "AZURE_AUTHORITY_HOST",
        default: Text("https://login.microsoftonline.com"),
        summary: "the token service; https only",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_PASSWORD",
        summary: "the mailbox's password, for AUTH LOGIN; Microsoft is ending it",
        ..SECRET
    },
    Variable {
        name: "MAILSHIM_OAUTH_SCOPE",
        default: Text("https://outlook.office365.com/.default"),
        summary: "what the token is asked for",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_UPSTREAM",
        default: Text("smtp.office365.com:587"),
        summary: "host:port to submit to, with STARTTLS always",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_CA_FILE",
        summary: "PEM file of extra roots, added to Mozilla's built-in set",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_TLS_CERT_FILE",
        summary: "PEM file of the client certificate and its chain, for a connector that knows us by it",
        ..PLAIN
    },
    Variable { name: "MAILSHIM_TLS_KEY_FILE", summary: "PEM file of its key", ..PLAIN },
    Variable {
        name: "MAILSHIM_EGRESS_PROXY",
        summary: "http:// (CONNECT) or socks5h:// proxy for SMTP and token traffic",
        ..SECRET
    },
    Variable {
        name: "NO_PROXY",
        aliases: &["no_proxy"],
        summary: "hosts that are reached without the proxy: names with what is below them, or *",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_LOGIN_AS_SENDER",
        summary: "comma list of addresses or *@domain whose mail signs in as the sender's own mailbox",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_FROM",
        default: Derived("the mailbox"),
        summary: "the sender that the policy uses: an address, or Name <address>",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_FROM_POLICY",
        default: Text("repair"),
        summary: "keep the app's sender, repair an unusable one, or force MAILSHIM_FROM",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_ALLOWED_SENDERS",
        default: Derived("all"),
        summary: "comma list of addresses or *@domain that the app may send as",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_ALLOWED_RECIPIENTS",
        default: Derived("all"),
        summary: "comma list of addresses or *@domain that the app may write to",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_LOCAL_TO",
        summary: "who gets mail for a recipient that no world has, such as root or www-data@localhost",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_REDIRECT_TO",
        summary: "staging guard: all mail goes to this address alone",
        ..PLAIN
    },
    Variable {
        name: "MAILSHIM_MAX_CONNECTIONS",
        default: Text("3"),
        summary: "connections to Office 365 for one mailbox; divide by your replicas",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_MESSAGES_PER_MINUTE",
        default: Text("28"),
        summary: "messages of one mailbox in any 60 s; 0 for no limit; it delays and never refuses",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_RECIPIENTS_PER_DAY",
        default: Text("0"),
        summary: "recipients of one mailbox in any 24 h; 0 for no limit",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_HOLD",
        default: Text("45s"),
        summary: "the longest one mail waits for turns, connections and retries together",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_SPOOL_DIR",
        summary: "a directory on a disk of its own: mail is answered once it is durable there, and delivered behind it",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_SPOOL_LIFETIME",
        default: Text("5d"),
        summary: "how long the spool tries to deliver a mail; set-up faults do not count",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_SPOOL_MAX_BYTES",
        default: Text("1GB"),
        summary: "the most that waits in the spool; beyond it mail is refused with 452",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_BOUNCE_TO",
        default: Derived("the sender, or the mailbox"),
        summary: "who hears of mail that the spool could not deliver",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_FLEET",
        summary: "postgresql://user@host[,host2][:5432]/database: what the replicas of one mailbox share its limits on",
        ..SECRET
    },
    Variable {
        name: "MAILSHIM_FLEET_PASSWORD",
        summary: "the password of that role; read again at each connection",
        ..SECRET
    },
    Variable {
        name: "MAILSHIM_FLEET_AUTH",
        default: Derived("deduced from what is set"),
        summary: "how that role signs in: password, certificate or entra",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_FLEET_CERT_FILE",
        summary: "PEM file of that role's client certificate and its chain",
        ..PLAIN
    },
    Variable { name: "MAILSHIM_FLEET_KEY_FILE", summary: "PEM file of its key", ..PLAIN },
    Variable {
        name: "MAILSHIM_FLEET_SCHEMA",
        default: Text("mailshim"),
        summary: "the schema that mailshim fleet init makes; another one for another fleet in the same database",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_FLEET_SIZE",
        default: Text("10"),
        summary: "replicas that are assumed while PostgreSQL has never been reached",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_FLEET_UNREACHABLE",
        default: Text("share"),
        summary: "without PostgreSQL: share (go on with a share of the limits) or hold (nothing goes)",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_HTTP_LISTEN",
        default: Text("127.0.0.1:9025"),
        summary: "address of the status page, /livez, /readyz and /metrics; off turns it off",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_ALERT_URL",
        summary: "https URL of a webhook that is told when mail stops going out, and when it goes again",
        ..SECRET
    },
    Variable {
        name: "MAILSHIM_LOG",
        default: Text("info"),
        summary: "log filter: a level, or a comma list of target=level",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_LOG_FORMAT",
        default: Text("auto"),
        summary: "text or json; auto is json under Kubernetes, else text",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_LOG_ADDRESSES",
        default: Text("full"),
        summary: "how much of an address a log line shows: full, domain or none",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_SHUTDOWN_DELAY",
        default: Text("0s"),
        summary: "keep accepting this long after SIGTERM",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_SHUTDOWN_GRACE",
        default: Text("25s"),
        summary: "then finish what is in hand, at most this long",
        ..ECHOED
    },
    Variable {
        name: "MAILSHIM_EXEC_ON_FAILURE",
        default: Text("stop"),
        summary: "exec: what the shim's own death does: stop the app, or restart the shim",
        ..ECHOED
    },
];

/// The row of a variable.
pub(super) fn variable(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// What is read where a variable is not set.
pub(super) fn default_text(name: &str) -> Option<&'static str> {
    match variable(name)?.default {
        Text(text) => Some(text),
        Derived(_) | Required | DefaultValue::Unset => None,
    }
}

/// The name under which a variable's value can be given by file, for those that have one.
pub(super) fn file_form(name: &str) -> Option<String> {
    let names_a_path = ["_FILE", "_PATH", "_DIR"].iter().any(|end| name.ends_with(end));
    (!names_a_path).then(|| format!("{name}_FILE"))
}

/// Every name that can be set: names, aliases, and the file form of each.
pub(super) fn spellings() -> impl Iterator<Item = String> {
    VARIABLES
        .iter()
        .flat_map(|variable| std::iter::once(&variable.name).chain(variable.aliases))
        .flat_map(|name| std::iter::once((*name).to_string()).chain(file_form(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_name_stands_once() {
        let names: BTreeSet<_> =
            VARIABLES.iter().flat_map(|variable| [&[variable.name], variable.aliases].concat()).collect();
        assert_eq!(names.len(), VARIABLES.iter().map(|variable| 1 + variable.aliases.len()).sum::<usize>());
    }

    #[test]
    fn names_that_end_in_file_path_or_dir_have_no_file_form() {
        assert_eq!(file_form("MAILSHIM_LISTEN").as_deref(), Some("MAILSHIM_LISTEN_FILE"));
        for name in ["MAILSHIM_CA_FILE", "MAILSHIM_CLIENT_CERTIFICATE_PATH", "MAILSHIM_SPOOL_DIR"] {
            assert_eq!(file_form(name), None);
        }
    }

    #[test]
    fn a_secret_is_never_echoed_and_every_row_has_a_summary() {
        for variable in VARIABLES {
            assert!(!(variable.secret && variable.echoed), "{}", variable.name);
            assert!(!variable.summary.is_empty(), "{}", variable.name);
        }
    }
}
