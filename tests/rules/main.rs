//! The rules of the house, held by tests. Architecture: every import of the release code is read and followed to the
//! file that defines what it names ([`reader`], [`graph`]), and held against a table that a person can read
//! ([`table`]). `cargo test --test rules -- --nocapture figures` prints how things stand. Documents: what README and
//! reference say of the code is true ([`readme`]), and what is made of the code is current ([`generated`]).

mod reader;
mod graph;
mod table;
mod rules;
mod known;
mod reader_tests;
mod rules_tests;
mod readme;
mod generated;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use graph::{Arrow, Graph};
use reader::{Code, Sources};

static SOURCES: LazyLock<Sources> =
    LazyLock::new(|| Sources::on_disk(&["src", "tests", "benches", "examples"]));

static CODE: LazyLock<Code> = LazyLock::new(|| reader::read(&SOURCES));

static GRAPH: LazyLock<Graph> = LazyLock::new(|| graph::graph(&CODE));

/// Fails with what is wrong and, where a list of known faults is wrong, with the list to put in its place.
fn none(found: &[String], rule: &str, list: impl FnOnce() -> String) {
    assert!(found.is_empty(), "{rule}:\n  {}\n\n{}", found.join("\n  "), list());
}

fn no_list() -> String {
    String::new()
}

fn instead(list: String) -> String {
    format!("The list of tests/rules/known.rs as it would be:\n\n{list}")
}

fn strings(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    pairs.iter().map(|(one, other)| (one.to_string(), other.to_string())).collect()
}

fn pairs<'a>(name: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let lines = pairs.map(|(one, other)| format!("    (\"{one}\", \"{other}\"),\n"));
    format!("pub const {name}: &[(&str, &str)] = &[\n{}];", lines.collect::<String>())
}

#[test]
fn every_path_of_ours_is_understood() {
    none(&GRAPH.lost, "the reader found no definition for", no_list);
    none(&CODE.orphans, "no module leads to", no_list);
    assert!(GRAPH.files.len() > 80 && GRAPH.arrows.len() > 200, "the reader sees next to nothing");
}

#[test]
fn every_room_has_a_row_and_no_entry_is_stale() {
    none(&rules::without_row(&GRAPH), "tests/rules/table.rs", no_list);
    none(&rules::stale_entries(&GRAPH), "tests/rules/table.rs, stale", no_list);
}

#[test]
fn a_room_imports_what_its_row_allows() {
    let wrong = rules::wrong_arrows(&GRAPH);
    let known = known::ARROWS.iter().map(|(from, to)| Arrow { from: from.to_string(), to: to.to_string() });
    let found = rules::against_known(&wrong, &known.collect());
    let list = || pairs("ARROWS", wrong.keys().map(|arrow| (arrow.from.as_str(), arrow.to.as_str())));
    none(&found, "tests/rules/table.rs says what a room may import", || instead(list()));
}

#[test]
fn a_crate_is_named_in_its_places() {
    let wrong = rules::misplaced_crates(&GRAPH);
    let found = rules::against_known(&wrong, &strings(known::CRATES));
    let list = || pairs("CRATES", wrong.keys().map(|(file, name)| (file.as_str(), name.as_str())));
    none(&found, "tests/rules/table.rs says where a crate is named", || instead(list()));
}

#[test]
fn files_form_no_circle() {
    let circles = GRAPH.circles();
    let wrong = circles.iter().map(|circle| (circle.clone(), format!("{} files", circle.len())));
    let known = known::CIRCLES.iter().map(|circle| circle.iter().map(|file| file.to_string()).collect());
    let found = rules::against_known(&wrong.collect::<BTreeMap<Vec<String>, _>>(), &known.collect());
    let list = circles.iter().map(|circle| {
        let files = circle.iter().map(|file| format!("        \"{file}\",\n")).collect::<String>();
        format!("    &[\n{files}    ],\n")
    });
    let list = list.collect::<String>();
    none(&found, "a file that needs another is not needed by it", || {
        instead(format!(
            "pub const CIRCLES: &[&[&str]] = &[
{list}];"
        ))
    });
}

#[test]
fn pure_files_ask_nothing_of_the_world() {
    let wrong = rules::impure(&GRAPH);
    let found = rules::against_known(&wrong, &strings(known::IMPURE));
    let list = || pairs("IMPURE", wrong.keys().map(|(file, asked)| (file.as_str(), asked.as_str())));
    none(&found, "a pure file is given what it needs, `now` too", || instead(list()));
}

#[test]
fn every_file_can_be_read_at_one_sitting() {
    none(&rules::lengths(&SOURCES, table::LONGER), "files that can be read at one sitting", no_list);
}

#[test]
fn modules_stay_in_the_order_of_the_table() {
    let rustfmt = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml")).unwrap();
    assert!(rustfmt.contains("\nreorder_modules = false\n"));
    none(&rules::order(&SOURCES.0["src/lib.rs"]), "src/lib.rs", no_list);
}

/// No rule: how things stand, for whoever runs it with `--nocapture`.
#[test]
fn figures() {
    let circles = GRAPH.circles();
    let sizes: Vec<usize> = circles.iter().map(Vec::len).collect();
    let rooms: BTreeSet<&str> = GRAPH.files.iter().map(|file| table::room(file)).collect();
    println!("{} files in {} rooms, {} arrows", GRAPH.files.len(), rooms.len(), GRAPH.arrows.len());
    println!("{} circles of {sizes:?} files, {} in all", circles.len(), sizes.iter().sum::<usize>());
    let wrong = rules::wrong_arrows(&GRAPH);
    println!("{} arrows not allowed", wrong.len());
    for (Arrow { from, to }, why) in &wrong {
        println!("  {from} -> {to}: {why}");
    }
    for ((file, name), lines) in rules::misplaced_crates(&GRAPH) {
        println!("  {file} names {name}:{lines}");
    }
}
