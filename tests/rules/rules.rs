//! The rules: each takes what was read and returns what breaks it, in words.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{Arrow, Graph, Outside};
use crate::reader::Sources;
use crate::table::{self, Row};

/// Every file of `src/` is in a room with a row.
pub fn without_row(graph: &Graph) -> Vec<String> {
    let files = graph.files.iter().filter(|file| table::row_of(file).is_none());
    files
        .map(|file| format!("{file}: room `{}` has no row: what may it import?", table::room(file)))
        .collect()
}

/// The imports that the rows forbid, with the rule and what was written.
pub fn wrong_arrows(graph: &Graph) -> BTreeMap<Arrow, String> {
    let mut wrong = BTreeMap::new();
    for (arrow, reasons) in &graph.arrows {
        let (Some(from), Some(to)) = (table::row_of(&arrow.from), table::row_of(&arrow.to)) else { continue };
        let items = reasons.iter().map(|reason| reason.item.as_str()).collect();
        if let Some(rule) = forbidden(arrow, from, to, &items) {
            let written: Vec<&str> = reasons.iter().map(|reason| reason.written.as_str()).collect();
            wrong.insert(arrow.clone(), format!("{rule}\n      {}", written.join(", ")));
        }
    }
    wrong
}

/// The rule that an arrow breaks.
fn forbidden(arrow: &Arrow, from: &Row, to: &Row, items: &BTreeSet<&str>) -> Option<String> {
    if table::is_pure(&arrow.from) && !table::is_pure(&arrow.to) && !table::PURE_GROUND.contains(&to.room) {
        return Some("a pure file stands on pure files and on values of the ground".to_string());
    }
    if from.room == to.room {
        let (caller, command) = (part_of_cli(&arrow.from)?, part_of_cli(&arrow.to)?);
        let is_wrong = table::COMMANDS.contains(&command) && caller != command && caller != "mod";
        return is_wrong
            .then(|| format!("`{command}` is a command: cli/mod.rs calls it, nobody else imports it"));
    }
    if to.floor > from.up_to && !from.also.contains(&to.room) {
        let why = if from.why.is_empty() { String::new() } else { format!(": {}", from.why) };
        let (from, to) = ((from.room, from.floor), (to.room, to.floor));
        return Some(format!(
            "`{}` (floor {}) may not import `{}` (floor {}){why}",
            from.0, from.1, to.0, to.1
        ));
    }
    if from.room == "config" && to.floor > 1.0 {
        let fills = |item: &str| item.ends_with("Options") || table::CONFIG_FILLS.contains(&(to.room, item));
        let other: Vec<_> = items.iter().filter(|item| !fills(item)).collect();
        return (!other.is_empty())
            .then(|| format!("`config` fills option types (CONFIG_FILLS), not {other:?}"));
    }
    None
}

/// `wait` of `src/cli/wait.rs` and of `src/cli/wait/probe.rs`.
fn part_of_cli(file: &str) -> Option<&str> {
    let part = file.strip_prefix("src/cli/")?.split('/').next()?;
    Some(part.strip_suffix(".rs").unwrap_or(part))
}

/// Crates that are named outside their places: the file and the crate, with what was written.
pub fn misplaced_crates(graph: &Graph) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    for reserved in table::RESERVED {
        for Outside { file, path } in &graph.outside {
            if is_reserved(reserved, path)
                && !reserved.places.iter().any(|(place, _)| table::is_in(file, place))
            {
                let written: &mut String =
                    found.entry((file.clone(), reserved.name.to_string())).or_default();
                written.push_str(&format!("{} ", path.join("::")));
            }
        }
    }
    found
}

fn is_reserved(reserved: &table::Reserved, path: &[String]) -> bool {
    reserved.paths.iter().any(|reserved| starts_with(path, reserved))
}

/// Whether a path leads into this part of a crate. A glob may bring all that is below it.
fn starts_with(path: &[String], prefix: &str) -> bool {
    let prefix: Vec<&str> = prefix.split("::").collect();
    let is_same = |(wanted, segment): (&&str, &String)| wanted == segment || segment == "*";
    path.len() >= prefix.len() && prefix.iter().zip(path).all(is_same)
}

/// Pure files that ask the world or a clock: the file and what it asks.
pub fn impure(graph: &Graph) -> BTreeMap<(String, String), String> {
    let asks = |path: &[String]| {
        let is_address = starts_with(path, "std::net")
            && path.get(2).is_some_and(|name| table::ADDRESSES.contains(&name.as_str()));
        let is_world = table::WORLD.iter().any(|world| starts_with(path, world)) && !is_address;
        is_world || path.last().is_some_and(|last| table::CLOCKS.contains(&last.as_str()))
    };
    let pure = graph.outside.iter().filter(|outside| table::is_pure(&outside.file) && asks(&outside.path));
    pure.map(|Outside { file, path }| ((file.clone(), path.join("::")), "a pure file is given it".into()))
        .collect()
}

/// Files that are too long and not listed, and listed ones that are not too long.
pub fn lengths(sources: &Sources, longer: &[(&str, &str)]) -> Vec<String> {
    let mut found = Vec::new();
    for (file, text) in &sources.0 {
        let lines = text.lines().count();
        match (lines > table::MAX_LINES, longer.iter().any(|(listed, _)| listed == file)) {
            (true, false) => found.push(format!("{file} has {lines} lines: split it")),
            (false, true) => found.push(format!("{file} has {lines} lines now: take it off the list LONGER")),
            _ => {}
        }
    }
    let gone = longer.iter().filter(|(listed, _)| !sources.0.contains_key(*listed));
    found.extend(gone.map(|(listed, _)| format!("{listed} does not exist: take it off the list LONGER")));
    found
}

/// `lib.rs` declares the rooms in the order of the table.
pub fn order(lib: &str) -> Vec<String> {
    let declared: Vec<&str> = lib
        .lines()
        .filter_map(|line| {
            line.trim_start_matches("pub ").trim_start_matches("pub(crate) ").strip_prefix("mod ")
        })
        .map(|module| module.trim_end_matches([';', ' ']))
        .collect();
    let place = |room: &str| table::ROWS.iter().position(|row| row.room == room);
    let pairs = declared.windows(2).filter(|pair| place(pair[0]) > place(pair[1]));
    pairs.map(|pair| format!("`{}` stands before `{}`; the table has it after", pair[0], pair[1])).collect()
}

/// What the table lists and the code does not have any more: pure places that are not there, files listed for a crate
/// that they do not name, options that `config/` does not fill. Rooms that do not exist yet are none of these.
pub fn stale_entries(graph: &Graph) -> Vec<String> {
    let has = |place: &str| graph.files.iter().any(|file| table::is_in(file, place));
    let has_room = |place: &str| graph.files.iter().any(|file| table::room(file) == table::room(place));
    let pure = table::PURE.iter().filter(|place| has_room(place) && !has(place));
    let mut stale: Vec<String> = pure.map(|place| format!("PURE: {place} is not there")).collect();
    for reserved in table::RESERVED {
        for (place, _) in reserved.places.iter().filter(|(place, _)| place.ends_with(".rs") && has(place)) {
            let names = |outside: &Outside| outside.file == *place && is_reserved(reserved, &outside.path);
            if !graph.outside.iter().any(names) {
                stale.push(format!("RESERVED: {place} does not name {}", reserved.name));
            }
        }
    }
    let filled = graph.arrows.iter().filter(|(arrow, _)| table::room(&arrow.from) == "config");
    let filled: BTreeSet<(&str, &str)> = filled
        .flat_map(|(arrow, reasons)| {
            reasons.iter().map(|reason| (table::room(&arrow.to), reason.item.as_str()))
        })
        .collect();
    let unfilled =
        table::CONFIG_FILLS.iter().filter(|option| has_room("src/config") && !filled.contains(*option));
    stale.extend(unfilled.map(|option| format!("CONFIG_FILLS: config does not fill {option:?}")));
    stale
}
