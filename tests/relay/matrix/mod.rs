//! Every fault at every stage of the dialogue, in every form that a mail takes: what the app hears, how many copies the
//! upstream has, and whether the next mail passes. The table is `tests/golden/matrix.txt`, to be read as a document;
//! `UPDATE_GOLDEN=1 cargo test --test relay matrix` writes it anew. What DESIGN.md promises is asserted of every cell
//! besides, so that no table that breaks a promise can be committed.

mod cell;
mod table;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use cell::{Cell, Seen};

/// Cells at once: they wait more than they work.
const AT_ONCE: usize = 16;

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/matrix.txt")
}

/// Runs all cells; each with what was seen, in their order.
fn run(cells: &[Cell]) -> Vec<Result<Seen, String>> {
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(vec![None; cells.len()]));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(cell) = cells.get(at) else { break };
                    // A panic is one cell's: the others are told all the same.
                    let result = std::panic::catch_unwind(|| cell.run());
                    let result = result.unwrap_or_else(|_| Err("panicked; see above".into()));
                    seen.lock().unwrap()[at] = Some(result);
                }
            });
        }
    });
    seen.into_inner().unwrap().into_iter().map(|seen| seen.expect("every cell has run")).collect()
}

#[test]
fn every_fault_at_every_stage() {
    let tables = table::tables();
    let cells: Vec<Cell> = tables.iter().flat_map(table::Table::cells).collect();
    let seen = run(&cells);
    let mut broken = Vec::new();
    for (cell, seen) in cells.iter().zip(&seen) {
        match seen {
            Ok(seen) => {
                broken.extend(cell.broken_promises(seen).into_iter().map(|why| format!("{cell}: {why}")))
            }
            Err(why) => broken.push(format!("{cell}: {why}")),
        }
    }
    assert!(broken.is_empty(), "{} of {} cells\n{}", broken.len(), cells.len(), broken.join("\n"));
    let shown = table::shown(&tables, &seen);
    let expected = std::fs::read_to_string(golden()).unwrap_or_default();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(golden(), &shown).expect("the table can be written");
        return;
    }
    let different: Vec<String> = expected
        .lines()
        .zip(shown.lines())
        .filter(|(expected, shown)| expected != shown)
        .map(|(expected, shown)| format!("- {expected}\n+ {shown}"))
        .collect();
    assert!(shown == expected, "the table is another:\n{}", different.join("\n"));
}
