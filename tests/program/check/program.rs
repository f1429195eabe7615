//! The program itself: exit codes, `--json`, and no colour where there is no terminal.

use std::process::Command;

use office365::{Fault, Office365, Times};
use support::program::{Ended, program};

use super::ladder::{SECRET, settings};

fn run(office365: &Office365, arguments: &[&str], more: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(program());
    command.env_clear().envs(office365.env()).envs(more.iter().copied()).arg("check").args(arguments);
    let ended = support::program::run(&mut command, b"");
    for secret in ["c4n4ry", "eyJ0", "dXNlcj", SECRET] {
        assert!(!ended.printed().contains(secret), "{secret} in {ended:?}");
    }
    ended
}

#[test]
fn exit_codes() {
    let office365 = Office365::start(settings());
    let trace = [("MAILSHIM_LOG", "trace")];
    let holds = run(&office365, &[], &trace);
    assert_eq!(holds.code, 0, "{holds:?}");
    assert!(holds.stdout.starts_with("ok    configuration") && !holds.stdout.contains('\x1b'), "{holds:?}");
    let bad = run(&office365, &[], &[("MAILSHIM_HOLD", "45")]);
    assert_eq!(bad.code, 64, "{bad:?}");
    assert!(bad.stdout.contains("FAIL  configuration  MAILSHIM_HOLD: "), "{bad:?}");
    let usage = run(&office365, &["--send", "nobody"], &[]);
    assert_eq!(usage.code, 64, "{usage:?}");
    assert!(usage.printed().contains("is not an address"), "{usage:?}");
    office365.fault(Fault::StartTlsAbsent, Times::Always);
    let fails = run(&office365, &["--send", "ann@fabrikam.com"], &trace);
    assert_eq!(fails.code, 1, "{fails:?}");
    assert!(fails.stdout.contains("-     not tried      token, auth, envelope, send\n"), "{fails:?}");
}

#[test]
fn for_programs() {
    let office365 = Office365::start(settings());
    let rungs = |arguments: &[&str], more: &[(&str, &str)]| -> Vec<serde_json::Value> {
        let ended = run(&office365, arguments, more);
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let all = rungs(&["--json"], &[]);
    let names: Vec<_> = all.iter().map(|rung| rung["rung"].as_str().unwrap()).collect();
    let without =
        mailshim::testing::cli::check::RUNGS.into_iter().filter(|name| !["spool", "send"].contains(name));
    assert_eq!(names, without.collect::<Vec<_>>());
    for rung in &all {
        let keys: Vec<_> = rung.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["facts", "rung", "seen", "state", "warnings"], "{rung}");
        assert_eq!(rung["state"], "passed");
    }
    assert_eq!(all[3]["facts"]["public_address"], "127.0.0.1");
    assert_eq!(all[4]["facts"]["version"], "TLS 1.3");
    assert_eq!(all[4]["facts"]["chain"][0]["issuer"], "CN=Simulated Office 365 root");
    assert!(all[4]["facts"]["chain"][0]["days_left"].as_i64().unwrap() > 1000);
    assert_eq!(all[5]["facts"]["roles"], serde_json::json!(["SMTP.SendAsApp"]));
    let all = rungs(&["--json", "--send", "ann@fabrikam.com"], &[("MAILSHIM_CLIENT_SECRET", "c4n4ry-other")]);
    let states: Vec<_> = all.iter().map(|rung| rung["state"].as_str().unwrap()).collect();
    assert_eq!(states[5..], ["failed", "not_tried", "not_tried", "not_tried"]);
    assert!(all[5]["cause"].as_str().unwrap().contains("AADSTS7000215"), "{}", all[5]);
    assert!(all[5]["fix"].as_str().unwrap().contains("the secret's Value"), "{}", all[5]);
}
