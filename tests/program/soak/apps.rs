//! The apps: what each does over and over, and what it hears.

use std::net::SocketAddr;
use std::time::Duration;

use support::client::{Client, Reply};
use support::mails::stuffed;

use super::{Ledger, Told};

/// An app's name, and what it does until the soak is over.
type App = (&'static str, fn(&str, SocketAddr, &Ledger));

/// All of them.
pub const APPS: &[App] = &[
    ("kept", kept),
    ("fresh", fresh),
    ("hangs-up", hangs_up),
    ("half-closes", half_closes),
    ("slow", slow),
    ("chunks", chunks),
    ("big", big),
    ("pipelines", pipelines),
    ("errs", errs),
    ("many", many),
    ("idles", idles),
    ("wants-tls", wants_tls),
    ("deaf", deaf),
    ("quits", quits),
];

/// A mail with this Message-ID.
pub fn mail(id: &str, body: &str) -> Vec<u8> {
    format!(
        "From: App <app@contoso.com>\r\nTo: x@example.com\r\nSubject: soak\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n\
         Message-ID: {id}\r\nMIME-Version: 1.0\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A session behind EHLO. All places can be taken: by mails whose apps have gone and said QUIT, and that wait for
/// Office 365.
pub fn greeted(address: SocketAddr) -> Client {
    for _ in 0..200 {
        let mut app = Client::dial(address);
        let greeting = app.reply();
        if greeting.code == 220 {
            app.command("EHLO app").is(250);
            return app;
        }
        assert_eq!(greeting.code, 421, "{greeting}");
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("no place for 20 s")
}

/// One mail with DATA.
pub fn submit(app: &mut Client, content: &[u8]) -> Reply {
    app.begin(&["x@example.com"]);
    app.send(stuffed(content));
    app.reply()
}

fn hear(ledger: &Ledger, id: String, reply: &Reply) {
    ledger.heard(id, Told::by(reply), &reply.text);
}

fn one(app: &mut Client, name: &str, ledger: &Ledger, body: &str) {
    let id = ledger.id(name);
    let reply = submit(app, &mail(&id, body));
    hear(ledger, id, &reply);
}

/// One connection for all its mails.
fn kept(name: &str, address: SocketAddr, ledger: &Ledger) {
    let mut app = greeted(address);
    while ledger.goes_on() {
        one(&mut app, name, ledger, "kept\r\n");
    }
}

/// One connection a mail.
fn fresh(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let mut app = greeted(address);
        one(&mut app, name, ledger, "fresh\r\n.dots\r\n");
        app.command("QUIT").is(221);
    }
}

/// Goes in the middle of its content, small or larger than is held.
fn hangs_up(name: &str, address: SocketAddr, ledger: &Ledger) {
    let mut streamed = false;
    while ledger.goes_on() {
        let id = ledger.id(name);
        let mut app = greeted(address);
        app.begin(&["x@example.com"]);
        let body = if streamed { "half a line\r\n".repeat(40_000) } else { "half".into() };
        app.try_send(mail(&id, &body));
        drop(app);
        ledger.heard(id, Told::NeverEnded, "");
        streamed = !streamed;
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Shuts its side down behind the dot, and listens.
fn half_closes(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let id = ledger.id(name);
        let mut app = greeted(address);
        app.begin(&["x@example.com"]);
        app.send(stuffed(&mail(&id, "half-closed\r\n")));
        app.shutdown();
        let reply = app.reply();
        hear(ledger, id, &reply);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes a few octets at a time.
fn slow(name: &str, address: SocketAddr, ledger: &Ledger) {
    let mut app = greeted(address);
    while ledger.goes_on() {
        let id = ledger.id(name);
        app.begin(&["x@example.com"]);
        for piece in stuffed(&mail(&id, "slow\r\n")).chunks(9) {
            app.send(piece);
            std::thread::sleep(Duration::from_millis(5));
        }
        let reply = app.reply();
        hear(ledger, id, &reply);
    }
}

/// BDAT, in chunks of odd sizes.
fn chunks(name: &str, address: SocketAddr, ledger: &Ledger) {
    let mut app = greeted(address);
    while ledger.goes_on() {
        let id = ledger.id(name);
        let reply = app.mail_in_chunks(&mail(&id, "in chunks\r\n"), 61);
        hear(ledger, id, &reply);
    }
}

/// More than is held in memory.
fn big(name: &str, address: SocketAddr, ledger: &Ledger) {
    let body = "0123456789 abcdefghijklmnopqrstuvwxyz\r\n".repeat(20_000);
    while ledger.goes_on() {
        let mut app = greeted(address);
        one(&mut app, name, ledger, &body);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All commands of two mails in one write.
fn pipelines(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let ids = [ledger.id(name), ledger.id(name)];
        let mut app = greeted(address);
        for id in ids {
            let content = stuffed(&mail(&id, "pipelined\r\n"));
            let commands = b"MAIL FROM:<app@contoso.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n";
            app.send([commands, &content[..], b"NOOP\r\n"].concat());
            for code in [250, 250, 354] {
                app.reply().is(code);
            }
            let reply = app.reply();
            app.reply().is(250);
            hear(ledger, id, &reply);
        }
    }
}

/// Talks nonsense, then a mail.
fn errs(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let mut app = greeted(address);
        for (line, code) in [("HELLO?", 500), ("MAIL FROM:<a b>", 501), ("RCPT TO:<x@y>", 503), ("DATA", 503)]
        {
            let reply = app.command(line);
            assert_eq!(reply.code / 100, 5, "{line}: {reply}, {code}");
        }
        one(&mut app, name, ledger, "after all\r\n");
        // And another protocol.
        let mut http = Client::dial(address);
        http.try_send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        http.rest();
    }
}

/// A hundred recipients.
fn many(name: &str, address: SocketAddr, ledger: &Ledger) {
    let names: Vec<String> = (0..100).map(|n| format!("recipient-{n}@example.com")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut app = greeted(address);
    while ledger.goes_on() {
        let id = ledger.id(name);
        app.submit(&names, &mail(&id, "to many\r\n"));
        let reply = app.reply();
        hear(ledger, id, &reply);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Is silent between two mails.
fn idles(name: &str, address: SocketAddr, ledger: &Ledger) {
    let mut app = greeted(address);
    while ledger.goes_on() {
        std::thread::sleep(Duration::from_millis(400));
        app.command("NOOP").is(250);
        one(&mut app, name, ledger, "after a while\r\n");
    }
}

/// Asks for STARTTLS, signs in with anything, and sends all the same.
fn wants_tls(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let mut app = greeted(address);
        app.command("STARTTLS").is(502);
        app.command("AUTH PLAIN AGEAYg==").is(235);
        one(&mut app, name, ledger, "in the clear, on loopback\r\n");
    }
}

/// Does not wait for the answer.
fn deaf(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let id = ledger.id(name);
        let mut app = greeted(address);
        app.begin(&["x@example.com"]);
        app.send(stuffed(&mail(&id, "unheard\r\n")));
        drop(app);
        ledger.heard(id, Told::Unheard, "");
        std::thread::sleep(Duration::from_millis(150));
    }
}

/// Says QUIT behind the dot, and goes without a word more.
fn quits(name: &str, address: SocketAddr, ledger: &Ledger) {
    while ledger.goes_on() {
        let id = ledger.id(name);
        let mut app = greeted(address);
        app.begin(&["x@example.com"]);
        app.send([&stuffed(&mail(&id, "and gone\r\n"))[..], b"QUIT\r\n"].concat());
        drop(app);
        ledger.heard(id, Told::Unheard, "");
        std::thread::sleep(Duration::from_millis(150));
    }
}
