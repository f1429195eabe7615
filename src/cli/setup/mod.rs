//! `mailshim setup`: prints the script for Microsoft's side, made of the variables in force; asks nobody.

mod plan;
mod script;
mod head;
mod end;
mod cloud;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::ArgMatches;

use super::exit::USAGE;
use crate::config::{self, ConfigErrors, SetUp, Way};
pub use plan::{Task, Tool};

pub(super) fn setup(given: &ArgMatches) -> ExitCode {
    let task = if given.get_flag("undo") { Task::Undo } else { Task::Make };
    let tool = if given.get_flag("az") { Tool::Az } else { Tool::Graph };
    match config::setup(std::env::vars_os()) {
        Ok(set_up) => {
            // Nobody is left to tell if they do not take it.
            let _ = io::stdout().write_all(script::script(&set_up, task, tool).as_bytes());
            eprint!("{}", talk(&set_up, task));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::from(USAGE)
        }
    }
}

/// The script that these variables give.
///
/// # Errors
/// Every mistake in what it reads.
pub fn script_of(
    vars: impl IntoIterator<Item = (OsString, OsString)>,
    task: Task,
    tool: Tool,
) -> Result<String, ConfigErrors> {
    config::setup(vars).map(|set_up| script::script(&set_up, task, tool))
}

/// For the person, while the script goes into a file.
fn talk(set_up: &SetUp, task: Task) -> String {
    let way = match set_up.way {
        Way::Secret => "a client secret; MAILSHIM_AUTH names another way",
        Way::Certificate => "a certificate",
        Way::Workload => "workload identity",
        Way::Managed => "a managed identity",
        Way::Refresh => "a person's sign-in",
        Way::Password => "the mailbox's password",
        Way::None => "a connector",
    };
    let (what, then) = match task {
        Task::Make => ("sets up", "it ends with the variables of mailshim"),
        Task::Undo => ("takes back", "it touches only what the first one made"),
    };
    format!(
        "mailshim setup: this PowerShell script {what} Microsoft's side for {} with {way}.\n\
         Read it, then let an administrator run it, in any PowerShell 7 with a browser; {then}.\n",
        set_up.mailbox
    )
}
