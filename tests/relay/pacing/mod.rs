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
use support::client::{Client, Reply};
use support::thread::Setup;

/// A mail of this sender, in envelope and header.
#[track_caller]
fn send_as(client: &mut Client, sender: &str, number: usize) -> Reply {
    client.mail_as(sender, &from(sender, number))
}

fn from(sender: &str, number: usize) -> Vec<u8> {
    let mail = String::from_utf8(support::mails::small(number)).unwrap();
    mail.replace("From: App <app@contoso.com>", &format!("From: The App <{sender}>")).into_bytes()
}

/// How often Office 365 has answered so.
fn answered(setup: &Setup, start: &str) -> usize {
    let lines = setup.office365.dialogue();
    lines.iter().filter(|line| line.side == Side::Server && line.text.starts_with(start)).count()
}
