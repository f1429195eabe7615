//! The documents are true: their tables are those of the code, and they speak of no variable that does not exist.

use std::collections::BTreeMap;
use std::time::Duration;

use mailshim::testing::cli::arguments;
use mailshim::testing::config::{CLOUDS, DefaultValue, VARIABLES};
use mailshim::testing::deadlines::Deadlines;
use mailshim::testing::telemetry::metrics::metrics;

const README: &str = include_str!("../../README.md");
const REFERENCE: &str = include_str!("../../docs/reference.md");
const AZURE: &str = include_str!("../../examples/azure/README.md");
const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

/// The rows of the table under a heading whose first cell is code, cell by cell, as they are written.
pub fn table(document: &'static str, heading: &str) -> Vec<Vec<&'static str>> {
    let heading = format!(" {heading}\n");
    let (_, section) =
        document.split_once(&format!("#{heading}")).unwrap_or_else(|| panic!("no section{heading}"));
    let section = section.split("\n#").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| row.trim_matches('|').split(" | ").map(|cell| cell.trim().trim_matches('`')).collect())
        .collect()
}

/// The first two cells of each row.
fn pairs(document: &'static str, heading: &str) -> Vec<(String, String)> {
    table(document, heading).into_iter().map(|cells| (cells[0].to_string(), cells[1].to_string())).collect()
}

#[test]
fn every_variable_stands_in_the_readme_with_its_default_and_no_other() {
    let code: Vec<_> = VARIABLES
        .iter()
        .map(|variable| (variable.name.to_string(), variable.default.describe().to_string()))
        .collect();
    assert_eq!(pairs(README, "Variables"), code);
}

#[test]
fn a_default_that_is_a_value_is_written_as_one() {
    for variable in VARIABLES {
        if let DefaultValue::Text(text) = variable.default {
            assert!(README.contains(&format!("| `{}` | `{text}` |", variable.name)), "{}", variable.name);
        }
    }
}

#[test]
fn other_names_and_secrets_are_marked() {
    for variable in VARIABLES {
        let row = README.lines().find(|line| line.starts_with(&format!("| `{}` |", variable.name)));
        let row = row.unwrap_or_else(|| panic!("no row of {}", variable.name));
        for alias in variable.aliases {
            assert!(row.contains(&format!("`{alias}`")), "{row}");
        }
        assert_eq!(row.ends_with("a secret |"), variable.secret, "{row}");
    }
}

#[test]
fn every_cloud_stands_in_the_readme_with_its_values_and_no_other() {
    let code: Vec<Vec<_>> = CLOUDS
        .iter()
        .map(|cloud| {
            let scope = cloud.app_scope.unwrap_or("none: a person signs in");
            vec![cloud.name, cloud.upstream, cloud.authority, scope]
        })
        .collect();
    assert_eq!(table(README, "Clouds"), code);
}

#[test]
fn every_command_stands_in_the_readme() {
    let rows = table(README, "Commands");
    for command in arguments::command().get_subcommands() {
        let name = format!("mailshim {}", command.get_name());
        // `check` may be there before it is built; what is built must be there.
        assert!(rows.iter().any(|cells| cells[0].contains(&name)), "{name}");
    }
}

/// The fields' names and times, from the derived `Debug`: a new field cannot be forgotten.
fn deadlines() -> BTreeMap<String, String> {
    let text = format!("{:?}", Deadlines::default());
    let fields = text.split_once('{').expect("a struct").1.trim_end_matches(['}', ' ']).trim().to_string();
    let pairs = fields.split(", ").map(|field| field.split_once(": ").expect("a field"));
    pairs
        .map(|(name, time)| {
            let unit = time.trim_start_matches(|c: char| c.is_ascii_digit());
            (name.to_string(), format!("{} {unit}", time.strip_suffix(unit).expect("a number")))
        })
        .collect()
}

#[test]
fn every_deadline_stands_in_the_reference_with_its_default_and_no_other() {
    let written: BTreeMap<_, _> = pairs(REFERENCE, "Deadlines").into_iter().collect();
    assert_eq!(written, deadlines());
}

#[test]
fn every_metric_stands_in_the_reference_and_no_other() {
    let metrics = metrics();
    // A family without a series is not written.
    metrics.message("accepted", None);
    metrics.phase("send", Duration::ZERO);
    metrics.attempt_failed("rcpt");
    metrics.session_ended("quit");
    metrics.sign_in("accepted");
    let text = metrics.render(0);
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut code: Vec<_> = families
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_string(),
        })
        .collect();
    let mut written: Vec<_> = pairs(REFERENCE, "Metrics").into_iter().map(|(name, _)| name).collect();
    for name in README.split('`').filter_map(|code| code.split([' ', '{']).next()) {
        // What README tells to alert on.
        assert!(!name.starts_with("mailshim_") || written.iter().any(|known| known == name), "{name}");
    }
    code.sort();
    written.sort();
    assert_eq!(written, code);
}

/// A name in the text that is no variable is a promise that nobody keeps.
#[test]
fn every_variable_that_is_spoken_of_exists() {
    let word = |c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    for document in [README, REFERENCE, AZURE, CHANGELOG] {
        for name in document
            .split(word)
            .filter(|word| word.starts_with("MAILSHIM_") && word.len() > "MAILSHIM_".len())
        {
            let known = VARIABLES.iter().any(|variable| {
                variable.name == name
                    || name.strip_suffix("_FILE").is_some_and(|plain| plain == variable.name)
            });
            assert!(known, "{name}");
        }
    }
}

/// A link to a section that was renamed leads nowhere. (Files of other kinds may come with the examples.)
#[test]
fn every_link_to_a_section_leads_to_one() {
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    let files =
        [("README.md", README), ("docs/reference.md", REFERENCE), ("examples/azure/README.md", AZURE)];
    for (own, document) in files {
        for link in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let Some((path, section)) = link.split_once('#') else { continue };
            if path.starts_with("http") {
                continue;
            }
            let target = if path.is_empty() { own } else { path.trim_start_matches("../") };
            let target = files.iter().find(|(name, _)| *name == target);
            let (_, target) = target.unwrap_or_else(|| panic!("{own}: {link}"));
            let mut headings = target.lines().filter(|line| line.starts_with('#')).map(anchor);
            assert!(headings.any(|heading| heading == section), "{own}: {link}");
        }
    }
}
