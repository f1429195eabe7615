//! Reads the code that a release is built of: every module that `src/lib.rs` and `src/main.rs` lead to, with the names
//! it defines, what it imports and every path it writes. What stands under `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// Rust files by their path from the package's folder: those on disk, or made up for a test of the rules.
pub struct Sources(pub BTreeMap<String, String>);

impl Sources {
    /// Every Rust file in these folders.
    pub fn on_disk(folders: &[&str]) -> Sources {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let (mut found, mut left) = (BTreeMap::new(), Vec::new());
        left.extend(folders.iter().map(|folder| root.join(folder)));
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                found.insert(name.to_string(), fs::read_to_string(&path).unwrap());
            }
        }
        Sources(found)
    }

    /// Sources that stand in a test. A crate needs its `src/lib.rs`.
    pub fn made_up(files: &[(&str, &str)]) -> Sources {
        Sources(files.iter().map(|(file, text)| (file.to_string(), text.to_string())).collect())
    }
}

/// What one module says: a file, or an inline `mod x { .. }` in it.
pub struct Module {
    pub file: String,
    pub parent: Option<usize>,
    /// The module that `crate` means here.
    pub root: usize,
    pub names: BTreeMap<String, Vec<Name>>,
    pub mentions: Vec<Mention>,
}

/// What a name in a module stands for. One name can be several: a function and a module, say.
#[derive(Clone, Debug)]
pub enum Name {
    /// Defined here.
    Item,
    /// A module declared here.
    Module(usize),
    /// Brought in by a `use`, public or not.
    Import(Vec<String>),
}

/// A path as it stands in the source.
#[derive(Clone, Debug)]
pub struct Mention {
    pub path: Vec<String>,
    pub form: Form,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// A leaf of a `use` tree, with the name that it has from here on.
    Import(String),
    /// `use path::*`.
    Glob,
    /// A path in code, in a type, in a macro's tokens or in an attribute.
    Path,
}

/// Every module of a release, and the files that no module leads to.
pub struct Code {
    pub modules: Vec<Module>,
    /// Files that a release is built of.
    pub files: BTreeSet<String>,
    /// Files that neither the release nor its unit tests reach.
    pub orphans: Vec<String>,
}

pub fn read(sources: &Sources) -> Code {
    let mut reader = Reader { sources, modules: Vec::new(), files: BTreeSet::new(), tests: BTreeSet::new() };
    for root in ["src/lib.rs", "src/main.rs"] {
        if sources.0.contains_key(root) {
            reader.file(root, None, true);
        }
    }
    let reached = |file: &String| reader.files.contains(file) || reader.tests.contains(file);
    let below_src = sources.0.keys().filter(|file| file.starts_with("src/"));
    let orphans = below_src.filter(|file| !reached(file)).cloned().collect();
    Code { modules: reader.modules, files: reader.files, orphans }
}

struct Reader<'a> {
    sources: &'a Sources,
    modules: Vec<Module>,
    files: BTreeSet<String>,
    /// Files that only `#[cfg(test)]` leads to: they are seen, not read.
    tests: BTreeSet<String>,
}

impl Reader<'_> {
    /// Reads a file and all that it declares; its place among the modules.
    fn file(&mut self, file: &str, parent: Option<usize>, is_release: bool) -> usize {
        let text =
            self.sources.0.get(file).unwrap_or_else(|| panic!("{file} is declared and does not exist"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        if is_release { &mut self.files } else { &mut self.tests }.insert(file.to_string());
        let module = self.module(file, parent);
        let stem = file.strip_suffix(".rs").unwrap();
        let is_face = ["lib", "main", "mod"].contains(&stem.rsplit('/').next().unwrap());
        let folder = if is_face { stem.rsplit_once('/').unwrap().0 } else { stem }.to_string();
        let mut visitor = Visitor { reader: self, file, module, folder, is_release };
        visitor.visit_file(&parsed);
        module
    }

    fn module(&mut self, file: &str, parent: Option<usize>) -> usize {
        let module = self.modules.len();
        let root = parent.map_or(module, |parent| self.modules[parent].root);
        let (names, mentions) = (BTreeMap::new(), Vec::new());
        self.modules.push(Module { file: file.to_string(), parent, root, names, mentions });
        module
    }
}

struct Visitor<'r, 'a> {
    reader: &'r mut Reader<'a>,
    file: &'r str,
    module: usize,
    /// Where the files of the modules declared here are.
    folder: String,
    is_release: bool,
}

impl Visitor<'_, '_> {
    fn name(&mut self, name: &Ident, meaning: Name) {
        self.reader.modules[self.module].names.entry(plain(name)).or_default().push(meaning);
    }

    fn mention(&mut self, path: Vec<String>, form: Form) {
        if self.is_release {
            self.reader.modules[self.module].mentions.push(Mention { path, form });
        }
    }

    fn declared(&mut self, item: &syn::ItemMod) {
        let is_release = self.is_release && !is_test(&item.attrs);
        let name = plain(&item.ident);
        if let Some((_, items)) = &item.content {
            let inner = self.reader.module(self.file, Some(self.module));
            if is_release {
                self.name(&item.ident, Name::Module(inner));
            }
            let folder = format!("{}/{name}", self.folder);
            let mut visitor =
                Visitor { reader: self.reader, file: self.file, module: inner, folder, is_release };
            items.iter().for_each(|item| visitor.visit_item(item));
            return;
        }
        let own = self.file.rsplit_once('/').unwrap().0;
        let places = match named_path(&item.attrs) {
            Some(path) => vec![format!("{own}/{path}")],
            None => vec![format!("{}/{name}.rs", self.folder), format!("{}/{name}/mod.rs", self.folder)],
        };
        let file = places.iter().find(|place| self.reader.sources.0.contains_key(*place));
        let file = file.unwrap_or_else(|| panic!("{}: mod {name}: no file {places:?}", self.file));
        let inner = self.reader.file(file, Some(self.module), is_release);
        if is_release {
            self.name(&item.ident, Name::Module(inner));
        }
    }

    fn used(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let joined = |ident: &Ident| [prefix, &[plain(ident)]].concat();
        match tree {
            syn::UseTree::Path(path) => self.used(&path.tree, &joined(&path.ident)),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.used(tree, prefix)),
            syn::UseTree::Name(leaf) => self.imported(&leaf.ident, &leaf.ident, prefix),
            syn::UseTree::Rename(leaf) => self.imported(&leaf.ident, &leaf.rename, prefix),
            syn::UseTree::Glob(_) => self.mention(prefix.to_vec(), Form::Glob),
        }
    }

    fn imported(&mut self, leaf: &Ident, alias: &Ident, prefix: &[String]) {
        let is_self = leaf == "self" && !prefix.is_empty();
        let path = if is_self { prefix.to_vec() } else { [prefix, &[plain(leaf)]].concat() };
        let alias = if alias == "self" { path.last().unwrap().clone() } else { plain(alias) };
        let names = &mut self.reader.modules[self.module].names;
        names.entry(alias.clone()).or_default().push(Name::Import(path.clone()));
        self.mention(path, Form::Import(alias));
    }

    /// Paths in tokens that nobody parsed: `a :: b :: c`, `a :: { b, c }` and `. elapsed`.
    fn tokens(&mut self, tokens: &TokenStream, prefix: &[String]) {
        let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == sign);
        let mut at = 0;
        while at < tokens.len() {
            if let TokenTree::Group(group) = &tokens[at] {
                self.tokens(&group.stream(), &[]);
            }
            let TokenTree::Ident(first) = &tokens[at] else {
                at += 1;
                continue;
            };
            // A method; after two dots it is a range, or the rest of a struct.
            if at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.')) {
                self.mention(vec![format!(".{first}")], Form::Path);
                at += 1;
                continue;
            }
            let mut path = [prefix, &[plain(first)]].concat();
            at += 1;
            while is(at, ':') && is(at + 1, ':') {
                at += 2;
                match tokens.get(at) {
                    Some(TokenTree::Ident(ident)) => path.push(plain(ident)),
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                        self.tokens(&group.stream(), &path)
                    }
                    _ => break,
                }
                at += 1;
            }
            self.mention(path, Form::Path);
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_, '_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if let syn::Item::Mod(module) = item {
            return self.declared(module);
        }
        let (attributes, name): (&[_], _) = match item {
            syn::Item::Const(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            syn::Item::ForeignMod(item) => (&item.attrs, None),
            syn::Item::Impl(item) => (&item.attrs, None),
            syn::Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            syn::Item::Static(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Type(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Union(item) => (&item.attrs, Some(&item.ident)),
            syn::Item::Use(item) => (&item.attrs, None),
            _ => panic!("{}: an item of a kind that the rules cannot read", self.file),
        };
        if is_test(attributes) || !self.is_release {
            return;
        }
        if let Some(name) = name {
            self.name(name, Name::Item);
        }
        if let syn::Item::Use(item) = item {
            let outside = if item.leading_colon.is_some() { vec!["::".to_string()] } else { Vec::new() };
            return self.used(&item.tree, &outside);
        }
        visit::visit_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| plain(&segment.ident));
        let outside = path.leading_colon.as_ref().map(|_| "::".to_string());
        self.mention(outside.into_iter().chain(segments).collect(), Form::Path);
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.mention(vec![format!(".{}", call.method)], Form::Path);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.tokens(tokens, &[]);
    }

    /// `pub(in crate::x)` says who may look, and is no import.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    // What else can carry `#[cfg(test)]`.
    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let is_left_out = match item {
            syn::ImplItem::Const(item) => is_test(&item.attrs),
            syn::ImplItem::Fn(item) => is_test(&item.attrs),
            syn::ImplItem::Type(item) => is_test(&item.attrs),
            _ => false,
        };
        if !is_left_out {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !is_test(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !is_test(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_field_value(&mut self, field: &'ast syn::FieldValue) {
        if !is_test(&field.attrs) {
            visit::visit_field_value(self, field);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !is_test(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !is_test(&local.attrs) {
            visit::visit_local(self, local);
        }
    }
}

fn plain(ident: &Ident) -> String {
    ident.to_string().trim_start_matches("r#").to_string()
}

/// Whether an attribute says `cfg(test)`, alone or as one of `all(..)`: built for tests only.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    let says = |attribute: &syn::Attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => needs_test(&list.tokens),
        _ => false,
    };
    attributes.iter().any(says)
}

fn needs_test(tokens: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = tokens.clone().into_iter().collect();
    match tokens.as_slice() {
        [TokenTree::Ident(only)] => only == "test",
        [TokenTree::Ident(all), TokenTree::Group(list)] if all == "all" => {
            list.stream().into_iter().any(|token| matches!(token, TokenTree::Ident(word) if word == "test"))
        }
        _ => false,
    }
}

/// The file of `#[path = "file"]`.
fn named_path(attributes: &[syn::Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        syn::Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(file), .. }) => Some(file.value()),
            _ => None,
        },
        _ => None,
    })
}
