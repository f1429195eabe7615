//! `mailshim env`.

use std::process::Command;

use mailshim::testing::config::VARIABLES;

use super::shim::{Ended, program, run};

fn env(variables: &[(&str, &str)]) -> Ended {
    run(Command::new(program()).env_clear().envs(variables.iter().copied()).arg("env"), b"")
}

const SET_UP: [(&str, &str); 4] = [
    ("MAILSHIM_MAILBOX", "app@contoso.com"),
    ("MAILSHIM_TENANT_ID", "11111111-2222-3333-4444-555555555555"),
    ("AZURE_CLIENT_ID", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    ("MAILSHIM_CLIENT_SECRET", "c4n4ry~Q.secret"),
];

#[test]
fn every_variable_with_value_and_source() {
    let ended = env(&SET_UP);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    // What is set comes first, then a blank line.
    let (set, rest) = ended.stdout.split_once("\n\n").expect("two parts");
    assert_eq!((set.lines().count(), set.contains(" default")), (SET_UP.len(), false), "{set}");
    let lines = set.lines().chain(rest.lines());
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let mut names: Vec<_> = rows.iter().map(|row| row[0]).collect();
    let mut all: Vec<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    names.sort_unstable();
    all.sort_unstable();
    assert_eq!(names, all);
    let row = |name: &str| rows.iter().find(|row| row[0] == name).map(|row| row[1..].join(" ")).unwrap();
    assert_eq!(row("MAILSHIM_MAILBOX"), "app@contoso.com set");
    assert_eq!(row("MAILSHIM_CLIENT_SECRET"), "[redacted] set");
    assert_eq!(row("MAILSHIM_CLIENT_ID"), "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee alias (AZURE_CLIENT_ID)");
    assert_eq!(row("MAILSHIM_AUTH"), "secret derived");
    assert_eq!(row("MAILSHIM_HOLD"), "45s default");
    assert_eq!(row("MAILSHIM_PASSWORD"), "- unset");
}

#[test]
fn a_broken_configuration_is_shown_with_its_mistakes() {
    let ended = env(&[&SET_UP[1..], &[("MAILSHIM_HOLD", "45"), ("MAILSHIM_PASWORD", "c4n4ry")]].concat());
    assert_eq!(ended.code, 64, "{ended:?}");
    assert_eq!(ended.stdout.lines().filter(|line| !line.is_empty()).count(), VARIABLES.len());
    for part in [
        "3 mistakes in the configuration:\n",
        "MAILSHIM_HOLD: ",
        "MAILSHIM_MAILBOX: is required",
        "did you mean MAILSHIM_PASSWORD?",
    ] {
        assert!(ended.stderr.contains(part), "{part}: {ended:?}");
    }
}
