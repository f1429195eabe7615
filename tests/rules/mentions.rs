//! What a document speaks of exists: sections, files, variables, commands, metrics.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::LazyLock;

use mailshim::testing::cli::arguments;
use mailshim::testing::config::VARIABLES;

use crate::readme::metric_names;

/// Every document of the repository by its path.
pub static DOCUMENTS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new(), "docs".into(), "tests/fuzz".into()];
    folders.push("examples".into());
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(root().join(&folder)).expect("a folder").map(|entry| entry.expect("an entry"))
        {
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() && path.starts_with("examples") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                let text = std::fs::read_to_string(entry.path()).expect("UTF-8");
                found.insert(path.display().to_string(), text);
            }
        }
    }
    assert!(found.len() > 12, "{:?}", found.keys());
    found
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The inline code of a text, blocks left out.
pub fn spans(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.lines()).flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// A document's link without `..`, from the root.
fn resolved(document: &str, link: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for part in Path::new(document).parent().expect("a folder").join(link).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{document}: {link} leaves the repository"),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path
}

#[test]
fn every_link_leads_to_a_file_and_a_section() {
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    for (document, text) in &*DOCUMENTS {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, section) =
                link.split_once('#').map_or((link, None), |(path, section)| (path, Some(section)));
            let target = if path.is_empty() { PathBuf::from(document) } else { resolved(document, path) };
            assert!(root().join(&target).exists(), "{document}: {link}");
            if let Some(section) = section {
                let target = &DOCUMENTS[&target.display().to_string()];
                let mut headings = target.lines().filter(|line| line.starts_with('#')).map(anchor);
                assert!(headings.any(|heading| heading == section), "{document}: {link}");
            }
        }
    }
}

/// A name in the text that is no variable is a promise that nobody keeps.
#[test]
fn every_variable_that_is_spoken_of_exists() {
    let no_word = |c: char| !(c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
    for (document, text) in &*DOCUMENTS {
        let words = text.split(no_word).filter(|word| word.starts_with("MAILSHIM_"));
        for name in words.filter(|word| word.len() > "MAILSHIM_".len()) {
            let known = VARIABLES.iter().any(|variable| {
                // `MAILSHIM_FLEET_*` means several.
                variable.name == name
                    || (name.ends_with('_') && variable.name.starts_with(name))
                    || name.strip_suffix("_FILE").is_some_and(|plain| plain == variable.name)
            });
            assert!(known, "{document}: {name}");
        }
    }
}

/// `mailshim COMMAND --flag` in the text: the command is one of ours, and the flag one of the command's.
#[test]
fn every_command_that_is_spoken_of_exists() {
    let program = arguments::command();
    let mut seen = 0;
    for (document, text) in &*DOCUMENTS {
        for span in spans(text) {
            let Some((before, rest)) = span.rsplit_once("mailshim ") else { continue };
            if !before.is_empty() && !before.ends_with([' ', '/']) {
                continue;
            }
            let rest = rest.replace(['[', ']', '|', '\\'], " ");
            let mut words = rest.split_whitespace().filter(|word| *word != "…");
            let Some(first) = words.next().filter(|word| !["COMMAND", "."].contains(word)) else { continue };
            if first.starts_with('-') {
                let known = ["--help", "--version"].contains(&first);
                assert!(known, "{document}: {span}");
                continue;
            }
            let mut command = program.find_subcommand(first).unwrap_or_else(|| panic!("{document}: {span}"));
            seen += 1;
            for word in words {
                if let Some(below) = command.find_subcommand(word) {
                    command = below;
                }
                let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else { continue };
                let of_it = command.get_arguments().any(|argument| argument.get_long() == Some(flag));
                assert!(of_it || flag == "help", "{document}: {span}");
            }
        }
    }
    assert!(seen > 25, "{seen}");
}

#[test]
fn every_metric_that_is_spoken_of_exists() {
    let names = metric_names();
    for (document, text) in &*DOCUMENTS {
        for code in spans(text) {
            let Some(at) = code.find("mailshim_") else { continue };
            let name =
                code[at..].split(|c: char| !(c.is_ascii_lowercase() || c == '_')).next().expect("a word");
            let family =
                ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(names.iter().any(|known| known == name || known == family), "{document}: {code}");
        }
    }
}

/// A path of ours in inline code or in a block is one of the tree.
#[test]
fn every_file_that_is_named_exists() {
    const FOLDERS: &[&str] =
        &["docs/", "examples/", "src/", "tests/", "docker/", "packaging/", "benches/", ".ci/"];
    let no_path = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-'));
    let mut seen = 0;
    for (document, text) in &*DOCUMENTS {
        let blocks = text.split("```").skip(1).step_by(2);
        for code in spans(text).into_iter().chain(blocks) {
            for path in code.split(no_path).map(|word| word.trim_end_matches('.')) {
                if FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                    seen += 1;
                    assert!(root().join(path).exists(), "{document}: {path}");
                }
            }
        }
    }
    assert!(seen > 10, "{seen}");
}

/// The image is one file in an empty root and has no PATH to it.
#[test]
fn in_a_container_the_program_is_called_by_its_path() {
    for (document, text) in &*DOCUMENTS {
        let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        for code in spans(text).into_iter().chain(blocks) {
            let inside = code.contains("docker exec ") || code.contains("kubectl exec ");
            let called = code.split_whitespace().rfind(|word| word.ends_with("mailshim"));
            assert!(!inside || called.is_none_or(|word| word == "/mailshim"), "{document}: {code}");
        }
    }
}
