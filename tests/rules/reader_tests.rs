//! The reader itself, on sources small enough to see what must come out.

use crate::graph::{Graph, graph};
use crate::reader::{Sources, read};

fn graph_of(files: &[(&str, &str)]) -> Graph {
    let graph = graph(&read(&Sources::made_up(files)));
    assert_eq!(graph.lost, Vec::<String>::new());
    graph
}

/// Every arrow as `a -> b: items`, without `src/` and `.rs`.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let short = |file: &str| file.trim_start_matches("src/").trim_end_matches(".rs").to_string();
    let graph = graph_of(files);
    let arrows = graph.arrows.iter().map(|(arrow, reasons)| {
        let mut items: Vec<&str> = reasons.iter().map(|reason| reason.item.as_str()).collect();
        items.sort();
        items.dedup();
        format!("{} -> {}: {}", short(&arrow.from), short(&arrow.to), items.join(" "))
    });
    arrows.collect()
}

/// A library with two rooms, `a` and `b`, of which `a` says this.
fn a_says(text: &str) -> Vec<String> {
    arrows(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", text),
        ("src/b/mod.rs", "pub mod deep; pub use deep::Face; pub struct Own; pub enum Kind { One }"),
        ("src/b/deep.rs", "pub struct Deep; pub struct Face; pub fn call() {}"),
    ])
}

const FACE_TO_DEEP: &str = "b/mod -> b/deep: Face";

#[test]
fn use_trees_are_followed_leaf_by_leaf() {
    let expected = ["a -> b/deep: Deep Face call", "a -> b/mod: Own", FACE_TO_DEEP];
    assert_eq!(
        a_says("use crate::{b::{self as other, deep::{Deep, call}, Face, Own}};\nfn f() { other::Own; }"),
        expected
    );
    assert_eq!(
        a_says(
            "use crate::{\n    b::{\n        deep::{\n  Deep,\n  call as other },\n  Face,\n Own,\n },\n};"
        ),
        expected
    );
}

#[test]
fn a_face_that_only_re_exports_is_no_end_of_an_arrow() {
    assert_eq!(a_says("use crate::b::Face;"), ["a -> b/deep: Face", FACE_TO_DEEP]);
}

#[test]
fn a_re_export_of_a_re_export_is_followed_under_each_name() {
    let files = [
        ("src/lib.rs", "mod a; mod b; mod c;"),
        ("src/a.rs", "fn f() -> crate::b::Third { todo!() }"),
        ("src/b.rs", "pub use crate::c::Second as Third;"),
        ("src/c/mod.rs", "mod d; pub use self::d::First as Second;"),
        ("src/c/d.rs", "pub struct First;"),
    ];
    assert_eq!(arrows(&files), ["a -> c/d: First", "b -> c/d: First", "c/mod -> c/d: First"]);
}

#[test]
fn an_imported_module_counts_for_what_is_reached_through_it() {
    assert_eq!(
        a_says("use crate::b::deep as under;\nfn f() { under::call() }"),
        ["a -> b/deep: call", FACE_TO_DEEP]
    );
    assert_eq!(a_says("use crate::b;\nfn f(x: b::Face) {}"), ["a -> b/deep: Face", FACE_TO_DEEP]);
    // Nothing is seen to be reached, so all of it may be.
    assert_eq!(a_says("pub use crate::b;"), ["a -> b/mod: b", FACE_TO_DEEP]);
}

#[test]
fn paths_in_types_expressions_patterns_and_bounds_count() {
    for text in [
        "fn f(x: &mut Vec<crate::b::Own>) {}",
        "fn f() { let x = crate::b::Own; }",
        "fn f(x: u8) { match x { crate::b::Own => {} } }",
        "fn f<T: Into<crate::b::Own>>(x: T) {}",
        "impl From<crate::b::Own> for u8 {}",
        "fn f() { <crate::b::Own as Clone>::clone() }",
        "#[derive(crate::b::Own)] struct S;",
        "mod inline { fn f() { super::super::b::Own; } }",
        "fn f() { use crate::b::Own; }",
    ] {
        assert_eq!(a_says(text), ["a -> b/mod: Own", FACE_TO_DEEP], "{text}");
    }
}

#[test]
fn a_path_through_a_type_ends_at_the_type() {
    assert_eq!(a_says("use crate::b::Kind; fn f() { Kind::One; }"), ["a -> b/mod: Kind", FACE_TO_DEEP]);
    assert_eq!(a_says("use crate::b::Kind::{self, One};"), ["a -> b/mod: Kind", FACE_TO_DEEP]);
    assert_eq!(a_says("use crate::b::Kind::*;"), ["a -> b/mod: Kind", FACE_TO_DEEP]);
}

#[test]
fn super_climbs_as_often_as_it_is_said() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a/mod.rs", "mod c; struct Face;"),
        ("src/a/c/mod.rs", "mod d; struct Middle;"),
        ("src/a/c/d.rs", "use super::Middle; use super::super::Face; use super::super::super::b::Own;"),
        ("src/b.rs", "pub struct Own;"),
    ];
    assert_eq!(arrows(&files), ["a/c/d -> a/c/mod: Middle", "a/c/d -> a/mod: Face", "a/c/d -> b: Own"]);
}

#[test]
fn a_glob_is_all_that_it_may_bring() {
    assert_eq!(a_says("use crate::b::*;"), ["a -> b/deep: Face", "a -> b/mod: Kind Own", FACE_TO_DEEP]);
}

#[test]
fn a_re_exporting_glob_is_looked_through() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::Deep;"),
        ("src/b/mod.rs", "mod deep; pub use deep::*;"),
        ("src/b/deep.rs", "pub struct Deep;"),
    ];
    assert_eq!(arrows(&files), ["a -> b/deep: Deep", "b/mod -> b/deep: Deep"]);
}

#[test]
fn macros_are_read_token_by_token() {
    for text in [
        "fn f() { println!(\"{}\", crate::b::Own); }",
        "use crate::b;\nfn f() { assert!(matches!(1, Some(b::Own))); }",
        "macro_rules! m { ($x:expr) => { $crate::b::Own + $x }; }",
        "macro_rules! m { () => { use crate::b::{Own}; }; }",
        "fn f() { assert_eq!(0..crate::b::Own, x); }",
        "fn f() { select! { x = y => { vec![crate :: b :: Own] } } }",
    ] {
        assert_eq!(a_says(text), ["a -> b/mod: Own", FACE_TO_DEEP], "{text}");
    }
}

#[test]
fn what_only_tests_need_is_left_out() {
    for text in [
        "#[cfg(test)] mod tests { use crate::b::Own; }",
        "#[cfg(test)] use crate::b::Own;",
        "#[cfg(all(test, unix))] fn f() { crate::b::Own; }",
        "enum E { #[cfg(test)] Made(crate::b::Own) }",
        "fn f(x: u8) { match x { #[cfg(test)] 1 => crate::b::Own, _ => {} } }",
        "struct S; impl S { #[cfg(test)] fn f() { crate::b::Own; } }",
        "fn f() { #[cfg(test)] let x = crate::b::Own; }",
        "struct S { #[cfg(test)] x: crate::b::Own }",
        "pub(in crate::b) fn f() {}",
        "/// [`crate::b::Own`]\nfn f() {}",
    ] {
        assert_eq!(a_says(text), [FACE_TO_DEEP], "{text}");
    }
    let built = "#[cfg(not(test))] use crate::b::Own;";
    assert_eq!(a_says(built), ["a -> b/mod: Own", FACE_TO_DEEP]);
}

#[test]
fn files_of_tests_are_known_and_not_read() {
    let sources = Sources::made_up(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "#[cfg(test)] #[path = \"a_tests.rs\"] mod tests; #[path = \"other.rs\"] mod named;"),
        ("src/a_tests.rs", "mod cases; use crate::b::Own;"),
        ("src/a_tests/cases.rs", "use crate::b::Own;"),
        ("src/other.rs", "use crate::b::Own;"),
        ("src/b.rs", "pub struct Own;"),
        ("src/forgotten.rs", ""),
    ]);
    let code = read(&sources);
    assert_eq!(code.orphans, ["src/forgotten.rs"]);
    assert_eq!(Vec::from_iter(&code.files), ["src/a.rs", "src/b.rs", "src/lib.rs", "src/other.rs"]);
    let graph = graph(&code);
    assert!(graph.arrows.keys().all(|arrow| arrow.from == "src/other.rs"), "{:?}", graph.arrows);
}

#[test]
fn the_program_reaches_the_library_by_its_name() {
    let files = [
        ("src/lib.rs", "pub mod a;"),
        ("src/main.rs", "fn main() { mailshim::a::go() }"),
        ("src/a.rs", "pub fn go() {}"),
    ];
    assert_eq!(arrows(&files), ["main -> a: go"]);
}

#[test]
fn a_glob_of_what_is_outside_stands_for_all_below_it() {
    let graph = graph_of(&[("src/lib.rs", "use std::*;")]);
    assert_eq!(graph.outside[0].path, ["std", "*"]);
}

#[test]
fn what_is_outside_is_told_in_full() {
    let text = "use std::{fs::{self as disk, File}, time};\nuse ::tokio::net;\n\
        fn f(x: time::Instant) { disk::read(); File::open(); net::TcpStream::connect(); x.elapsed(); \
        println!(\"{}\", x.elapsed()); serde_json::from_str() }";
    let graph = graph_of(&[("src/lib.rs", text)]);
    let paths: Vec<String> = graph.outside.iter().map(|outside| outside.path.join("::")).collect();
    for expected in [
        "std::fs::read",
        "std::fs::File::open",
        "std::time::Instant",
        "tokio::net::TcpStream::connect",
        "serde_json::from_str",
    ] {
        assert!(paths.iter().any(|path| path == expected), "{expected}: {paths:?}");
    }
    assert_eq!(paths.iter().filter(|path| *path == ".elapsed").count(), 2);
}

#[test]
fn a_function_may_bear_the_name_of_a_module() {
    let files = [
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::deep; fn f() { deep::Own; deep() }"),
        ("src/b/mod.rs", "pub mod deep; pub fn deep() {}"),
        ("src/b/deep.rs", "pub struct Own;"),
    ];
    assert_eq!(arrows(&files), ["a -> b/deep: Own", "a -> b/mod: deep"]);
}

#[test]
fn a_name_that_is_not_there_is_not_passed_over() {
    let sources = Sources::made_up(&[("src/lib.rs", "mod a; use crate::a::Missing;"), ("src/a.rs", "")]);
    assert_eq!(graph(&read(&sources)).lost, ["src/lib.rs: crate::a::Missing"]);
}
