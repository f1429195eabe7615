//! The ways to send that are not one mailbox with a token, through the running shim against the simulated Office 365.

mod connector;
mod as_sender;

use support::client::Reply;
use support::thread::Shim;

/// One mail on a connection of its own, From and envelope the same; the answer to its dot.
fn send(shim: &Shim, sender: &str) -> Reply {
    send_as(shim, sender, sender)
}

/// One mail; the answer to its dot.
fn send_as(shim: &Shim, envelope: &str, from: &str) -> Reply {
    let mut app = shim.client();
    app.command("HELO erp").is(250);
    app.mail_as(envelope, &format!("From: {from}\r\nSubject: x\r\n\r\ntext\r\n"))
}
