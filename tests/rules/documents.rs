//! What the documents for whoever maintains the program say of the tree is true.

use std::collections::BTreeSet;

use crate::table::{self, Row};
use crate::{GRAPH, SOURCES};

/// The table of floors, made of the rows: rooms that may import the same stand together.
fn floors() -> Vec<String> {
    let may_import = |row: &Row| {
        let floors = (row.up_to > 0.0).then(|| format!("floors up to {}", row.up_to));
        let rooms = row.also.iter().map(|room| format!("`{room}`"));
        let list: Vec<_> = floors.into_iter().chain(rooms).collect();
        if list.is_empty() { "nothing of ours".to_string() } else { list.join(", ") }
    };
    let exists = |row: &&Row| GRAPH.files.iter().any(|file| table::room(file) == row.room);
    let mut lines: Vec<(f32, String, Vec<String>)> = Vec::new();
    for row in table::ROWS.iter().filter(|row| !["lib", "testing"].contains(&row.room)).filter(exists) {
        let (room, imports) = (format!("`{}`", row.room), may_import(row));
        match lines.iter_mut().find(|(floor, others, _)| *floor == row.floor && *others == imports) {
            Some((_, _, rooms)) => rooms.push(room),
            None => lines.push((row.floor, imports, vec![room])),
        }
    }
    let line = |(floor, imports, rooms): &(f32, String, Vec<String>)| {
        format!("//! | {floor} | {} | {imports} |", rooms.join(" "))
    };
    lines.iter().map(line).collect()
}

#[test]
fn the_table_of_floors_in_lib_is_that_of_the_rules() {
    let lib = &SOURCES.0["src/lib.rs"];
    let written: Vec<&str> = lib.lines().filter(|line| line.starts_with("//! |")).skip(2).collect();
    let wanted = floors();
    assert_eq!(written, wanted, "src/lib.rs, by tests/rules/table.rs:\n{}\n", wanted.join("\n"));
}

#[test]
fn the_way_of_a_mail_names_files_that_are_there_and_every_room_it_goes_through() {
    let flow = include_str!("../../docs/flow.md");
    let named: BTreeSet<String> = flow
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.ends_with(".rs"))
        .map(|file| format!("src/{file}"))
        .collect();
    let gone: Vec<_> = named.iter().filter(|file| !GRAPH.files.contains(file.as_str())).collect();
    assert!(gone.is_empty(), "docs/flow.md names files that are not there: {gone:?}");
    let rooms: BTreeSet<&str> = named.iter().map(|file| table::room(file)).collect();
    // The ground is where all stand; the mail goes through what is above it.
    let passed = GRAPH.files.iter().filter(|file| table::row_of(file).is_some_and(|row| row.floor > 1.0));
    let passed: BTreeSet<&str> = passed.map(|file| table::room(file)).collect();
    let missing: Vec<_> =
        passed.difference(&rooms).filter(|room| !["main", "lib", "testing"].contains(room)).collect();
    assert!(missing.is_empty(), "docs/flow.md passes over {missing:?}");
}
