//! Connections that bring no mail: too many of them, a browser, an app set to SMTPS.

use office365::{Office365, Settings};
use support::PATIENCE;
use support::client::Client;
use support::program::{Program, event};

use super::MAIL;

fn shim(variables: &[(&str, &str)]) -> (Office365, Program) {
    let office365 = Office365::start(Settings::default());
    let shim = Program::start(&office365, variables);
    (office365, shim)
}

/// The last line of the log is this warning.
fn warning(shim: &mut Program, part: &str) -> String {
    let line = event(&shim.wait_for(part));
    assert_eq!(line["level"], "WARN");
    line["message"].as_str().expect("text").to_string()
}

#[test]
fn one_session_too_many_hears_421() {
    let (_office365, mut shim) = shim(&[("MAILSHIM_MAX_SESSIONS", "2")]);
    let mut first = shim.client();
    let mut second = shim.client();
    let mut third = shim.client();
    // The one place beyond is taken, too.
    assert_eq!(
        Client::dial(shim.address).reply(),
        "421 4.3.2 Too many connections at once (MAILSHIM_MAX_SESSIONS)"
    );
    assert_eq!(third.command("EHLO app"), "421 4.3.2 Too many connections at once (MAILSHIM_MAX_SESSIONS)");
    assert_eq!(third.reply(), "");
    warning(&mut shim, "MAILSHIM_MAX_SESSIONS are open already");
    assert!(first.command("NOOP").starts_with("250 "));
    assert!(second.command("QUIT").starts_with("221 "));
    assert_eq!(second.reply(), "");
    // The slot is given back a moment after the connection has closed.
    let until = std::time::Instant::now() + PATIENCE;
    while shim.client().command("EHLO app").starts_with("421 ") {
        assert!(std::time::Instant::now() < until, "the slot never comes back");
        std::thread::yield_now();
    }
}

#[test]
fn an_http_request_is_cut_off_and_explained() {
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost:25\r\n\r\n",
        "POST /mail HTTP/1.1\r\nHost: localhost\r\nContent-Length: 58\r\n\r\nEHLO x\r\nMAIL FROM:<app@contoso.com>\r\nRCPT TO:<a@b.com>\r\nDATA\r\n",
    ] {
        // Within a minute the same words are counted, not repeated.
        let (office365, mut shim) = shim(&[]);
        let mut app = shim.client();
        app.send(request);
        assert_eq!(app.reply(), "", "nothing is answered");
        let words = warning(&mut shim, "HTTP request");
        assert!(words.contains("point the app's mail settings, not a browser"), "{words}");
        assert_eq!(office365.taken_count(), 0);
    }
}

#[test]
fn a_tls_hello_is_cut_off_and_explained() {
    let (_office365, mut shim) = shim(&[]);
    let mut app = shim.client();
    app.send("\u{16}\u{3}\u{1}\u{0}\u{5}hello");
    assert_eq!(app.reply(), "", "nothing is answered");
    let words = warning(&mut shim, "TLS hello");
    assert!(words.contains("set the app's encryption to \"none\""), "{words}");
}

#[test]
fn starttls_is_refused_and_explained() {
    let (_office365, mut shim) = shim(&[]);
    let mut app = shim.client();
    assert!(app.command("STARTTLS").starts_with("502 5.5.1 "));
    warning(&mut shim, "the app asked for STARTTLS");
    assert!(app.mail(MAIL).starts_with("250 "), "the session goes on");
}
