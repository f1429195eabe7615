//! Writes the man pages and the shell completions under docs/, from the definition of the arguments:
//! `cargo run --example generate`. Nothing of this is linked into the program.

use std::io;
use std::path::Path;

use clap_complete::{Shell, generate};

/// Every generated file: its path below docs/, and its content.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let mut program = mailshim::testing::cli::arguments::command();
    // No `help` pages and completions: `--help` says the same.
    program = program.disable_help_subcommand(true);
    let mut files = Vec::new();
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut text = Vec::new();
        generate(shell, &mut program, "mailshim", &mut text);
        let name = match shell {
            Shell::Zsh => "_mailshim".to_string(),
            other => format!("mailshim.{other}"),
        };
        files.push((format!("completions/{name}"), text));
    }
    program.build();
    let mut pages = vec![("mailshim".to_string(), program.clone())];
    for command in program.get_subcommands() {
        let name = format!("mailshim-{}", command.get_name());
        pages.push((name.clone(), command.clone().display_name(name)));
    }
    for (name, command) in pages {
        let mut text = Vec::new();
        clap_mangen::Man::new(command.version(env!("CARGO_PKG_VERSION")))
            .render(&mut text)
            .expect("memory takes everything");
        files.push((format!("man/{name}.1"), text));
    }
    files
}

#[allow(dead_code, reason = "the test that they are current includes this file")]
fn main() -> io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    for (name, content) in files() {
        let path = docs.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&docs))?;
        std::fs::write(path, content)?;
    }
    Ok(())
}
