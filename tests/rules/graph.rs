//! Which file needs which: every path of the code followed, through imports and re-exports, to the file that defines
//! what it names. A face that only re-exports is no end of an arrow; declaring `mod x;` is no arrow.

use std::collections::{BTreeMap, BTreeSet};

use crate::reader::{Code, Form, Mention, Name};

/// One file needs another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
}

/// A path that makes an arrow, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    /// As it is written.
    pub written: String,
    /// The name in the file that defines it.
    pub item: String,
}

/// A path that leads out of this package: `std::fs::read`, `std::fs::*` of a glob, or `.elapsed` of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Outside {
    pub file: String,
    pub path: Vec<String>,
}

pub struct Graph {
    pub files: BTreeSet<String>,
    pub arrows: BTreeMap<Arrow, BTreeSet<Reason>>,
    pub outside: Vec<Outside>,
    /// Paths of ours that lead nowhere: the reader has not understood something, and nothing may hide there.
    pub lost: Vec<String>,
}

/// What a path stands for.
#[derive(Clone, Debug, PartialEq)]
enum Target {
    Item { module: usize, name: String },
    Module(usize),
    Outside(Vec<String>),
    Lost,
}

pub fn graph(code: &Code) -> Graph {
    let (arrows, outside, lost) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut graph = Graph { files: code.files.clone(), arrows, outside, lost };
    for module in 0..code.modules.len() {
        for mention in &code.modules[module].mentions {
            graph.follow(code, module, mention);
        }
    }
    graph
}

impl Graph {
    fn follow(&mut self, code: &Code, module: usize, mention: &Mention) {
        let Mention { path, form } = mention;
        let file = &code.modules[module].file;
        let outside = |path: Vec<String>| Outside { file: file.clone(), path };
        if *form == Form::Path && path.len() == 1 {
            // A bare name is of this module, or its import was followed. A method is told by its name alone.
            if path[0].starts_with('.') {
                self.outside.push(outside(path.clone()));
            }
            return;
        }
        for target in resolve(code, module, path, &mut Vec::new()) {
            match target {
                Target::Item { module: to, name } => self.arrow(code, module, to, mention, &name),
                Target::Outside(mut path) => {
                    path.extend((*form == Form::Glob).then(|| "*".to_string()));
                    self.outside.push(outside(path));
                }
                Target::Lost => self.lost.push(format!("{file}: {}", path.join("::"))),
                Target::Module(to) => match form {
                    // All of it, so all that its names lead to.
                    Form::Glob => {
                        for (name, to) in everything_in(code, to, &mut Vec::new()) {
                            self.arrow(code, module, to, mention, &name);
                        }
                    }
                    // The paths that go through a module say what is needed of it; where none does, all of it is.
                    Form::Import(alias) if !is_gone_through(code, module, alias) => {
                        self.arrow(code, module, to, mention, alias)
                    }
                    Form::Import(_) | Form::Path => {}
                },
            }
        }
    }

    fn arrow(&mut self, code: &Code, from: usize, to: usize, mention: &Mention, item: &str) {
        let file = |module: usize| code.modules[module].file.clone();
        if file(from) != file(to) {
            let reason = Reason { written: mention.path.join("::"), item: item.to_string() };
            self.arrows.entry(Arrow { from: file(from), to: file(to) }).or_default().insert(reason);
        }
    }

    /// The circles of files, each sorted, by Tarjan's algorithm.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for arrow in self.arrows.keys() {
            next.entry(&arrow.from).or_default().push(&arrow.to);
        }
        let mut search =
            Search { next, order: BTreeMap::new(), low: BTreeMap::new(), stack: vec![], circles: vec![] };
        for file in &self.files {
            if !search.order.contains_key(file.as_str()) {
                search.visit(file);
            }
        }
        search.circles.sort();
        search.circles
    }
}

struct Search<'a> {
    next: BTreeMap<&'a str, Vec<&'a str>>,
    order: BTreeMap<&'a str, usize>,
    low: BTreeMap<&'a str, usize>,
    stack: Vec<&'a str>,
    circles: Vec<Vec<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, file: &'a str) {
        let number = self.order.len();
        self.order.insert(file, number);
        self.low.insert(file, number);
        self.stack.push(file);
        for to in self.next.get(file).cloned().unwrap_or_default() {
            let reached = if !self.order.contains_key(to) {
                self.visit(to);
                self.low[to]
            } else if self.stack.contains(&to) {
                self.order[to]
            } else {
                continue;
            };
            let low = self.low.get_mut(file).unwrap();
            *low = reached.min(*low);
        }
        if self.low[file] == number {
            let start = self.stack.iter().position(|on_stack| *on_stack == file).unwrap();
            let mut circle: Vec<String> = self.stack.drain(start..).map(str::to_string).collect();
            circle.sort();
            if circle.len() > 1 {
                self.circles.push(circle);
            }
        }
    }
}

/// What a path, written in this module, stands for. `seen` ends imports that lead to themselves.
fn resolve(code: &Code, module: usize, path: &[String], seen: &mut Vec<(usize, String)>) -> Vec<Target> {
    let (first, mut rest) = path.split_first().expect("a path has a segment");
    let mut here = match first.as_str() {
        "::" => return vec![Target::Outside(rest.to_vec())],
        "crate" => code.modules[module].root,
        // The program's own library, as `src/main.rs` calls it.
        "mailshim" => 0,
        "self" => module,
        "super" => code.modules[module].parent.expect("a module above"),
        name => {
            let found = in_module(code, module, name, rest, seen);
            return if found.is_empty() { vec![Target::Outside(path.to_vec())] } else { found };
        }
    };
    while rest.first().is_some_and(|segment| segment == "super") {
        here = code.modules[here].parent.expect("a module above");
        rest = &rest[1..];
    }
    match rest.split_first() {
        None => vec![Target::Module(here)],
        Some((name, rest)) => {
            let found = in_module(code, here, name, rest, seen);
            if found.is_empty() { vec![Target::Lost] } else { found }
        }
    }
}

/// What `name::rest` stands for inside a module; nothing, if it has no such name.
fn in_module(
    code: &Code,
    module: usize,
    name: &str,
    rest: &[String],
    seen: &mut Vec<(usize, String)>,
) -> Vec<Target> {
    if seen.contains(&(module, name.to_string())) {
        return Vec::new();
    }
    seen.push((module, name.to_string()));
    let mut found = Vec::new();
    for meaning in code.modules[module].names.get(name).into_iter().flatten() {
        match meaning {
            Name::Item => found.push(Target::Item { module, name: name.to_string() }),
            Name::Module(inner) => found.push(Target::Module(*inner)),
            Name::Import(path) => found.extend(resolve(code, module, path, seen)),
        }
    }
    if found.is_empty() {
        for glob in code.modules[module].mentions.iter().filter(|mention| mention.form == Form::Glob) {
            for target in resolve(code, module, &glob.path, seen) {
                if let Target::Module(inner) = target {
                    found.extend(in_module(code, inner, name, &[], seen));
                }
            }
        }
    }
    seen.pop();
    let Some((next, after)) = rest.split_first() else { return found };
    // What a path goes through is a module or a type, and no name is both: a function of that name is not meant.
    if found.iter().any(|target| matches!(target, Target::Module(_))) {
        found.retain(|target| matches!(target, Target::Module(_)));
    }
    let mut ends = Vec::new();
    for target in found {
        match target {
            Target::Module(inner) => {
                let inside = in_module(code, inner, next, after, seen);
                ends.extend(if inside.is_empty() { vec![Target::Lost] } else { inside });
            }
            Target::Outside(path) => ends.push(Target::Outside([&path, rest].concat())),
            Target::Item { .. } | Target::Lost => ends.push(target),
        }
    }
    ends
}

/// Every item that a glob of this module may bring, with the module that defines it.
fn everything_in(code: &Code, module: usize, seen: &mut Vec<usize>) -> Vec<(String, usize)> {
    if seen.contains(&module) {
        return Vec::new();
    }
    seen.push(module);
    let mut found = Vec::new();
    for name in code.modules[module].names.keys() {
        for target in in_module(code, module, name, &[], &mut Vec::new()) {
            if let Target::Item { module, name } = target {
                found.push((name, module));
            }
        }
    }
    for glob in code.modules[module].mentions.iter().filter(|mention| mention.form == Form::Glob) {
        for target in resolve(code, module, &glob.path, &mut Vec::new()) {
            if let Target::Module(inner) = target {
                found.extend(everything_in(code, inner, seen));
            }
        }
    }
    found
}

/// Whether a module's code has a path that starts with this name and goes on.
fn is_gone_through(code: &Code, module: usize, alias: &str) -> bool {
    let goes = |mention: &Mention| mention.path.len() > 1 && mention.path[0] == alias;
    code.modules[module].mentions.iter().any(goes)
}
