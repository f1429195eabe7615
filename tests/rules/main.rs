//! The rules of the house, held by tests. Architecture: every import of the release code is read and followed to the
//! file that defines what it names ([`reader`], [`graph`]), and held against a table that a person can read
//! ([`table`]). `cargo test --test rules -- --nocapture figures` prints how things stand. Documents: what lib.rs and
//! docs/flow.md say of the tree is true ([`documents`]), the tables of the documents are those of the code
//! ([`readme`]), what they speak of exists ([`mentions`]), what they show can be run ([`blocks`]);
//! what is made of the code is current ([`generated`]).

mod reader;
mod graph;
mod table;
mod rules;
mod reader_tests;
mod rules_tests;
mod documents;
mod readme;
mod mentions;
mod blocks;
mod generated;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use graph::{Arrow, Graph};
use reader::{Code, Sources};

static SOURCES: LazyLock<Sources> =
    LazyLock::new(|| Sources::on_disk(&["src", "tests", "benches", "examples"]));

static CODE: LazyLock<Code> = LazyLock::new(|| reader::read(&SOURCES));

static GRAPH: LazyLock<Graph> = LazyLock::new(|| graph::graph(&CODE));

/// Fails with what is wrong.
fn none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

#[test]
fn every_path_of_ours_is_understood() {
    none(&GRAPH.lost, "the reader found no definition for");
    none(&CODE.orphans, "no module leads to");
    assert!(GRAPH.files.len() > 80 && GRAPH.arrows.len() > 200, "the reader sees next to nothing");
}

#[test]
fn every_room_has_a_row_and_no_entry_is_stale() {
    none(&rules::without_row(&GRAPH), "tests/rules/table.rs");
    none(&rules::stale_entries(&GRAPH), "tests/rules/table.rs, stale");
}

#[test]
fn a_room_imports_what_its_row_allows() {
    let wrong = rules::wrong_arrows(&GRAPH);
    let wrong: Vec<_> =
        wrong.iter().map(|(Arrow { from, to }, why)| format!("{from} -> {to}: {why}")).collect();
    none(&wrong, "tests/rules/table.rs says what a room may import");
}

#[test]
fn a_crate_is_named_in_its_places() {
    let wrong = rules::misplaced_crates(&GRAPH);
    let wrong: Vec<_> = wrong.iter().map(|((file, _), written)| format!("{file} names {written}")).collect();
    none(&wrong, "tests/rules/table.rs says where a crate is named");
}

#[test]
fn files_form_no_circle() {
    let circles: Vec<_> = GRAPH.circles().iter().map(|circle| circle.join(" ")).collect();
    none(&circles, "a file that needs another is not needed by it");
}

#[test]
fn pure_files_ask_nothing_of_the_world() {
    let wrong = rules::impure(&GRAPH);
    let wrong: Vec<_> = wrong.keys().map(|(file, asked)| format!("{file} asks {asked}")).collect();
    none(&wrong, "a pure file is given what it needs, `now` too");
}

#[test]
fn every_file_can_be_read_at_one_sitting() {
    none(&rules::lengths(&SOURCES, table::LONGER), "files that can be read at one sitting");
}

#[test]
fn modules_stay_in_the_order_of_the_table() {
    let rustfmt = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml")).unwrap();
    assert!(rustfmt.contains("\nreorder_modules = false\n"));
    none(&rules::order(&SOURCES.0["src/lib.rs"]), "src/lib.rs");
}

/// No rule: how things stand, for whoever runs it with `--nocapture`.
#[test]
fn figures() {
    let circles = GRAPH.circles();
    let sizes: Vec<usize> = circles.iter().map(Vec::len).collect();
    let rooms: BTreeSet<&str> = GRAPH.files.iter().map(|file| table::room(file)).collect();
    println!("{} files in {} rooms, {} arrows", GRAPH.files.len(), rooms.len(), GRAPH.arrows.len());
    println!("{} circles of {sizes:?} files, {} in all", circles.len(), sizes.iter().sum::<usize>());
}
