//! docs/spool.md is true: its commands, states and keys are those of the program, and what it points at is there.

use std::path::Path;

use mailshim::testing::cli::arguments;

use crate::readme::table;

const SPOOL: &str = include_str!("../../docs/spool.md");

fn first_cells(heading: &str, rows: impl Fn(&str) -> bool) -> Vec<&'static str> {
    table(SPOOL, heading).into_iter().map(|cells| cells[0]).filter(|cell| rows(cell)).collect()
}

#[test]
fn the_operators_commands_and_states_are_those_of_the_program() {
    let program = arguments::command();
    let queue = program.find_subcommand("queue").expect("the command");
    let commands: Vec<_> =
        queue.get_subcommands().map(|command| format!("queue {}", command.get_name())).collect();
    let written = first_cells("The operator's commands", |cell| cell.starts_with("queue "));
    assert_eq!(written, commands);
    let states = first_cells("The operator's commands", |cell| arguments::STATES.contains(&cell));
    let all: Vec<&str> = states.iter().copied().filter(|cell| *cell != "state").collect();
    assert_eq!(all, arguments::STATES);
    for command in queue.get_subcommands() {
        for option in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(["help", "all"].contains(&option) || SPOOL.contains(&format!("--{option}")), "{option}");
        }
    }
}

/// The same keys, in the same order, as `--help` says; tests/program/queue.rs holds them to what is printed.
#[test]
fn the_keys_of_the_json_are_those_of_the_help() {
    let mut program = arguments::command();
    program.build();
    let help = program.find_subcommand_mut("queue").expect("the command").render_help().to_string();
    let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, list) = words.split_once("The JSON object: ").expect("the keys");
    let (list, _) = list.split_once(';').expect("their end");
    let list = list.replace(" (address, state, reply)", "");
    let keys: Vec<&str> = list.split(", ").collect();
    let section = first_cells("The operator's commands", |cell| !cell.starts_with("queue "));
    let from = section.iter().position(|cell| *cell == "id").expect("the first key");
    assert_eq!(section[from..], keys);
}

#[test]
fn what_it_points_at_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = SPOOL.split('`').skip(1).step_by(2).filter(|code| code.starts_with("examples/"));
    let named: Vec<_> = named.collect();
    assert!(named.len() >= 3, "{named:?}");
    for file in named {
        assert!(root.join(file).is_file(), "{file}");
    }
}
