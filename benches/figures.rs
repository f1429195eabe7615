//! The figures to reach (DESIGN.md), measured on the static release binary against the simulated Office 365.
//!
//! ```text
//! cargo bench --bench figures                 the whole table, about a minute
//! cargo bench --bench figures -- --smoke      a short run: does everything that is measured work?
//! cargo bench --bench figures -- --plain      name, value and unit, one line a figure, for machines
//! cargo bench --bench figures -- --held       instructions of a mail and octets of the binary: fails where they grew
//! MAILSHIM_BIN=path cargo bench …             a binary that is there already; else it is built
//! ```
//!
//! The simulator, the clients and the program share the machine's cores, so compare ratios and medians, not runs on
//! different machines. No time fails the benchmark: it fails if a mail is not taken, the protocol is violated or the
//! program logs a warning; `--held` if a count has grown.

#[path = "figures/app.rs"]
mod app;
#[path = "figures/dialogue.rs"]
mod dialogue;
#[path = "figures/direct.rs"]
mod direct;
#[path = "figures/held.rs"]
mod held;
#[path = "figures/instructions.rs"]
mod instructions;
#[path = "figures/measure.rs"]
mod measure;
#[path = "figures/report.rs"]
mod report;
#[path = "figures/shim.rs"]
mod shim;

use std::process::ExitCode;

use measure::{Bench, DISTANCE, Size};
use office365::{Office365, Settings};
use report::Report;

const WHOLE: Size =
    Size { starts: 40, pairs: 2_000, rounds: 7, round: 1_500, messages: 10_000, patient: true };
const SMOKE: Size = Size { starts: 3, pairs: 60, rounds: 1, round: 150, messages: 500, patient: false };

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if !has("--bench") && !has("--smoke") && !has("--held") {
        // `cargo test --all-targets` runs benchmarks too, without this argument.
        println!("nothing is measured: cargo bench --bench figures");
        return ExitCode::SUCCESS;
    }
    if has("--held") {
        let held = shim::binary().and_then(|binary| held::check(&binary, &Office365::start(upstream())));
        return match held {
            Ok(()) => ExitCode::SUCCESS,
            Err(problem) => {
                eprintln!("figures: {problem}");
                ExitCode::FAILURE
            }
        };
    }
    match run(if has("--smoke") { SMOKE } else { WHOLE }) {
        Ok(report) if has("--plain") => print!("{}", report.plain()),
        Ok(report) => print!("{}", report.table()),
        Err(problem) => {
            eprintln!("figures: {problem}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn upstream() -> Settings {
    Settings {
        // Who does not begin a new connection in time is refused: both sides pay for one equally often.
        messages_per_connection: Some(direct::MESSAGES_PER_CONNECTION as usize),
        record_dialogue: false,
        keep_content: false,
        ..Settings::default()
    }
}

fn run(size: Size) -> Result<Report, String> {
    let binary = shim::binary()?;
    let near = upstream();
    let distant = Office365::start(Settings { latency: DISTANCE, ..near.clone() });
    let near = Office365::start(near);
    let mut bench = Bench { binary: &binary, office365: &near, size, report: Report::default(), sent: 0 };
    bench.run()?;
    bench = Bench { office365: &distant, sent: 0, ..bench };
    bench.run_at_a_distance()?;
    Ok(bench.report)
}
