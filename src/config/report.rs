//! What is in force and where it came from, for `mailshim env`: with a broken configuration too.
//!
//! A value is shown only if it can be no secret: its variable is one where nobody would put one, or its own parser took
//! it. What stands in the wrong variable (a password in MAILSHIM_APP_USERNAME) stays unseen.

use std::ffi::OsString;

use super::environment::{Environment, Reader};
use super::error::ConfigErrors;
use super::variables::{DefaultValue, VARIABLES, Variable};
use super::whole::{Config, config};

/// One variable as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its value, `[redacted]`, or what holds instead; one line.
    pub value: String,
    /// `set`, `file`, `alias` with the name that was set, `default`, `derived`, `missing` or `unset`.
    pub source: String,
}

impl Row {
    /// Whether somebody set it, by whatever name, or had to.
    pub fn is_set(&self) -> bool {
        !matches!(self.source.as_str(), "default" | "derived" | "unset")
    }
}

/// The whole configuration for a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// One row a variable, in the table's order.
    pub rows: Vec<Row>,
    /// What is to be mentioned and stops nothing.
    pub warnings: Vec<String>,
    /// The mistakes, if there are any.
    pub errors: Option<ConfigErrors>,
}

/// Reads the whole configuration and says what of it is in force; give it `std::env::vars_os()`.
pub fn report(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Report {
    let env = Environment::new(vars);
    let mut reader = env.read(VARIABLES);
    reader.refuse_unknown(&env);
    let config = config(&mut reader).filter(|_| reader.errors.is_empty());
    let rows = VARIABLES.iter().map(|variable| row(variable, &reader, config.as_ref())).collect();
    let errors = (!reader.errors.is_empty()).then_some(ConfigErrors(reader.errors));
    Report { rows, warnings: reader.warnings, errors }
}

/// Each variable that is set under another name than its own, with what to call it: `MAILSHIM_CLIENT_SECRET` may be the
/// file of `MAILSHIM_CLIENT_SECRET_FILE`, or `AZURE_CLIENT_SECRET`. No value is looked at.
pub fn names_in_force(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(&'static str, String)> {
    let env = Environment::new(vars);
    let named = VARIABLES.iter().filter_map(|variable| Some((variable.name, env.set_as(variable)?)));
    named
        .filter(|(name, set_as)| name != set_as)
        .map(|(name, set_as)| match set_as.strip_suffix("_FILE") {
            Some(_) => (name, format!("the file of {set_as}")),
            None => (name, set_as),
        })
        .collect()
}

fn row(variable: &'static Variable, reader: &Reader, config: Option<&Config>) -> Row {
    let name = variable.name;
    if !reader.is_set(name) {
        let (value, source) = match variable.default {
            DefaultValue::Text(text) => (reader.default_text(name).unwrap_or(text).to_string(), "default"),
            DefaultValue::Derived(how) => {
                let worked_out = config.and_then(|config| derived(name, config));
                (worked_out.unwrap_or_else(|| format!("({how})")), "derived")
            }
            DefaultValue::Required => ("-".to_string(), "missing"),
            DefaultValue::Unset => ("-".to_string(), "unset"),
        };
        return Row { name, value, source: source.to_string() };
    }
    let is_by_file = reader.is_by_file(name);
    let value = match reader.text(name) {
        Some(_) if variable.secret => "[redacted]".to_string(),
        // What stands in a file might be the wrong file.
        Some(text) if reader.is_accepted(name) || (variable.echoed && !is_by_file) => {
            text.chars().flat_map(char::escape_debug).collect()
        }
        Some(_) => "[not shown]".to_string(),
        None => "[wrong]".to_string(),
    };
    let set_as = reader.set_as(name);
    let source = match (is_by_file, set_as == name) {
        (true, _) => format!("file ({set_as})"),
        (false, true) => "set".to_string(),
        (false, false) => format!("alias ({set_as})"),
    };
    Row { name, value, source }
}

/// What was worked out for a variable that is not set.
fn derived(name: &str, config: &Config) -> Option<String> {
    match name {
        "MAILSHIM_HOSTNAME" => Some(config.hostname.clone()),
        "MAILSHIM_AUTH" => Some(config.identity.sign_in.name().to_string()),
        "MAILSHIM_FLEET_AUTH" => config.fleet.as_ref().map(|fleet| fleet.auth.name().to_string()),
        "MAILSHIM_FROM" => Some(config.policy.from.address.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "c4n4ry~Q.secret";

    fn read(vars: &[(&str, &str)]) -> Report {
        report(vars.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[track_caller]
    fn assert_row(report: &Report, name: &str, value: &str, source: &str) {
        let row = report.rows.iter().find(|row| row.name == name).expect("a row a variable");
        assert_eq!((row.value.as_str(), row.source.as_str()), (value, source), "{name}");
    }

    #[test]
    fn every_variable_has_its_value_and_source() {
        let report = read(&[
            ("MAILSHIM_MAILBOX", "noreply@contoso.com"),
            ("AZURE_TENANT_ID", "contoso.onmicrosoft.com"),
            ("MAILSHIM_CLIENT_ID", "8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60"),
            ("MAILSHIM_CLIENT_SECRET", CANARY),
            ("MAILSHIM_HOLD", "2m"),
            ("MAILSHIM_APP_USERNAME", CANARY),
            ("MAILSHIM_APP_PASSWORD", "erp"),
        ]);
        assert_eq!(report.errors, None);
        assert_eq!(report.rows.len(), VARIABLES.len());
        assert_row(&report, "MAILSHIM_MAILBOX", "noreply@contoso.com", "set");
        assert_row(&report, "MAILSHIM_TENANT_ID", "contoso.onmicrosoft.com", "alias (AZURE_TENANT_ID)");
        assert_row(&report, "MAILSHIM_CLIENT_SECRET", "[redacted]", "set");
        assert_row(&report, "MAILSHIM_HOLD", "2m", "set");
        assert_row(&report, "MAILSHIM_HOSTNAME", "contoso.com", "derived");
        assert_row(&report, "MAILSHIM_AUTH", "secret", "derived");
        assert_row(&report, "MAILSHIM_LISTEN", "127.0.0.1:25,[::1]:25", "default");
        assert_row(&report, "MAILSHIM_CA_FILE", "-", "unset");
        assert_row(&report, "MAILSHIM_APP_USERNAME", "[not shown]", "set");
        assert!(!format!("{report:?}").contains("c4n4ry"));
    }

    #[test]
    fn a_broken_configuration_is_shown_as_far_as_it_goes() {
        let report = read(&[
            ("MAILSHIM_LISTEN", "127.0.0.1:2525"),
            ("MAILSHIM_HOLD", "45"),
            ("MAILSHIM_TENANT_ID", CANARY),
            ("MAILSHIM_CLIENT_ID", CANARY),
            ("MAILSHIM_UPSTREAM", CANARY),
            ("MAILSHIM_CLIENT_SECRET_FILE", "/nowhere/c4n4ry"),
            ("MAILSHIM_MAILBOXX", CANARY),
        ]);
        assert_eq!(report.errors.as_ref().map(|errors| errors.iter().count()), Some(7));
        assert_row(&report, "MAILSHIM_LISTEN", "127.0.0.1:2525", "set");
        assert_row(&report, "MAILSHIM_HOLD", "45", "set");
        assert_row(&report, "MAILSHIM_MAILBOX", "-", "missing");
        assert_row(&report, "MAILSHIM_TENANT_ID", "[not shown]", "set");
        assert_row(&report, "MAILSHIM_CLIENT_SECRET", "[wrong]", "file (MAILSHIM_CLIENT_SECRET_FILE)");
        assert_row(&report, "MAILSHIM_HOSTNAME", "(domain of the mailbox)", "derived");
        assert!(!format!("{report:?}").contains("c4n4ry"), "{report:?}");
    }

    /// With a password the tenant is not looked at: what stands there is nobody's business either.
    #[test]
    fn a_value_that_nobody_judged_is_not_shown() {
        let report = read(&[
            ("MAILSHIM_MAILBOX", "noreply@contoso.com"),
            ("MAILSHIM_PASSWORD", "p"),
            ("MAILSHIM_TENANT_ID", CANARY),
        ]);
        assert_eq!(report.errors, None);
        assert_row(&report, "MAILSHIM_TENANT_ID", "[not shown]", "set");
        assert_row(&report, "MAILSHIM_AUTH", "password", "derived");
    }
}
