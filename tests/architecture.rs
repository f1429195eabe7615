//! The rules of the architecture: what is pure stays pure, no file grows past what one can read, and `lib.rs` lists the
//! modules in the order in which a message meets them.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes, faults and `now` in, steps and judgements out. A folder stands for all below it.
const PURE: &[&str] = &[
    "src/smtp",
    "src/session/machine.rs",
    "src/session/auth.rs",
    "src/session/incoming.rs",
    "src/upstream/opening.rs",
    "src/upstream/transaction.rs",
    "src/upstream/line.rs",
    "src/delivery/limits.rs",
    "src/outcome",
    "src/message/header.rs",
    "src/message/address.rs",
    "src/message/policy.rs",
    "src/message/repair.rs",
    "src/identity/grant",
];

/// What asks the world: a runtime, a socket, the environment, a file, a log, a clock. Each in the forms that it can be
/// written in, so that an import in braces does not hide it.
const WORLD: &[&str] = &[
    "tokio",
    "tracing",
    "telemetry::",
    "std::net::Tcp",
    "std::net::Udp",
    "std::net::ToSocketAddrs",
    "std::net::{",
    "net::Tcp",
    "std::env",
    "std::fs",
    "std::{",
    "Instant::now",
    "SystemTime::now",
    "now_utc",
];

/// A file with its tests; longer ones are listed with the reason.
const MAX_LINES: usize = 620;
const LONGER: &[(&str, &str)] = &[(
    "src/session/machine.rs",
    "one file holds all transitions of a machine, and its tests are transcripts",
)];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The Rust files that are there, or below it, from the package's folder on.
fn files(start: &str) -> Vec<String> {
    let (mut found, mut left) = (Vec::new(), vec![root().join(start)]);
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap();
            left.extend(entries.map(|entry| entry.unwrap().path()).collect::<Vec<PathBuf>>());
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().to_string());
        }
    }
    assert!(!found.is_empty(), "{start} holds no Rust: has it moved?");
    found.sort();
    found
}

/// The lines of code that a release is built of, with their numbers: no tests, no comments.
fn code(file: &str) -> Vec<(usize, String)> {
    let text = read(file);
    let tests = ["#[cfg(test)]\nmod ", "#[cfg(test)]\n#[path"];
    let end = tests.iter().filter_map(|start| text.find(start)).min().unwrap_or(text.len());
    let numbered = text[..end].lines().enumerate();
    let code = numbered.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(index, line)| (index + 1, line.to_string())).collect()
}

#[test]
fn pure_modules_ask_nothing_of_the_world() {
    // Files of tests that a `#[path]` names.
    let is_tests = |file: &String| file.ends_with("_tests.rs") || file.ends_with("/tests.rs");
    let mut found = Vec::new();
    for file in PURE.iter().flat_map(|start| files(start)).filter(|file| !is_tests(file)) {
        for (number, line) in code(&file) {
            for word in WORLD.iter().filter(|word| line.contains(**word)) {
                found.push(format!("{file}:{number}: {word}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "a pure module is given what it needs, `now` too:\n{}", found.join("\n"));
}

#[test]
fn both_sides_share_the_words_of_smtp_and_nothing_else() {
    for (side, other) in [("src/session", "crate::upstream"), ("src/upstream", "crate::session")] {
        for file in files(side) {
            let line = code(&file).into_iter().find(|(_, line)| line.contains(other));
            assert_eq!(line, None, "{file} knows the other side");
        }
    }
    for file in files("src/smtp") {
        // A credential is a secret wherever it is said.
        let ours = ["crate::smtp", "crate::secret"];
        let foreign = |line: &str| line.contains("crate::") && !ours.iter().any(|ours| line.contains(ours));
        let line = code(&file).into_iter().find(|(_, line)| foreign(line));
        assert_eq!(line, None, "{file}: the words of SMTP know nothing of who says them");
    }
}

#[test]
fn every_file_can_be_read_at_one_sitting() {
    for file in files("src") {
        let lines = read(&file).lines().count();
        let is_listed = LONGER.iter().any(|(listed, _)| *listed == file);
        let problem = if is_listed { "is short enough now: take it off the list" } else { "split it" };
        assert_eq!(lines >= MAX_LINES, is_listed, "{file} has {lines} lines: {problem}");
    }
}

#[test]
fn modules_stay_in_the_messages_order() {
    assert!(read("rustfmt.toml").contains("\nreorder_modules = false\n"));
    let lib = read("src/lib.rs");
    let path = [
        "cli",
        "config",
        "session",
        "delivery",
        "upstream",
        "identity",
        "telemetry",
        "transport",
        "outcome",
        "message",
        "smtp",
    ];
    let places = path.map(|module| {
        let declared = lib.find(&format!("\npub mod {module};\n"));
        declared.unwrap_or_else(|| panic!("{module} is no module of lib.rs any more"))
    });
    assert!(places.is_sorted(), "{path:?}");
}
