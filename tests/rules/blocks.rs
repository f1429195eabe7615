//! What a document shows to be typed or copied is at least well-formed: `sh` by bash, `mailshim …` by the program's own
//! definition of its arguments, YAML by a parser, Compose by the names of its keys. (PowerShell: tests/pure/setup.)

use std::io::Write;
use std::process::{Command, Stdio};

use mailshim::testing::cli::arguments;
use saphyr::{LoadableYamlNode, YamlOwned};

use crate::mentions::DOCUMENTS;

/// The blocks of a language, with the document that each stands in. (A block in a list is indented.)
fn blocks(language: &str) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    for (document, text) in &*DOCUMENTS {
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            let Some(tag) = line.trim_start().strip_prefix("```") else { continue };
            let known = ["", "sh", "yaml", "powershell"].contains(&tag);
            assert!(known, "{document}: nobody checks blocks of {tag}");
            let body: Vec<&str> = lines.by_ref().take_while(|line| line.trim_start() != "```").collect();
            if tag == language {
                found.push((document.as_str(), body.join("\n")));
            }
        }
    }
    found
}

/// `<tenant id>` is the reader's to fill in; for bash it would be a redirection.
fn filled_in(script: &str) -> String {
    let mut text = String::new();
    let mut rest = script;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        match after.split_once('>') {
            Some((name, after))
                if !name.contains('\n') && name.starts_with(|c: char| c.is_ascii_lowercase()) =>
            {
                text.push_str(&name.replace(' ', "-"));
                rest = after;
            }
            _ => {
                text.push('<');
                rest = after;
            }
        }
    }
    text + rest
}

#[test]
fn every_sh_block_is_a_script() {
    let blocks = blocks("sh");
    assert!(blocks.len() > 8, "{}", blocks.len());
    for (document, script) in blocks {
        let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
        bash.stdin.take().expect("a pipe").write_all(filled_in(&script).as_bytes()).expect("read");
        assert!(bash.wait().expect("an end").success(), "{document}:\n{script}");
    }
}

/// The words behind the program's name in a line of a script, as far as they are its own.
fn called(line: &str) -> Option<Vec<&str>> {
    let line = line.split(" #").next().expect("a first part");
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().rposition(|word| ["mailshim", "/mailshim"].contains(word))?;
    // An image's or a container's name, in `docker build -t mailshim .`.
    let own = words[at + 1..].iter().take_while(|word| !word.starts_with(['>', '|', '<']));
    let words: Vec<&str> = own.copied().collect();
    (words.first() != Some(&".") && !words.is_empty()).then_some(words)
}

#[test]
fn every_call_in_a_block_is_one_that_the_program_takes() {
    let mut seen = 0;
    for (document, script) in blocks("sh") {
        let script = filled_in(&script);
        for words in script.lines().filter_map(called) {
            seen += 1;
            let parsed = arguments::command().try_get_matches_from(["mailshim"].iter().chain(&words));
            assert!(parsed.is_ok(), "{document}: mailshim {}: {parsed:?}", words.join(" "));
        }
    }
    assert!(seen > 5, "{seen}");
    assert_eq!(called("docker build -t mailshim ."), None);
    assert_eq!(called("docker run --rm mailshim setup > setup.ps1"), Some(vec!["setup"]));
}

/// The keys of the Compose specification that we use, of a service and of what stands beside services.
const SERVICE: &[&str] = &[
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "network_mode",
    "ports",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "stop_grace_period",
    "volumes",
    "entrypoint",
    "tmpfs",
    "user",
    "sysctls",
    "labels",
];
const TOP: &[&str] = &["services", "secrets", "volumes", "networks", "name"];
const DEPENDENCY: &[&str] = &["condition", "restart"];

fn keys<'a>(node: &'a YamlOwned, place: &str) -> Vec<(&'a str, &'a YamlOwned)> {
    let mapping = node.as_mapping().unwrap_or_else(|| panic!("{place}: no mapping"));
    mapping.iter().map(|(key, value)| (key.as_str().expect("a name"), value)).collect()
}

fn is_compose(place: &str, file: &YamlOwned) {
    for (key, value) in keys(file, place) {
        assert!(TOP.contains(&key), "{place}: {key}");
        if key != "services" {
            continue;
        }
        for (service, value) in keys(value, place) {
            for (key, value) in keys(value, place) {
                assert!(SERVICE.contains(&key), "{place}: {service}: {key}");
                if key == "depends_on" {
                    for (on, value) in keys(value, place) {
                        for (key, _) in keys(value, place) {
                            assert!(DEPENDENCY.contains(&key), "{place}: {service}: {on}: {key}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_yaml_block_and_compose_file_is_read() {
    let mut texts = blocks("yaml");
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/compose");
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.extension().is_some_and(|end| end == "yaml") {
            texts.push(("examples/compose", std::fs::read_to_string(entry).expect("UTF-8")));
        }
    }
    assert!(texts.len() > 5, "{}", texts.len());
    for (place, text) in texts {
        let files =
            YamlOwned::load_from_str(&text).unwrap_or_else(|error| panic!("{place}: {error}\n{text}"));
        for file in files.iter().filter(|file| file.as_mapping_get("services").is_some()) {
            is_compose(place, file);
        }
    }
}
