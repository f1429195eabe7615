//! Each rule is broken once, by a source made for it, and seen to fail; beside it stands what is allowed.

use std::collections::BTreeMap;

use crate::graph::{Graph, graph};
use crate::reader::{Sources, read};
use crate::rules;

/// A library of these files. Folders need no `mod.rs`: whatever is not given is declared.
fn house(files: &[(&str, &str)]) -> Graph {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (file, text) in files {
        texts.entry(file.to_string()).or_default().push_str(text);
        let mut child = *file;
        while let Some((folder, name)) = child.trim_end_matches("/mod.rs").rsplit_once('/') {
            let face = if folder == "src" { "src/lib.rs".to_string() } else { format!("{folder}/mod.rs") };
            if face != *file {
                let module = format!("pub mod {};\n", name.trim_end_matches(".rs"));
                let text = texts.entry(face).or_default();
                if !text.contains(&module) {
                    text.push_str(&module);
                }
            }
            child = folder;
        }
    }
    let files: Vec<(&str, &str)> = texts.iter().map(|(file, text)| (file.as_str(), text.as_str())).collect();
    let graph = graph(&read(&Sources::made_up(&files)));
    assert_eq!(graph.lost, Vec::<String>::new());
    graph
}

/// Whether the first file may import `Item` of the second.
fn is_allowed(from: &str, to: &str) -> bool {
    imports(from, to, "Item")
}

fn imports(from: &str, to: &str, item: &str) -> bool {
    let module =
        to.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::");
    let root = if from == "src/main.rs" { "mailshim" } else { "crate" };
    let (import, definition) = (format!("use {root}::{module}::{item};\n"), format!("pub struct {item};\n"));
    let graph = house(&[(from, &import), (to, &definition)]);
    assert_eq!(graph.arrows.len(), 1, "{from} -> {to}");
    rules::wrong_arrows(&graph).is_empty()
}

#[test]
fn a_room_without_a_row_is_found() {
    assert_eq!(rules::without_row(&house(&[("src/utils.rs", "")])).len(), 1);
    assert_eq!(rules::without_row(&house(&[("src/utils/deep/string.rs", "")])).len(), 3);
    assert_eq!(rules::without_row(&house(&[("src/spool/store.rs", ""), ("src/life.rs", "")])), [""; 0]);
}

#[test]
fn floors_hold() {
    for (from, to, expected) in [
        ("src/main.rs", "src/cli/mod.rs", true),
        ("src/cli/serve.rs", "src/upstream/connector.rs", true),
        ("src/cli/serve.rs", "src/config/mod.rs", true),
        ("src/delivery/relay.rs", "src/config/mod.rs", false),
        ("src/telemetry/setup.rs", "src/config/mod.rs", false),
        ("src/session/connection.rs", "src/delivery/mod.rs", true),
        ("src/session/connection.rs", "src/telemetry/mod.rs", true),
        ("src/session/connection.rs", "src/upstream/mod.rs", false),
        ("src/session/connection.rs", "src/identity/mod.rs", false),
        ("src/session/connection.rs", "src/transport/wire.rs", false),
        ("src/session/connection.rs", "src/spool/mod.rs", false),
        ("src/delivery/relay.rs", "src/upstream/mod.rs", true),
        ("src/delivery/relay.rs", "src/session/connection.rs", false),
        ("src/upstream/connector.rs", "src/identity/mod.rs", false),
        ("src/upstream/connector.rs", "src/transport/dial.rs", true),
        ("src/identity/tokens.rs", "src/upstream/mod.rs", false),
        ("src/spool/store.rs", "src/queue/entry.rs", true),
        ("src/spool/store.rs", "src/fleet/mod.rs", false),
        ("src/alert/mod.rs", "src/telemetry/mod.rs", true),
        ("src/telemetry/mod.rs", "src/transport/wire.rs", false),
        ("src/transport/dial.rs", "src/telemetry/mod.rs", false),
        ("src/telemetry/mod.rs", "src/outcome/fault.rs", true),
        ("src/outcome/fault.rs", "src/queue/entry.rs", false),
        ("src/outcome/fault.rs", "src/message/id.rs", true),
        ("src/message/id.rs", "src/outcome/fault.rs", false),
        ("src/message/id.rs", "src/smtp/path.rs", true),
        ("src/smtp/path.rs", "src/secret.rs", true),
        ("src/smtp/path.rs", "src/names.rs", false),
        ("src/smtp/path.rs", "src/message/id.rs", false),
        ("src/credential.rs", "src/secret.rs", true),
        ("src/life.rs", "src/deadlines.rs", false),
        ("src/secret.rs", "src/telemetry/mod.rs", false),
    ] {
        assert_eq!(is_allowed(from, to), expected, "{from} -> {to}");
    }
}

#[test]
fn config_fills_options_and_nothing_else() {
    assert!(imports("src/config/mod.rs", "src/session/machine.rs", "MachineOptions"));
    assert!(imports("src/config/mod.rs", "src/message/sender.rs", "FromPolicy"));
    assert!(!imports("src/config/mod.rs", "src/session/machine.rs", "Machine"));
    assert!(imports("src/config/mod.rs", "src/names.rs", "Mailbox"));
}

#[test]
fn a_command_imports_no_other() {
    assert!(!is_allowed("src/cli/exec/mod.rs", "src/cli/wait.rs"));
    assert!(!is_allowed("src/cli/run.rs", "src/cli/exec/ready.rs"));
    assert!(!is_allowed("src/cli/arguments.rs", "src/cli/check/mod.rs"));
    assert!(is_allowed("src/cli/mod.rs", "src/cli/wait.rs"));
    assert!(is_allowed("src/cli/exec/mod.rs", "src/cli/exec/ready.rs"));
    assert!(is_allowed("src/cli/sendmail/mod.rs", "src/cli/client/letter.rs"));
}

#[test]
fn circles_are_found() {
    let circles = house(&[
        ("src/session/machine.rs", "use crate::session::auth::A; pub struct M;"),
        ("src/session/auth.rs", "use super::incoming::I; pub struct A;"),
        ("src/session/incoming.rs", "fn f() { crate::session::machine::M; } pub struct I;"),
        ("src/smtp/path.rs", "use super::Own; pub struct P;"),
        ("src/smtp/mod.rs", "pub mod path; pub use path::P; pub struct Own;"),
        ("src/smtp/reply.rs", "use super::P;"),
    ]);
    let machine = ["src/session/auth.rs", "src/session/incoming.rs", "src/session/machine.rs"];
    assert_eq!(circles.circles(), [machine.to_vec(), vec!["src/smtp/mod.rs", "src/smtp/path.rs"]]);
}

#[test]
fn a_face_that_only_re_exports_makes_no_circle() {
    let graph = house(&[
        ("src/smtp/mod.rs", "pub mod path; pub mod reply; pub use path::P; pub use reply::R;"),
        ("src/smtp/path.rs", "pub struct P;"),
        ("src/smtp/reply.rs", "use super::P; pub struct R(P);"),
    ]);
    assert_eq!(graph.circles(), Vec::<Vec<String>>::new());
}

#[test]
fn a_crate_out_of_its_place_is_found() {
    let misplaced = |file: &str, text: &str| !rules::misplaced_crates(&house(&[(file, text)])).is_empty();
    for (file, text, expected) in [
        ("src/delivery/relay.rs", "fn f() { tracing::info!(\"x\"); }", true),
        ("src/delivery/relay.rs", "use tracing::{Level, info as say};", true),
        ("src/telemetry/mod.rs", "fn f() { tracing::info!(\"x\"); }", false),
        ("src/session/mod.rs", "use serde_json as json;", true),
        ("src/identity/exchange.rs", "use serde_json as json;", false),
        ("src/delivery/relay.rs", "use std::{io, fs::{self, File}};", true),
        ("src/delivery/relay.rs", "use std as s; fn f() { s::fs::read(); }", true),
        ("src/delivery/relay.rs", "use std::*; fn f() { fs::read(); }", true),
        ("src/delivery/relay.rs", "fn f() { tokio::fs::read(); }", true),
        ("src/spool/store.rs", "use std::fs;", false),
    ] {
        assert_eq!(misplaced(file, text), expected, "{file}: {text}");
    }
}

#[test]
fn what_asks_the_world_is_found_in_a_pure_file() {
    let asks = |file: &str, text: &str| !rules::impure(&house(&[(file, text)])).is_empty();
    for text in [
        "use tokio::sync::Mutex;",
        "use std::{\n    collections::BTreeMap,\n    env::{self, var},\n};",
        "fn f() { std::fs::read(\"x\"); }",
        "use std::net::{IpAddr, TcpStream};",
        "use std::*;",
        "fn f() { tracing::debug!(\"x\"); }",
        "use std::time::Instant as Moment; fn f() { Moment::now(); }",
        "use std::time; fn f() { println!(\"{:?}\", time::SystemTime::now()); }",
        "fn f(since: std::time::Instant) { since.elapsed(); }",
        "fn f() { time::OffsetDateTime::now_utc(); }",
        "fn f() { std::thread::spawn(|| {}); }",
    ] {
        assert!(asks("src/session/machine.rs", text), "{text}");
        assert!(asks("src/identity/grant/device.rs", text), "{text}");
        assert!(!asks("src/session/connection.rs", text), "{text}");
    }
    let given = "use std::net::IpAddr; use std::time::Instant; fn f(now: Instant) -> Instant { now }";
    assert!(!asks("src/session/machine.rs", given));
}

#[test]
fn a_pure_file_stands_on_pure_files() {
    assert!(!is_allowed("src/session/machine.rs", "src/session/connection.rs"));
    assert!(!is_allowed("src/session/machine.rs", "src/telemetry/mod.rs"));
    assert!(!is_allowed("src/outcome/fault.rs", "src/life.rs"));
    assert!(is_allowed("src/session/machine.rs", "src/session/auth.rs"));
    assert!(is_allowed("src/session/machine.rs", "src/message/envelope.rs"));
    assert!(is_allowed("src/session/machine.rs", "src/secret.rs"));
}

#[test]
fn a_long_file_and_a_stale_exception_are_found() {
    let (long, short) = ("\n".repeat(600), "\n".repeat(100));
    let sources = Sources::made_up(&[("src/long.rs", &long), ("src/short.rs", &short)]);
    assert_eq!(rules::lengths(&sources, &[]).len(), 1);
    assert_eq!(rules::lengths(&sources, &[("src/long.rs", "a reason")]), [""; 0]);
    assert_eq!(rules::lengths(&sources, &[("src/long.rs", ""), ("src/short.rs", "")]).len(), 1);
    assert_eq!(rules::lengths(&sources, &[("src/long.rs", ""), ("src/gone.rs", "")]).len(), 1);
}

#[test]
fn modules_out_of_order_are_found() {
    assert_eq!(rules::order("pub mod cli;\npub mod session;\npub(crate) mod smtp;\nmod secret;\n"), [""; 0]);
    assert_eq!(rules::order("pub mod cli;\npub mod smtp;\npub mod session;\n").len(), 1);
}

#[test]
fn stale_entries_of_the_table_are_found() {
    let pure = rules::stale_entries(&house(&[("src/session/connection.rs", "")]));
    assert_eq!(pure.len(), 8, "{pure:?}");
    let reserved = rules::stale_entries(&house(&[("src/secret.rs", "")]));
    assert_eq!(reserved, ["RESERVED: src/secret.rs does not name std::fs"]);
    let options = rules::stale_entries(&house(&[("src/config/mod.rs", "")]));
    assert_eq!(options.len(), crate::table::CONFIG_FILLS.len(), "{options:?}");
}
