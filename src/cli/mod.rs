//! The commands: one file each.

mod run;
mod exec;
mod wait;
mod hardening;

use std::process::ExitCode;

pub use exec::{Ended, News};

/// Bad configuration or usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;
/// A part that everything needs has died (`EX_SOFTWARE` of sysexits.h).
const SOFTWARE: u8 = 70;

const HELP: &str = "\
mailshim: SMTP on loopback for the app beside it, authenticated TLS to Office 365

usage:
  mailshim [run]        listen and relay until SIGTERM or SIGINT
  mailshim exec -- CMD ARGS…
                        run the app beside the shim, as process 1 of a container
  mailshim healthcheck [--ready]
                        exit 0 while the shim listens (or, with --ready, while Office 365 lets it sign in)
  mailshim wait [--timeout 30s] [--ready]
                        return when it does
  mailshim --version
  mailshim --help

The configuration comes from the environment alone. The smallest is four variables:
  MAILSHIM_MAILBOX, MAILSHIM_TENANT_ID, MAILSHIM_CLIENT_ID, MAILSHIM_CLIENT_SECRET
(or MAILSHIM_CLIENT_SECRET_FILE). README.md has all of them.
";

/// Runs what the arguments say; returns the exit code.
pub fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy()).collect();
    match words.iter().map(AsRef::as_ref).collect::<Vec<&str>>()[..] {
        [] | ["run"] => run::run(),
        ["exec", ..] => exec::exec(&arguments[1..]),
        ["healthcheck", ..] => wait::healthcheck(&arguments[1..]),
        ["wait", ..] => wait::wait(&arguments[1..]),
        ["--version" | "-V"] => {
            println!("mailshim {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        ["--help" | "-h" | "help"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("mailshim: unknown arguments: {}\n\n{HELP}", words.join(" "));
            ExitCode::from(USAGE)
        }
    }
}
