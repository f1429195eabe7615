//! `mailshim queue`: what lies in the spool, why, and what is to become of it.
//!
//! `list` and `show` read files. `retry`, `drop` and `flush` ask the shim that has the spool, or do it themselves where none
//! has.

mod act;
mod confirm;
mod look;
mod select;
mod show;
mod table;
mod view;

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use clap::ArgMatches;

use super::exit::USAGE;
use crate::config;
use crate::spool::Browser;
use look::{Failed, each, now, open, width};
use select::Selection;
use table::Table;

pub(super) fn queue(given: &ArgMatches) -> ExitCode {
    let Some((action, given)) = given.subcommand() else { return ExitCode::from(USAGE) };
    let directory = match config::spool_directory(std::env::vars_os()) {
        Ok(directory) => directory,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(USAGE);
        }
    };
    let done = match action {
        "list" => open(&directory).and_then(|spool| list(given, spool.as_ref())),
        "show" => open(&directory).and_then(|spool| show::show(given, spool.as_ref())),
        _ => match act::Wish::of(action, given) {
            Ok(wish) => open(&directory).and_then(|spool| act::act(&wish, &directory, spool.as_ref())),
            Err(problem) => {
                eprintln!("mailshim queue {action}: {problem}");
                return ExitCode::from(USAGE);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            if !problem.words.is_empty() {
                eprintln!("mailshim queue {action}: {}", problem.words);
            }
            ExitCode::from(problem.code)
        }
    }
}

fn list(given: &ArgMatches, spool: Option<&Browser>) -> Result<(), Failed> {
    let selection = Selection::of(given);
    let as_json = given.get_flag("json");
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut table = Table::new(width(), now());
    // Nobody is left to tell if they do not take it.
    let write = |out: &mut dyn Write, text: &str| match out.write_all(text.as_bytes()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    if let Some(spool) = spool {
        each(spool, &selection, &mut |_, view| {
            let text = if as_json { format!("{}\n", view.json()) } else { table.mail(&view) };
            write(&mut out, &text)
        })?;
    }
    if !as_json {
        let _ = write(&mut out, &table.end());
    }
    let _ = out.flush();
    Ok(())
}
