//! What libFuzzer runs for hours (`tests/fuzz`), here for a second each on stable Rust: the committed inputs, and a
//! bounded number of mutations of them, always the same. `FUZZ_TIMES=10` makes it longer, `FUZZ_SEED=2`
//! different.

#[path = "../../fuzz/bodies/mod.rs"]
mod bodies;
mod mutator;

use std::path::PathBuf;

use mutator::Mutator;

/// Mutations of all inputs of a target together, where one takes a microsecond or ten.
const ROUNDS: u64 = 5_000;
/// Where one takes a millisecond or more.
const FEW: u64 = 400;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 5, "{} inputs in {}", files.len(), folder.display());
    files.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// The input is told where the body panics: without it a failure could not be repeated.
struct Told<'a>(&'a str, &'a [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}, input: b\"{}\"", self.0, self.1.escape_ascii());
        }
    }
}

fn run(target: &str, body: fn(&[u8]), rounds: u64) {
    let corpus = corpus(target);
    for (path, input) in &corpus {
        let _told = Told(&path.display().to_string(), input);
        body(input);
    }
    let mut mutator = Mutator::new(number("FUZZ_SEED", 1));
    let inputs: Vec<&[u8]> = corpus.iter().map(|(_, input)| &input[..]).collect();
    for _ in 0..number("FUZZ_TIMES", 1) * rounds {
        let input = mutator.mutated(&inputs);
        let _told = Told(target, &input);
        body(&input);
    }
}

#[test]
fn session() {
    run("session", bodies::session::fuzz, ROUNDS);
}

#[test]
fn content() {
    run("content", bodies::content::fuzz, ROUNDS);
}

#[test]
fn headers() {
    run("headers", bodies::headers::fuzz, ROUNDS / 3);
}

#[test]
fn recipients() {
    run("recipients", bodies::recipients::fuzz, ROUNDS);
}

#[test]
fn upstream() {
    run("upstream", bodies::upstream::fuzz, ROUNDS);
}

#[test]
fn token() {
    run("token", bodies::token::fuzz, ROUNDS);
}

#[test]
fn environment() {
    run("environment", bodies::environment::fuzz, FEW);
}
