//! `mailshim status`: what goes on in the running shim, as its page has it. Reads where to ask, and nothing else.

use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::ArgMatches;

use super::ask::{HTTP_LISTEN, askable, get};
use super::exit::USAGE;
use crate::config::http_listen_only;
use crate::deadlines::Deadlines;

/// Between two looks of `--watch`.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Clears a terminal and goes to its upper left corner.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// `status [--json] [--watch]`: 0 with what the shim says, 1 if it says nothing.
pub(super) fn status(given: &ArgMatches) -> ExitCode {
    let address = match http_listen_only(std::env::vars_os()) {
        Ok(Some(address)) => askable(address),
        Ok(None) => {
            return failed(&format!(
                "{HTTP_LISTEN} is off, so that there is nothing to ask: the shim's log says what goes on"
            ));
        }
        Err(errors) => {
            eprintln!("mailshim: status: {errors}");
            return ExitCode::from(USAGE);
        }
    };
    let (json, watch) = (given.get_flag("json"), given.get_flag("watch"));
    let clear = if watch && !json && io::stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let text = look(address, json);
        match text {
            Err(problem) if !watch => return failed(&problem),
            // Whoever watches sees it come back.
            Err(problem) if json => eprintln!("mailshim: {problem}"),
            Ok(text) | Err(text) => {
                let mut out = io::stdout().lock();
                let written = write!(out, "{clear}{text}").and_then(|()| out.flush());
                if written.is_err() {
                    return ExitCode::FAILURE;
                }
            }
        }
        if !watch {
            return ExitCode::SUCCESS;
        }
        sleep(LOOK_AGAIN);
    }
}

fn failed(problem: &str) -> ExitCode {
    eprintln!("mailshim: {}", harmless(problem));
    ExitCode::FAILURE
}

fn look(address: SocketAddr, json: bool) -> Result<String, String> {
    let accept = if json { "application/json" } else { "text/plain" };
    let answer = get(address, "/", accept, Deadlines::default().probe)?;
    match answer.status {
        Some(200) => Ok(harmless(&answer.body)),
        _ => Err(format!(
            "http://{address}/ is no status of mailshim: {} ({HTTP_LISTEN})",
            answer.line.chars().take(80).collect::<String>()
        )),
    }
}

/// The shim's words are harmless already; whoever else has its port may not move a terminal's cursor.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}
