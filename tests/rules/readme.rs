//! The documents' tables are those of the code.

use std::collections::BTreeMap;
use std::time::Duration;

use mailshim::testing::cli::arguments;
use mailshim::testing::config::{CLOUDS, DefaultValue, VARIABLES};
use mailshim::testing::deadlines::Deadlines;
use mailshim::testing::telemetry::metrics::metrics;

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const REFERENCE: &str = include_str!("../../docs/reference.md");
const TROUBLESHOOTING: &str = include_str!("../../docs/troubleshooting.md");

/// The rows of the table under a heading whose first cell is code, cell by cell, as they are written.
fn table(document: &'static str, heading: &str) -> Vec<Vec<&'static str>> {
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
fn the_readme_is_short_and_ends_with_the_two_commands() {
    assert!(README.lines().count() <= 150, "what a newcomer need not read stands in docs/");
    let last = README.split("```sh\n").last().expect("a block");
    let commands: Vec<&str> =
        last.lines().take(2).map(|line| line.split(" #").next().expect("a command").trim()).collect();
    assert_eq!(commands, ["cargo run --release --example demo", "cargo test --workspace"]);
}

#[test]
fn every_variable_stands_in_the_configuration_with_its_default_and_no_other() {
    let code: Vec<_> = VARIABLES
        .iter()
        .map(|variable| (variable.name.to_string(), variable.default.describe().to_string()))
        .collect();
    assert_eq!(pairs(CONFIGURATION, "Variables"), code);
    let few = pairs(README, "Ten variables");
    assert_eq!(few.len(), 10);
    for pair in few {
        assert!(code.contains(&pair), "README.md says otherwise than docs/configuration.md: {pair:?}");
    }
}

#[test]
fn a_default_that_is_a_value_is_written_as_one() {
    for variable in VARIABLES {
        if let DefaultValue::Text(text) = variable.default {
            let row = format!("| `{}` | `{text}` |", variable.name);
            assert!(CONFIGURATION.contains(&row), "{row}");
        }
    }
}

#[test]
fn other_names_and_secrets_are_marked() {
    for variable in VARIABLES {
        let row = CONFIGURATION.lines().find(|line| line.starts_with(&format!("| `{}` |", variable.name)));
        let row = row.unwrap_or_else(|| panic!("no row of {}", variable.name));
        for alias in variable.aliases {
            assert!(row.contains(&format!("`{alias}`")), "{row}");
        }
        assert_eq!(row.ends_with("a secret |"), variable.secret, "{row}");
    }
}

#[test]
fn every_cloud_stands_in_the_configuration_with_its_values_and_no_other() {
    let code: Vec<Vec<_>> = CLOUDS
        .iter()
        .map(|cloud| {
            let scope = cloud.app_scope.unwrap_or("none: a person signs in");
            vec![cloud.name, cloud.upstream, cloud.authority, scope]
        })
        .collect();
    assert_eq!(table(CONFIGURATION, "Clouds"), code);
}

#[test]
fn every_command_stands_in_the_reference() {
    let rows = table(REFERENCE, "Commands");
    for command in arguments::command().get_subcommands() {
        let name = format!("mailshim {}", command.get_name());
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

/// The metrics' names, as they are scraped.
pub fn metric_names() -> Vec<String> {
    let metrics = metrics();
    // A family without a series is not written.
    metrics.message("accepted", None);
    metrics.phase("send", Duration::ZERO);
    metrics.attempt_failed("rcpt");
    metrics.session_ended("quit");
    metrics.sign_in("accepted");
    let text = metrics.render(0);
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let mut names: Vec<_> = families
        .map(|(name, kind)| match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_string(),
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_metric_stands_in_the_reference_and_no_other() {
    let mut written: Vec<_> = pairs(REFERENCE, "Metrics").into_iter().map(|(name, _)| name).collect();
    written.sort();
    assert_eq!(written, metric_names());
}

/// What Office 365, the token service and the network say, as the documents quote it, is what the program is tried with.
#[test]
fn every_refusal_that_is_quoted_has_a_golden_row() {
    let golden =
        [include_str!("../golden/replies.txt"), include_str!("../golden/check/token_errors.txt")].concat();
    let mut seen = 0;
    let sections = ["Office 365 says", "The token service says", "The network says"];
    let rows = sections.iter().flat_map(|heading| table(TROUBLESHOOTING, heading));
    for cells in rows.chain(table(README, "It does not work")) {
        for code in format!("`{}`", cells[0]).split('`').skip(1).step_by(2) {
            let code = code.strip_prefix("AADSTS").unwrap_or(code);
            for fragment in code.split('…').map(str::trim).filter(|fragment| !fragment.is_empty()) {
                seen += 1;
                assert!(golden.contains(fragment), "no golden row has {fragment:?}");
            }
        }
    }
    assert!(seen > 40, "{seen}");
}
