//! `mailshim env`: every variable, its value in force and where it came from.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::exit::USAGE;
use crate::config::{Report, Row, report};

/// A longer value does not push the sources of all the others out of sight.
const WIDEST: usize = 48;

pub(super) fn env() -> ExitCode {
    let report = report(std::env::vars_os());
    // Nobody is left to tell if they do not take it.
    let _ = io::stdout().write_all(table(&report).as_bytes());
    for warning in &report.warnings {
        eprintln!("warning: {warning}");
    }
    match &report.errors {
        None => ExitCode::SUCCESS,
        Some(errors) => {
            eprintln!("{errors}");
            ExitCode::from(USAGE)
        }
    }
}

fn table(report: &Report) -> String {
    let width = |text: &str| text.chars().count().min(WIDEST);
    let names = report.rows.iter().map(|row| width(row.name)).max().unwrap_or_default();
    let values = report.rows.iter().map(|row| width(&row.value)).max().unwrap_or_default();
    let line = |row: &&Row| {
        let (name, value, source) = (row.name, &row.value, &row.source);
        format!("{name:names$}  {value:values$}  {source}\n")
    };
    // What somebody set is what is looked for.
    let (set, rest): (Vec<_>, Vec<_>) = report.rows.iter().partition(|row| row.is_set());
    let mut text: String = set.iter().map(line).collect();
    if !set.is_empty() {
        text.push('\n');
    }
    text.extend(rest.iter().map(line));
    text
}
