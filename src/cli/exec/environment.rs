//! Who sees which environment variables.

use std::ffi::{OsStr, OsString};
use std::process::Command;

use super::ready::NOTIFY_SOCKET;
use crate::config::VARIABLES;

const LISTEN: &str = "MAILSHIM_LISTEN";
const SHUTDOWN_DELAY: &str = "MAILSHIM_SHUTDOWN_DELAY";

/// What the app gets: everything but
///
/// - `MAILSHIM_…`, in any case of letters (a misspelt name may hold a secret just as well), except `MAILSHIM_LISTEN`,
///   which is always there and holds the addresses in use;
/// - a secret of Azure's names (`AZURE_CLIENT_SECRET`) that mailshim signs in with. Where mailshim has its own
///   `MAILSHIM_CLIENT_SECRET`, Azure's is left alone: it is the app's.
///
/// `IDENTITY_HEADER` and the other names of managed identity stay: they are the container's, not mailshim's, and an app
/// that signs in to Azure itself needs them.
pub(super) fn for_the_app(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    listen: &str,
) -> Vec<(OsString, OsString)> {
    let vars: Vec<_> = vars.into_iter().collect();
    let is_set = |name: &str| vars.iter().any(|(set, value)| set == name && !value.is_empty());
    let secrets: Vec<String> = VARIABLES
        .iter()
        .filter(|variable| variable.secret)
        .filter(|variable| !is_set(variable.name) && !is_set(&by_file(variable.name)))
        .flat_map(|variable| variable.aliases.iter().flat_map(|name| [(*name).to_string(), by_file(name)]))
        .collect();
    let mut kept: Vec<_> = vars
        .into_iter()
        .filter(|(name, _)| !is_ours(name) && !secrets.iter().any(|secret| **secret == **name))
        .collect();
    kept.push((LISTEN.into(), listen.into()));
    kept
}

fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"MAILSHIM_"))
}

fn by_file(name: &str) -> String {
    format!("{name}_FILE")
}

/// What the shim gets: everything, and
///
/// - no shutdown delay: it gets SIGTERM only after the app has ended, so nothing comes any more;
/// - from its second start on the addresses of its first: the app knows them, whatever port 0 gives this time.
pub(super) fn for_the_shim(command: &mut Command, notify_socket: &str, listen: Option<&str>) {
    command.env(NOTIFY_SOCKET, notify_socket);
    let changes = [(SHUTDOWN_DELAY, Some("0s")), (LISTEN, listen)];
    for (name, value) in changes {
        if let Some(value) = value {
            command.env(name, value).env_remove(by_file(name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(vars: &[(&str, &str)]) -> Vec<String> {
        let vars = vars.iter().map(|(name, value)| (name.into(), value.into()));
        let kept = for_the_app(vars, "127.0.0.1:2525").into_iter();
        kept.map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    #[test]
    fn the_app_sees_the_address_and_nothing_else_of_ours() {
        let vars = [
            ("PATH", "/bin"),
            ("MAILSHIM_LISTEN", "localhost:0"),
            ("MAILSHIM_LISTEN_FILE", "/x"),
            ("MAILSHIM_CLIENT_SECRET", "s"),
            ("MAILSHIM_PORT", "tcp://10.0.0.7:25"),
            ("mailshim_password", "s"),
            ("MAILSHIMX", "not ours"),
            ("NOTIFY_SOCKET", "/run/notify"),
            ("IDENTITY_HEADER", "the container's"),
        ];
        let kept = [
            "PATH=/bin",
            "MAILSHIMX=not ours",
            "NOTIFY_SOCKET=/run/notify",
            "IDENTITY_HEADER=the container's",
            "MAILSHIM_LISTEN=127.0.0.1:2525",
        ];
        assert_eq!(app(&vars), kept);
    }

    #[test]
    fn azures_secret_is_taken_from_the_app_only_where_mailshim_uses_it() {
        let secret = ("AZURE_CLIENT_SECRET", "s");
        let listen = "MAILSHIM_LISTEN=127.0.0.1:2525";
        assert_eq!(app(&[secret, ("AZURE_CLIENT_ID", "c")]), ["AZURE_CLIENT_ID=c", listen]);
        assert_eq!(app(&[("AZURE_CLIENT_SECRET_FILE", "/x")]), [listen]);
        assert_eq!(app(&[secret, ("MAILSHIM_CLIENT_SECRET", "")]), [listen]);
        for own in ["MAILSHIM_CLIENT_SECRET", "MAILSHIM_CLIENT_SECRET_FILE"] {
            assert_eq!(app(&[secret, (own, "o")]), ["AZURE_CLIENT_SECRET=s", listen], "{own}");
        }
    }
}
