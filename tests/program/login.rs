//! `mailshim login`, as a person in a terminal runs it.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use office365::{DeviceEnd, DeviceFlow, Office365, Settings};
use support::files::TempFile;
use support::program::{Ended, program, run};
use support::thread::{Shim, assert_lawful, variables};

use crate::process::MAIL;

/// All that a shim which signs in as a person is given.
fn with_token_file<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("MAILSHIM_CLIENT_SECRET", "")], more].concat()
}

fn login(office365: &Office365, more: &[(&str, &str)]) -> Ended {
    // The mailbox and the upstream are not needed.
    let needed = variables(office365, &with_token_file(more)).into_iter();
    let needed = needed.filter(|(name, _)| name != "MAILSHIM_MAILBOX" && name != "MAILSHIM_UPSTREAM");
    run(Command::new(program()).arg("login").env_clear().envs(needed), b"")
}

fn start(pending: u32, end: DeviceEnd) -> Office365 {
    let interval = std::time::Duration::from_secs(1);
    Office365::start(Settings { device: DeviceFlow { pending, end, interval }, ..Settings::default() })
}

#[test]
fn the_code_is_shown_and_the_token_is_kept_for_its_owner() {
    let office365 = start(1, DeviceEnd::Approved);
    let file = TempFile::new("of an older sign-in");
    let more = [("MAILSHIM_REFRESH_TOKEN_FILE", file.path())];
    let output = login(&office365, &more);
    let said = &output.stdout;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{said}");
    assert!(said.contains("https://microsoft.com/devicelogin") && said.contains("RK987NX32"), "{said}");
    assert!(said.contains("Signed in."), "{said}");
    assert!(!said.contains(file.read().trim_end()), "the token is not shown");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    Shim::start(&office365, &with_token_file(&more)).send(MAIL).is(250);
    assert_lawful(&office365);
}

#[test]
fn a_person_who_declines_or_does_not_come_writes_nothing() {
    for (end, words) in [(DeviceEnd::Declined, "was declined"), (DeviceEnd::Expired, "nobody signed in")] {
        let office365 = start(0, end);
        let file = TempFile::new("of an older sign-in");
        let output = login(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path())]);
        let errors = &output.stderr;
        assert!(output.code == 1 && errors.contains(words), "{errors}");
        assert_eq!(file.read(), "of an older sign-in");
        assert_lawful(&office365);
    }
}

#[test]
fn what_cannot_work_is_said_before_a_person_takes_the_trouble() {
    let office365 = start(0, DeviceEnd::Approved);
    let output = login(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", "/nowhere/token")]);
    let errors = &output.stderr;
    assert!(output.code == 64 && errors.contains("cannot be written"), "{errors}");
    assert_eq!(output.stdout, "");
    let output = login(&office365, &[]);
    let errors = &output.stderr;
    assert!(output.code == 64 && errors.contains("MAILSHIM_REFRESH_TOKEN_FILE: is required"), "{errors}");
    let file = TempFile::new("");
    let unknown = "00000000-bbbb-cccc-dddd-eeeeeeeeeeee";
    let output =
        login(&office365, &[("MAILSHIM_REFRESH_TOKEN_FILE", file.path()), ("MAILSHIM_CLIENT_ID", unknown)]);
    let errors = &output.stderr;
    assert!(output.code == 1 && errors.contains("Check MAILSHIM_CLIENT_ID"), "{errors}");
    assert_eq!(office365.stats().tokens_issued, 0);
}
