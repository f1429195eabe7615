//! What tree-sitter's grammar of PowerShell makes of a script.

use tree_sitter::{Node, Parser, Tree};

/// One command as it is called.
#[derive(Debug)]
pub struct Command {
    pub name: String,
    /// Without the dash.
    pub parameters: Vec<String>,
    /// The other words, as they stand.
    pub words: Vec<String>,
}

fn tree(script: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_powershell::LANGUAGE.into()).expect("a grammar of this version");
    parser.parse(script, None).expect("no time limit is set")
}

fn walk<'a>(node: Node<'a>, visit: &mut impl FnMut(Node<'a>)) {
    visit(node);
    let mut cursor = node.walk();
    for child in node.children(&mut cursor) {
        walk(child, visit);
    }
}

/// Where the grammar does not follow.
pub fn mistakes(script: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    walk(tree(script).root_node(), &mut |node| {
        if node.is_error() || node.is_missing() {
            let line = script.lines().nth(node.start_position().row).unwrap_or_default();
            mistakes.push(format!("line {}: {line}", node.start_position().row + 1));
        }
    });
    mistakes
}

/// Every command, inside blocks and strings too.
pub fn commands(script: &str) -> Vec<Command> {
    let mut commands = Vec::new();
    let text = |node: Node<'_>| script[node.byte_range()].to_string();
    walk(tree(script).root_node(), &mut |node| {
        if node.kind() != "command" {
            return;
        }
        let Some(name) = node.child_by_field_name("command_name") else { return };
        // `& { … }`: what is called is the block, whose commands come by themselves.
        if text(name).starts_with('{') {
            return;
        }
        let mut command = Command { name: text(name), parameters: Vec::new(), words: Vec::new() };
        if let Some(elements) = node.child_by_field_name("command_elements") {
            let mut cursor = elements.walk();
            for element in elements.children(&mut cursor) {
                let word = text(element);
                match element.kind() {
                    "command_parameter" => {
                        let name = word.trim_start_matches('-').split(':').next().unwrap_or_default();
                        command.parameters.push(name.to_string());
                    }
                    _ if !word.trim().is_empty() => command.words.push(word),
                    _ => {}
                }
            }
        }
        commands.push(command);
    });
    commands
}
