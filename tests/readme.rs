//! README.md is true: its tables of variables and deadlines are those of the code.

use std::collections::BTreeMap;

use mailshim::config::{DefaultValue, VARIABLES};
use mailshim::deadlines::Deadlines;

const README: &str = include_str!("../README.md");

/// The first two columns of the table under a heading, as they are written.
fn table(heading: &str) -> Vec<(&'static str, &'static str)> {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).expect("a section");
    let section = section.split("\n## ").next().expect("its text");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let columns = rows.map(|row| row.trim_matches('|').splitn(3, '|').map(str::trim).collect::<Vec<_>>());
    columns.map(|columns| (columns[0].trim_matches('`'), columns[1])).collect()
}

#[test]
fn every_variable_stands_in_the_readme_with_its_default_and_no_other() {
    let shown = |default: DefaultValue| match default {
        DefaultValue::Text(text) => format!("`{text}`"),
        other => other.describe().to_string(),
    };
    let code: Vec<_> = VARIABLES.iter().map(|variable| (variable.name, shown(variable.default))).collect();
    let readme: Vec<_> =
        table("Variables").into_iter().map(|(name, default)| (name, default.to_string())).collect();
    assert_eq!(readme, code);
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

/// The fields' names and seconds, from the derived `Debug`: a new field cannot be forgotten.
fn deadlines() -> BTreeMap<String, String> {
    let text = format!("{:?}", Deadlines::default());
    let fields = text.split_once('{').expect("a struct").1.trim_end_matches(['}', ' ']).trim().to_string();
    let pairs = fields.split(", ").map(|field| field.split_once(": ").expect("a field"));
    pairs
        .map(|(name, time)| (name.to_string(), format!("{} s", time.strip_suffix('s').expect("seconds"))))
        .collect()
}

#[test]
fn every_deadline_stands_in_the_readme_with_its_default_and_no_other() {
    let readme = table("Deadlines").into_iter().map(|(name, time)| (name.to_string(), time.to_string()));
    assert_eq!(readme.collect::<BTreeMap<_, _>>(), deadlines());
}

/// A name in the text that is no variable is a promise that nobody keeps.
#[test]
fn every_variable_that_is_spoken_of_exists() {
    let word = |c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    for name in
        README.split(word).filter(|word| word.starts_with("MAILSHIM_") && word.len() > "MAILSHIM_".len())
    {
        let known = VARIABLES.iter().any(|variable| {
            variable.name == name || name.strip_suffix("_FILE").is_some_and(|plain| plain == variable.name)
        });
        assert!(known, "{name}");
    }
}
