//! At a pace that Office 365 accepts: turns, shared connections, quotas, refused senders, the breaker.

mod turns;
mod trials;
mod crowd;
mod shared_mailbox;
mod quotas;
mod senders;
mod breaker;
mod hanging_up;

use office365::Side;

use crate::client::{Client, Reply, stuffed};
use crate::setup::Setup;

/// A mail of this sender, in envelope and header.
#[track_caller]
fn send_as(client: &mut Client, sender: &str, number: usize) -> Reply {
    client.command(&format!("MAIL FROM:<{sender}>")).is(250);
    client.command("RCPT TO:<x@example.com>").is(250);
    client.command("DATA").is(354);
    client.send(stuffed(&from(sender, number)));
    client.reply()
}

fn from(sender: &str, number: usize) -> Vec<u8> {
    let mail = String::from_utf8(crate::setup::small(number)).unwrap();
    mail.replace("From: App <app@contoso.com>", &format!("From: The App <{sender}>")).into_bytes()
}

/// How often Office 365 has answered so.
fn answered(setup: &Setup, start: &str) -> usize {
    let lines = setup.office365.dialogue();
    lines.iter().filter(|line| line.side == Side::Server && line.text.starts_with(start)).count()
}
