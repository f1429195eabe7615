//! The man pages and completions in docs/ are those of today's arguments.

#[path = "../../examples/generate.rs"]
mod generate;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

#[test]
fn generated_files_are_current() {
    for (name, content) in generate::files() {
        let kept = std::fs::read(docs().join(&name)).unwrap_or_default();
        assert!(kept == content, "docs/{name} is out of date: run `cargo run --example generate`");
    }
}

#[test]
fn nothing_is_left_of_commands_that_are_gone() {
    let generated: BTreeSet<_> = generate::files().into_iter().map(|(name, _)| name).collect();
    for directory in ["man", "completions"] {
        for entry in std::fs::read_dir(docs().join(directory)).expect("generated") {
            let name = format!("{directory}/{}", entry.expect("an entry").file_name().to_string_lossy());
            assert!(generated.contains(&name), "docs/{name} belongs to no command");
        }
    }
}
