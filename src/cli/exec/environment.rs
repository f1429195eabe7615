//! Who sees which environment variables.

use std::ffi::OsStr;

use crate::cli::handover::Var;
use crate::cli::notify::NOTIFY_SOCKET;
use crate::config::VARIABLES;

const LISTEN: &str = "MAILSHIM_LISTEN";
const SHUTDOWN_DELAY: &str = "MAILSHIM_SHUTDOWN_DELAY";

/// Parts the variables into what everybody in the container may see and what is kept from the app:
///
/// - `MAILSHIM_…`, in any case of letters (a misspelt name may hold a secret just as well);
/// - a secret of Azure's names (`AZURE_CLIENT_SECRET`) that mailshim signs in with. Where mailshim has its own
///   `MAILSHIM_CLIENT_SECRET`, Azure's is left alone: it is the app's.
///
/// `IDENTITY_HEADER` and the other names of managed identity are the container's, not mailshim's, and an app that signs
/// in to Azure itself needs them.
fn part(vars: impl IntoIterator<Item = Var>) -> (Vec<Var>, Vec<Var>) {
    let vars: Vec<_> = vars.into_iter().collect();
    let is_set = |name: &str| vars.iter().any(|(set, value)| set == name && !value.is_empty());
    let secrets: Vec<String> = VARIABLES
        .iter()
        .filter(|variable| variable.secret)
        .filter(|variable| !is_set(variable.name) && !is_set(&by_file(variable.name)))
        .flat_map(|variable| variable.aliases.iter().flat_map(|name| [(*name).to_string(), by_file(name)]))
        .collect();
    vars.into_iter().partition(|(name, _)| !is_ours(name) && !secrets.iter().any(|secret| **secret == **name))
}

fn is_ours(name: &OsStr) -> bool {
    name.as_encoded_bytes().get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"MAILSHIM_"))
}

fn by_file(name: &str) -> String {
    format!("{name}_FILE")
}

/// What the app gets: what is not kept from it, and the addresses in use.
pub(super) fn for_the_app(vars: impl IntoIterator<Item = Var>, listen: &str) -> Vec<Var> {
    let (mut open, _) = part(vars);
    open.push((LISTEN.into(), listen.into()));
    open
}

/// What the shim is started with, which the app can read, and what it is handed over when the app no longer can: together
/// everything, but
///
/// - no shutdown delay: it gets SIGTERM only after the app has ended, so nothing comes any more;
/// - from its second start on the addresses of its first: the app knows them, whatever port 0 gives this time;
/// - nobody outside is told that it listens: that is the app's to say.
pub(super) fn for_the_shim(
    vars: impl IntoIterator<Item = Var>,
    listen: Option<&str>,
) -> (Vec<Var>, Vec<Var>) {
    let (mut open, mut kept) = part(vars);
    open.retain(|(name, _)| name != NOTIFY_SOCKET);
    for (name, value) in [(SHUTDOWN_DELAY, Some("0s")), (LISTEN, listen)] {
        if let Some(value) = value {
            kept.retain(|(set, _)| set != name && **set != *by_file(name));
            kept.push((name.into(), value.into()));
        }
    }
    (open, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<Var> {
        vars.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    fn text(vars: Vec<Var>) -> Vec<String> {
        vars.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect()
    }

    fn app(given: &[(&str, &str)]) -> Vec<String> {
        text(for_the_app(vars(given), "127.0.0.1:2525"))
    }

    #[test]
    fn the_shim_is_started_with_what_the_app_may_see_and_handed_the_rest() {
        let given = [
            ("PATH", "/bin"),
            ("NOTIFY_SOCKET", "/run/notify"),
            ("AZURE_CLIENT_SECRET", "s"),
            ("MAILSHIM_LISTEN_FILE", "/x"),
            ("MAILSHIM_SHUTDOWN_DELAY", "5s"),
            ("MAILSHIM_PASSWORD", "s"),
        ];
        let (open, kept) = for_the_shim(vars(&given), None);
        assert_eq!(text(open), ["PATH=/bin"]);
        let first = [
            "AZURE_CLIENT_SECRET=s",
            "MAILSHIM_LISTEN_FILE=/x",
            "MAILSHIM_PASSWORD=s",
            "MAILSHIM_SHUTDOWN_DELAY=0s",
        ];
        assert_eq!(text(kept), first);
        let (open, kept) = for_the_shim(vars(&given), Some("127.0.0.1:7"));
        assert_eq!(text(open), ["PATH=/bin"]);
        let later = [
            "AZURE_CLIENT_SECRET=s",
            "MAILSHIM_PASSWORD=s",
            "MAILSHIM_SHUTDOWN_DELAY=0s",
            "MAILSHIM_LISTEN=127.0.0.1:7",
        ];
        assert_eq!(text(kept), later);
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
