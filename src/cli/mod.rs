//! The commands: one file each.

mod run;
mod login;

use std::process::ExitCode;

/// Bad configuration or usage (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

const HELP: &str = "\
mailshim: SMTP on loopback for the app beside it, authenticated TLS to Office 365

usage:
  mailshim [run]        listen and relay until SIGTERM or SIGINT
  mailshim login        sign in as a person; writes MAILSHIM_REFRESH_TOKEN_FILE
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
        ["login"] => login::login(),
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
