//! `-bs`: SMTP on standard input and output.

use super::shim::{CANARY, Shim, program, run};

const DIALOGUE: &[u8] =
    b"EHLO client\r\nMAIL FROM:<app@contoso.com>\r\nRCPT TO:<ann@fabrikam.com>\r\nDATA\r\n\
                          From: app@contoso.com\r\n\r\nbody\r\n.\r\nQUIT\r\n";

/// The codes of the replies' last lines.
fn codes(stdout: &str) -> String {
    let last = stdout.lines().filter(|line| line.as_bytes().get(3) == Some(&b' '));
    last.map(|line| &line[..3]).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_dialogue_on_standard_input() {
    let shim = Shim::start();
    let ended = shim.sendmail(&["-bs"], DIALOGUE);
    assert_eq!((ended.code, codes(&ended.stdout).as_str()), (0, "220 250 250 250 354 250 221"), "{ended:?}");
    shim.only_mail().assert_body("body\r\n");
}

#[test]
fn input_that_ends_ends_the_session() {
    let shim = Shim::start();
    let ended = shim.sendmail(&["-bs"], b"EHLO client\r\n");
    assert_eq!((ended.code, codes(&ended.stdout).as_str()), (0, "220 250"), "{ended:?}");
}

#[test]
fn the_shims_login_is_given_for_the_caller() {
    let login = [("MAILSHIM_APP_USERNAME", "erp"), ("MAILSHIM_APP_PASSWORD", CANARY)];
    let shim = Shim::with(&login);
    let ended = run(shim.command(program(), &login).args(["sendmail", "-bs"]), DIALOGUE);
    assert_eq!((ended.code, codes(&ended.stdout).as_str()), (0, "220 250 250 250 354 250 221"), "{ended:?}");
    shim.only_mail();
}
