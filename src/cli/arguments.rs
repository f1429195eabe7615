//! The definition of the arguments: what is parsed, `--help`, the man pages and the completions are all made of it.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint, value_parser};

use crate::config;
use crate::message::sender::AddressList;
use crate::smtp::path::Address;

const EXIT: &str = "Exit codes: 0; 64 for bad usage or configuration; 1 for the rest.";

/// What every terminal has.
const WIDTH: usize = 80;

/// The program with all its commands.
pub fn command() -> Command {
    let folded = |command: Command| match command.get_after_help().map(|text| fold(&text.to_string())) {
        Some(text) => command.after_help(text).term_width(WIDTH),
        None => command.term_width(WIDTH),
    };
    folded(definition()).mut_subcommands(folded)
}

/// Clap folds what is said of a flag, and not what stands below them.
fn fold(text: &str) -> String {
    let mut folded = String::new();
    for line in text.split_inclusive('\n') {
        let mut length = 0;
        for word in line.split_inclusive(' ') {
            let width = word.trim_end().chars().count();
            if length > 0 && length + width > WIDTH {
                folded.truncate(folded.trim_end_matches(' ').len());
                folded.push('\n');
                length = 0;
            }
            folded.push_str(word);
            length += word.chars().count();
        }
    }
    folded
}

fn definition() -> Command {
    Command::new("mailshim")
        .version(env!("CARGO_PKG_VERSION"))
        .about("SMTP on loopback for the app beside it, authenticated TLS to Office 365")
        .after_help(
            "The configuration comes from the environment alone. The smallest is four variables:\n  \
             MAILSHIM_MAILBOX, MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID, MAILSHIM_CLIENT_SECRET \
             (or MAILSHIM_CLIENT_SECRET_FILE). `mailshim env` lists all of them.\n\n\
             New here: `mailshim setup` prints the script for Microsoft's side, `mailshim check` says \
             whether mail will go out, and if not, why.\n\n\
             Documentation: `mailshim COMMAND --help`, man mailshim, and README.md with docs/reference.md and examples/ \
             beside the sources.\n\n\
             Called by the name sendmail, mailq or newaliases (a link), it is that command.",
        )
        .subcommand(Command::new("run").about("Listen and relay until SIGTERM or SIGINT; what no command means").after_help(
            "Exit codes: 0 after a signal; 64 for a bad configuration; 70 for a fault of its own; 1 for the rest.",
        ))
        .subcommand(check())
        .subcommand(send())
        .subcommand(sendmail())
        .subcommand(exec())
        .subcommand(
            Command::new("healthcheck")
                .about("Exit 0 if the shim listens, for images without a shell; leaves no log line")
                .arg(ready())
                .after_help(EXIT),
        )
        .subcommand(
            Command::new("wait")
                .about("Return when the shim listens")
                .arg(
                    Arg::new("timeout")
                        .long("timeout")
                        .value_name("TIME")
                        .default_value("30s")
                        .value_parser(config::timeout)
                        .help("Give up after this long: 45s, 2m"),
                )
                .arg(ready())
                .after_help(EXIT),
        )
        .subcommand(queue())
        .subcommand(status())
        .subcommand(setup())
        .subcommand(fleet())
        .subcommand(
            Command::new("login")
                .about("Sign in as a person, with a code on any device; writes MAILSHIM_REFRESH_TOKEN_FILE")
                .after_help(format!(
                    "Reads MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID, MAILSHIM_REFRESH_TOKEN_FILE, MAILSHIM_CLOUD, \
                     MAILSHIM_OAUTH_SCOPE,\nAZURE_AUTHORITY_HOST, MAILSHIM_CA_FILE, MAILSHIM_EGRESS_PROXY and NO_PROXY.\n\n{EXIT}"
                )),
        )
        .subcommand(
            Command::new("env")
                .about("Every variable, its value in force (secrets redacted) and where it came from")
                .after_help("Exit codes: 0; 64 for a bad configuration, whose mistakes are listed."),
        )
}

/// The states of a mail in the spool.
pub const STATES: [&str; 4] = ["waiting", "deferred", "dead", "damaged"];

/// One side of a mail, for `--from` and `--to`.
#[derive(Clone, Debug)]
pub enum Who {
    /// `<>`.
    Nobody,
    /// One of these.
    Listed(AddressList),
}

fn who(text: &str) -> Result<Who, String> {
    match text {
        "<>" => Ok(Who::Nobody),
        text => AddressList::parse(text).map(Who::Listed),
    }
}

impl Who {
    /// Whether this address is meant.
    pub fn is(&self, address: Option<&str>) -> bool {
        match (self, address) {
            (Self::Nobody, address) => address.is_none_or(str::is_empty),
            (Self::Listed(list), Some(address)) => {
                Address::parse(address).is_some_and(|address| list.holds(&address))
            }
            (Self::Listed(_), None) => false,
        }
    }
}

fn queue() -> Command {
    Command::new("queue")
        .about("The spool and its dead letters: list, show, retry, drop, flush")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommand(
            filters(Command::new("list"))
                .about("What lies in the spool, why, and what to do about it")
                .arg(long("json", "For programs: a line with a JSON object for each mail")),
        )
        .subcommand(
            Command::new("show")
                .about("All that is known of one mail, but for its content")
                .arg(ids().num_args(1).required(true))
                .arg(long("content", "Print the mail as it will be sent, and nothing else")),
        )
        .subcommand(
            filters(Command::new("retry"))
                .about("Try mail now; a dead letter comes back with a fresh lifetime for those who did not get it")
                .arg(ids())
                .arg(long("all", "All that waits and all dead letters, or those of them that the filters leave"))
                .arg(long("prepare", "Apply today's sender policy (MAILSHIM_FROM) to what the app gave")),
        )
        .subcommand(
            filters(Command::new("drop"))
                .about("Remove mail for good, and say what was removed")
                .arg(ids())
                .arg(long("all", "All there is, or what the filters leave of it"))
                .arg(long("yes", "Do not ask; needed where there is no terminal")),
        )
        .subcommand(Command::new("flush").about("Try all that waits now; dead letters stay"))
        .after_help(
            "Reads MAILSHIM_SPOOL_DIR alone; retry --prepare, where no shim runs, the sender's variables too. list and show only \
             read; the others are done by the shim that runs there, within a second, or here where none does. What is under way is \
             left alone. The pace, pauses and a refused sign-in hold what is retried as they hold all mail.\n\n\
             mailshim queue COMMAND --help has the filters. ID is what the log and the app's 250 say.\n\n\
             The JSON object: id, state, created, bytes, from, recipients (address, state, reply), attempts, next, reply, fix, \
             message_id; times as RFC 3339 in UTC, null for what there is not.\n\n\
             Exit codes: 0, also when nothing is there; 64 for bad usage or configuration; 1 for the rest, such as an unknown ID or a \
             mail under way.",
        )
}

fn long(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn ids() -> Arg {
    let id = |text: &str| {
        u64::from_str_radix(text, 16).map_err(|_| "is no name of a mail: mailshim queue list shows them")
    };
    Arg::new("id")
        .value_name("ID")
        .action(ArgAction::Append)
        .value_parser(id)
        .help("The mail's name, as in the log")
}

fn filters(command: Command) -> Command {
    let option = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    command
        .arg(option("from", "ADDR", "Of this sender: an address, *@domain, or <>").value_parser(who))
        .arg(option("to", "ADDR", "To this recipient: an address or *@domain").value_parser(who))
        .arg(
            option("older", "TIME", "Accepted at least this long ago: 45m, 2h, 3d").value_parser(config::age),
        )
        .arg(
            option("state", "STATE", "In this state, or in one of several with commas")
                .value_delimiter(',')
                .value_parser(STATES),
        )
}

fn status() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("status")
        .about("What goes on in the running shim: does mail go out, and if not why, since when, for whom")
        .arg(flag("json", "For programs: a JSON object; its keys are added to and never renamed"))
        .arg(flag("watch", "Look again every 2 s, until it is interrupted"))
        .after_help(format!(
            "Reads MAILSHIM_HTTP_LISTEN and nothing else. The same is a page at http://127.0.0.1:9025/ \
             for a browser.\n\n{EXIT}"
        ))
}

fn setup() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
    };
    Command::new("setup")
        .about("Print the PowerShell script for Microsoft's side, from the variables in force")
        .arg(flag("undo", "Print the script that takes it back, and nothing else"))
        .arg(flag("az", "In Entra use the Azure CLI instead of the Microsoft.Graph module"))
        .after_help(format!(
            "Needs MAILSHIM_MAILBOX alone (with MAILSHIM_AUTH=none MAILSHIM_FROM). Reads no \
             secret, asks nobody, connects to nothing. Where nothing tells the sign-in, it is \
             a client secret: MAILSHIM_AUTH names another. The script is standard output:\n  \
             MAILSHIM_MAILBOX=noreply@contoso.com mailshim setup > setup.ps1\n\n{EXIT}"
        ))
}

fn fleet() -> Command {
    Command::new("fleet")
        .about("What the replicas of one mailbox share on PostgreSQL (MAILSHIM_FLEET)")
        .subcommand_required(true)
        .subcommand(
            Command::new("init")
                .about("Make the schema, or bring it up to date, as its owner; may be run again at any time")
                .arg(
                    Arg::new("print")
                        .long("print")
                        .action(ArgAction::SetTrue)
                        .help("Print the SQL and connect to nothing"),
                )
                .after_help(format!(
                    "MAILSHIM_FLEET names the owner here, and the role of the replicas elsewhere: that one needs USAGE, EXECUTE and \
                     DML on the schema, no more.\n\n{EXIT}"
                )),
        )
        .subcommand(
            Command::new("status")
                .about("Replicas seen, who holds which connection, the pace, pauses with their cause; the engine")
                .after_help(EXIT),
        )
        .after_help(format!(
            "Reads MAILSHIM_FLEET, MAILSHIM_FLEET_*, MAILSHIM_CA_FILE and, for MAILSHIM_FLEET_AUTH=entra, what the sign-in \
             needs.\n\n{EXIT}"
        ))
}

fn check() -> Command {
    Command::new("check")
        .about("Try the way to Office 365 rung by rung; where it ends, say why and what to do")
        .arg(
            Arg::new("send")
                .long("send")
                .value_name("ADDR")
                .value_hint(ValueHint::EmailAddress)
                .value_parser(address)
                .help("Also send a test mail to this address; prints Office 365's reply, with its id"),
        )
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("For programs: a line with a JSON object for each rung"),
        )
        .after_help(
            "The rungs: configuration, dns, tcp, ehlo, starttls, token, auth, envelope, send. Each is passed, failed, skipped \
             (not needed) or not_tried. No mail is sent without --send. The JSON object: rung, state, seen and warnings (lists \
             of sentences), facts (an object: addresses, chain, roles and the like), cause, fix and commands (PowerShell) if it failed.\n\n\
             Exit codes: 0 if every rung holds; 64 for bad usage or configuration; 1 for the rest.",
        )
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text)
        .filter(|address| address.domain().is_some())
        .ok_or_else(|| "is not an address: write user@example.com".to_string())
}

fn send() -> Command {
    Command::new("send")
        .about("One mail, body from standard input, through the running shim; prints Office 365's reply")
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("ADDR")
                .required(true)
                .action(ArgAction::Append)
                .value_hint(ValueHint::EmailAddress)
                .help("Recipient, or a comma list; can be repeated"),
        )
        .arg(Arg::new("subject").long("subject").value_name("S").default_value("").hide_default_value(true).help("Subject"))
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("ADDR")
                .value_hint(ValueHint::EmailAddress)
                .help("Sender: addr or \"Name <addr>\" [default: left to the shim's sender policy]"),
        )
        .after_help(format!(
            "Reads MAILSHIM_LISTEN, and MAILSHIM_APP_USERNAME and MAILSHIM_APP_PASSWORD where the shim asks for them.\n\n{EXIT}"
        ))
}

fn exec() -> Command {
    Command::new("exec")
        .about("PID 1 of a bundled image: start the shim, then the app; exit with the app's code")
        .override_usage("mailshim exec -- CMD [ARGS]...")
        .arg(
            Arg::new("app")
                .value_name("CMD")
                .required(true)
                .num_args(1..)
                .last(true)
                .value_parser(value_parser!(OsString))
                .value_hint(ValueHint::CommandWithArguments)
                .help("The app and its arguments"),
        )
        .after_help(
            "Exit codes: the app's own, or 128 and the signal that ended it; 64 for bad usage or configuration.",
        )
}

fn ready() -> Arg {
    Arg::new("ready")
        .long("ready")
        .action(ArgAction::SetTrue)
        .help("Also ask for a working sign-in, as /readyz does")
}

/// The flags that `sendmail.rs` parses; here they are only described.
fn sendmail() -> Command {
    let flag = |letter: &'static str, help: &'static str| {
        Arg::new(letter).short(letter.chars().next()).action(ArgAction::SetTrue).help(help)
    };
    let value = |letter: &'static str, name: &'static str, help: &'static str| {
        Arg::new(letter).short(letter.chars().next()).value_name(name).help(help)
    };
    Command::new("sendmail")
        .about("The classic interface: a message on standard input, through the running shim")
        .arg(flag("t", "Recipients also from To, Cc and Bcc (or Resent-*, if present); Bcc is dropped"))
        .arg(flag("i", "A line with a dot alone does not end the message (also -oi)"))
        .arg(value("f", "ADDR", "Envelope sender; <> or an empty one for none").visible_short_alias('r'))
        .arg(value("F", "NAME", "Full name for a missing From"))
        .arg(value(
            "b",
            "MODE",
            "m: deliver (default); s: SMTP on standard input; p: the queue; i: aliases (nothing to do)",
        ))
        .arg(flag("v", "Show the dialogue"))
        .arg(value("N", "DSN", "When to report: never, or a comma list of failure, delay, success"))
        .arg(value("R", "RET", "What a report returns: full or hdrs"))
        .arg(value("V", "ENVID", "Envelope identifier of reports"))
        .arg(value("B", "TYPE", "Body type: 7BIT or 8BITMIME (default)"))
        .arg(value("o", "X", "Old options; all but -oi are accepted and ignored, and so are -O -A -C -h -L -m -n -q -U -X"))
        .arg(
            Arg::new("recipient")
                .value_name("ADDR")
                .action(ArgAction::Append)
                .value_hint(ValueHint::EmailAddress)
                .help("Recipients"),
        )
        .after_help(
            "Reads MAILSHIM_LISTEN, and MAILSHIM_APP_USERNAME and MAILSHIM_APP_PASSWORD where the shim asks for them.\n\n\
             Exit codes (sysexits.h): 0 accepted by Office 365, or on the shim's disk; 64 usage; 65 message or address not \
             understood; 67 no such user; 68 no such domain; 69 refused; 70 a fault of its own; 74 input not readable; \
             75 try again later, or nobody listens; 77 not permitted; 78 configuration.",
        )
}

/// `--help` of one command.
pub(super) fn help(name: &str) -> String {
    let mut program = command();
    program.build();
    program.find_subcommand_mut(name).map(|command| command.render_help().to_string()).unwrap_or_default()
}

/// The app of `exec` and its arguments; at least one word.
pub fn app(given: &ArgMatches) -> Vec<OsString> {
    given.get_many("app").into_iter().flatten().cloned().collect()
}

/// The `--timeout` of `wait`.
pub fn timeout(given: &ArgMatches) -> Duration {
    given.get_one("timeout").copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_on_every_terminal() {
        let names: Vec<_> = command().get_subcommands().map(|sub| sub.get_name().to_string()).collect();
        let all = names.iter().map(|name| help(name)).chain([command().render_help().to_string()]);
        for text in all {
            let wide = text.lines().find(|line| line.chars().count() > WIDTH);
            assert_eq!(wide, None, "{text}");
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn the_apps_words_are_kept_as_they_are() {
        let words = |line: &[&str]| {
            let matches = command().try_get_matches_from(line).ok()?;
            matches.subcommand().map(|(_, given)| app(given))
        };
        assert_eq!(
            words(&["mailshim", "exec", "--", "php", "--version", "-t", "--"]),
            Some(["php", "--version", "-t", "--"].map(OsString::from).to_vec())
        );
        assert_eq!(words(&["mailshim", "exec", "php"]), None);
        assert_eq!(words(&["mailshim", "exec", "--"]), None);
    }

    #[test]
    fn waiting_has_a_default_and_a_unit() {
        let wait = |line: &[&str]| {
            let matches = command().try_get_matches_from(line).ok()?;
            matches.subcommand().map(|(_, given)| (timeout(given), given.get_flag("ready")))
        };
        assert_eq!(wait(&["mailshim", "wait"]), Some((Duration::from_secs(30), false)));
        assert_eq!(
            wait(&["mailshim", "wait", "--ready", "--timeout=2m"]),
            Some((Duration::from_secs(120), true))
        );
        assert_eq!(wait(&["mailshim", "wait", "--timeout", "30"]), None);
    }

    #[test]
    fn every_command_has_help() {
        for sub in command().get_subcommands() {
            assert!(sub.get_about().is_some() && sub.get_after_help().is_some(), "{}", sub.get_name());
        }
        assert!(help("sendmail").contains("-t "));
    }
}
