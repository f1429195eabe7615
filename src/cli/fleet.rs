//! `mailshim fleet init [--print]` and `mailshim fleet status`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::ArgMatches;

use super::engine::{Around, reach};
use super::exit::USAGE;
use crate::config::{FleetCommand, fleet_command};
use crate::deadlines::Deadlines;
use crate::fleet::status::{Status, status};
use crate::fleet::{self, FleetOptions};
use crate::redact::printable;

pub(super) fn fleet(given: &ArgMatches) -> ExitCode {
    let command = match fleet_command(std::env::vars_os()) {
        Ok(command) => command,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(USAGE);
        }
    };
    match given.subcommand() {
        Some(("init", given)) if given.get_flag("print") => {
            say(&format!("{}\n{}", fleet::script(&command.options.schema), grants(&command.options, "-- ")));
            ExitCode::SUCCESS
        }
        Some(("init", _)) => run(&command, Verb::Init),
        _ => run(&command, Verb::Status),
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Init,
    Status,
}

fn run(command: &FleetCommand, verb: Verb) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("mailshim fleet: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(act(command, verb));
    runtime.shutdown_background();
    match done {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("mailshim fleet: {}", printable(&problem));
            ExitCode::FAILURE
        }
    }
}

async fn act(command: &FleetCommand, verb: Verb) -> Result<String, String> {
    let around = Around {
        ca_file: command.ca_file.as_deref(),
        egress_proxy: command.egress_proxy.as_ref(),
        identity: command.identity.as_ref(),
    };
    let options = &command.options;
    let reach = reach(options, &around, &Deadlines::default())?;
    match verb {
        Verb::Init => {
            let facts = fleet::init(options, reach).await.map_err(|failed| failed.to_string())?;
            Ok(format!(
                "the schema {} is there, at {} (PostgreSQL {})\nthe role of the replicas, where it is not {}, needs:\n{}",
                options.schema,
                facts.host,
                facts.version,
                options.user,
                grants(options, "  ")
            ))
        }
        Verb::Status => {
            let status = status(options, reach).await.map_err(|failed| failed.to_string())?;
            Ok(told(options, &status))
        }
    }
}

/// What the role of the replicas needs, each line with this before it.
fn grants(options: &FleetOptions, before: &str) -> String {
    let schema = &options.schema;
    format!(
        "{before}grant usage on schema {schema} to ROLE;\n\
         {before}grant select, insert, update, delete on all tables in schema {schema} to ROLE;\n\
         {before}grant execute on all functions in schema {schema} to ROLE;\n"
    )
}

fn told(options: &FleetOptions, status: &Status) -> String {
    let facts = &status.facts;
    let synchronous = match facts.synchronous.as_str() {
        "" => {
            "none: a failover may forget the last moments' bookings, which count as a full minute".to_string()
        }
        standbys => standbys.to_string(),
    };
    let mut text = format!(
        "engine      {}, PostgreSQL {}, timeline {}\nsynchronous {synchronous}\nfsync       {}\nschema      {} version {}\n\
         replicas    {}\n",
        facts.host,
        facts.version,
        facts.timeline,
        if facts.fsync { "on" } else { "OFF: mailshim does not start on it" },
        options.schema,
        facts.schema.map_or_else(|| "-".to_string(), |version| version.to_string()),
        status.pods.len(),
    );
    for pod in &status.pods {
        text.push_str(&format!("  {pod}\n"));
    }
    for mailbox in &status.mailboxes {
        text.push_str(&format!("mailbox     {}\n", mailbox.name));
        mailbox.lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text.lines().map(|line| printable(line) + "\n").collect()
}

/// Nobody is left to tell if they do not take it; the exit code says the rest.
fn say(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}
