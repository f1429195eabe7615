//! The PowerShell of the documents: parsed by the same grammar, and its commands looked up in the same lists.

use std::path::PathBuf;

use super::{commands, grammar};

/// Each document with its text.
fn documents() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let docs =
        std::fs::read_dir(root.join("docs")).expect("a folder").map(|entry| entry.expect("an entry").path());
    let all =
        docs.chain([root.join("README.md")]).filter(|path| path.extension().is_some_and(|end| end == "md"));
    all.map(|path| (path.display().to_string(), std::fs::read_to_string(&path).expect("UTF-8"))).collect()
}

/// `<client id>` is the reader's to fill in.
fn filled_in(script: &str) -> String {
    let mut parts = script.split('<');
    let first = parts.next().expect("a first part").to_string();
    parts.fold(first, |text, part| match part.split_once('>') {
        Some((name, rest)) => format!("{text}{}{rest}", name.replace([' ', '\''], "-")),
        None => format!("{text}<{part}"),
    })
}

#[test]
fn every_powershell_block_and_cmdlet_of_the_documents_exists() {
    let mut seen = 0;
    for (document, text) in documents() {
        let blocks = text.split("```powershell\n").skip(1).filter_map(|rest| rest.split("```").next());
        let outside = text.split("```").step_by(2);
        let spans = outside.flat_map(|part| part.lines()).flat_map(|line| line.split('`').skip(1).step_by(2));
        let verbs = ["Add-", "Connect-", "Enable-", "Get-", "Install-", "New-", "Remove-", "Set-", "Test-"];
        let cmdlets = spans.filter(|span| verbs.iter().any(|verb| span.starts_with(verb)));
        for script in blocks.chain(cmdlets).map(filled_in) {
            assert_eq!(grammar::mistakes(&script), Vec::<String>::new(), "{document}\n{script}");
            for command in
                grammar::commands(&script).iter().filter(|command| command.name != "Install-Module")
            {
                seen += 1;
                assert_eq!(commands::unknown(command), None, "{document}: {command:?}");
            }
        }
    }
    assert!(seen > 15, "{seen}");
}
