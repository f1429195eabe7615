//! The commands: one file each.

pub mod arguments;
mod exit;
pub mod check;
mod env;
mod run;
pub mod serve;
mod spooling;
mod engine;
mod fleet;
mod trim;
mod send;
mod sendmail;
mod client;
mod login;
mod queue;
pub mod setup;
mod powershell;
mod exec;
mod wait;
mod status;
mod ask;
mod handover;
mod notify;
mod hardening;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use exit::USAGE;

/// Runs what the arguments say; returns the exit code.
pub fn main() -> ExitCode {
    let mut words = std::env::args_os();
    let program = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    // Links to this program, as every mail server installs them.
    match Path::new(&program).file_name().and_then(|name| name.to_str()) {
        Some("sendmail") => return sendmail::sendmail(words),
        Some("mailq") => return sendmail::sendmail(vec!["-bp".into()]),
        Some("newaliases") => return sendmail::sendmail(vec!["-bi".into()]),
        _ => {}
    }
    // Its flags are older than any parser: `-oem`, `-FCronDaemon`.
    if let Some((first, flags)) = words.split_first()
        && first == "sendmail"
    {
        return sendmail::sendmail(flags.to_vec());
    }
    // Whatever the engine starts in the container, a probe too, has every secret in its environment. Those who use one say
    // where this fails.
    let _ = hardening::hide_memory();
    // What a sidecar does all day: the parser's code need not come into its memory for that.
    if words.is_empty() || words == ["run"] {
        return run::run();
    }
    let matches =
        match arguments::command().try_get_matches_from([OsString::from("mailshim")].iter().chain(&words)) {
            Ok(matches) => matches,
            Err(problem) => return explain(&problem),
        };
    match matches.subcommand() {
        None | Some(("run", _)) => run::run(),
        Some(("check", given)) => check::check(given),
        Some(("send", given)) => send::send(given),
        Some(("env", _)) => env::env(),
        Some(("queue", given)) => queue::queue(given),
        Some(("fleet", given)) => fleet::fleet(given),
        Some(("setup", given)) => setup::setup(given),
        Some(("login", _)) => login::login(),
        Some(("exec", given)) => exec::exec(&arguments::app(given)),
        Some(("healthcheck", given)) => wait::healthcheck(given.get_flag("ready")),
        Some(("status", given)) => status::status(given),
        Some(("wait", given)) => wait::wait(arguments::timeout(given), given.get_flag("ready")),
        Some((name, _)) => {
            eprintln!("mailshim: {name} is not part of this build");
            ExitCode::from(USAGE)
        }
    }
}

/// What clap has to say: help and version are answers, the rest are mistakes.
fn explain(problem: &clap::Error) -> ExitCode {
    let text = problem.render().to_string();
    if problem.use_stderr() {
        eprint!("mailshim: {}", text.strip_prefix("error: ").unwrap_or(&text));
        ExitCode::from(USAGE)
    } else {
        let _ = io::stdout().write_all(text.as_bytes());
        ExitCode::SUCCESS
    }
}
