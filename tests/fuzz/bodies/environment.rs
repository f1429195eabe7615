//! The environment: a configuration, or every mistake as one printable line that names its variable; no value of a
//! secret in any of them, nor in the report that `mailshim env` prints.

use std::ffi::OsString;

use mailshim::testing::config::{Config, VARIABLES, client, http_listen_only, listen_only, login, report};

/// Stands in every secret.
const CANARY: &str = "c4n4ry";

/// Lines of `NAME=value`; `%3=value` is the third variable of the table.
pub fn fuzz(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let variables: Vec<(OsString, OsString)> = text.lines().take(60).filter_map(variable).collect();
    match Config::from_env(variables.clone()) {
        Ok(config) => {
            drop(config);
        }
        Err(errors) => {
            assert!(errors.iter().next().is_some(), "no mistake, and no configuration");
            for error in errors.iter() {
                let line = error.to_string();
                assert!(!error.variable.is_empty() && !error.problem.is_empty(), "{line:?}");
                assert!(!line.contains(|c: char| c.is_control()), "not one printable line: {line:?}");
                assert!(!line.contains(CANARY), "a secret is told: {line:?}");
                assert!(line.len() < 2_000, "{} octets: {line:?}", line.len());
            }
        }
    }
    let report = report(variables.clone());
    for row in &report.rows {
        assert!(!format!("{row:?}").contains(CANARY), "a secret is told: {row:?}");
    }
    // What the single commands read of it.
    let _ = listen_only(variables.clone());
    let _ = http_listen_only(variables.clone());
    let _ = client(variables.clone());
    let _ = login(variables);
}

fn variable(line: &str) -> Option<(OsString, OsString)> {
    let (name, value) = line.split_once('=')?;
    let name = match name.strip_prefix('%').and_then(|number| number.parse::<usize>().ok()) {
        Some(number) => VARIABLES[number % VARIABLES.len()].name,
        None => name,
    };
    let is_path = ["_FILE", "_PATH", "_DIR"].iter().any(|end| name.to_ascii_uppercase().ends_with(end));
    let is_secret = VARIABLES
        .iter()
        .any(|variable| variable.secret && (variable.name == name || variable.aliases.contains(&name)));
    let value = match (is_path, is_secret) {
        // No file of this machine's is read, nor one that has no end.
        (true, _) => format!("/nonexistent/{value}"),
        (false, true) => format!("{value}{CANARY}"),
        (false, false) => value.to_string(),
    };
    Some((name.into(), value.into()))
}
