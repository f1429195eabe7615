//! The memory of the process while 64 apps ask for all that they may have, and after that.

use std::fmt::Write as _;

use office365::{Office365, Settings};
use support::client::Client;
use support::process::until;
use support::program::Program;

/// Anonymous memory at the worst, in KiB: 6 MiB of content, 3 MiB of envelopes and header blocks, buffers, what the
/// allocator loses between them, and what is idle.
const WORST: u64 = 14 * 1024;
/// A minute after it.
const AFTERWARDS: u64 = 3 * 1024;

/// Anonymous memory, in KiB.
fn anonymous(shim: &Program) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", shim.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a kernel since 4.5");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// MAIL, 500 of the longest recipients and DATA in one write; whether content may come.
fn envelope(app: &mut Client, number: usize) -> bool {
    let mut commands = String::from("MAIL FROM:<app@contoso.com>\r\n");
    for recipient in 0..500 {
        let address = format!("{number}-{recipient}-{}@{}.example", "x".repeat(50), "y.z".repeat(60));
        let _ = write!(commands, "RCPT TO:<{address}> ORCPT=rfc822;{}\r\n", "o".repeat(480));
    }
    app.send(commands);
    app.reply().is(250);
    for _ in 0..500 {
        let reply = app.reply();
        assert!(reply.code == 250 || reply.starts_with("452 4.5.3 "), "{reply}");
    }
    let reply = app.command("DATA");
    assert!(reply.code == 354 || reply.starts_with("452 4.3.1 "), "{reply}");
    reply.code == 354
}

/// A header block as long as one may be, without its end.
fn header_block(number: usize) -> String {
    let from = if number.is_multiple_of(2) { "a,".repeat(120_000) } else { "app@contoso.com".to_string() };
    let mut block =
        format!("From: {from}\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nMessage-ID: <{number}@x>\r\n");
    while block.len() < 256 * 1024 - 2_000 {
        let _ = writeln!(block, "X-Long: {}\r", "v".repeat(900));
    }
    block
}

#[test]
fn sixty_four_apps_that_ask_for_everything() {
    let office365 = Office365::start(Settings::default());
    let shim = Program::start(&office365, &[("MAILSHIM_MESSAGES_PER_MINUTE", "0"), ("MAILSHIM_HOLD", "5s")]);
    let mut apps: Vec<Client> = (0..64).map(|_| shim.client()).collect();
    let (mut worst, mut with_room) = (0, 0);
    for (number, app) in apps.iter_mut().enumerate() {
        if number.is_multiple_of(3) {
            app.command("MAIL FROM:<app@contoso.com>").is(250);
            app.command("RCPT TO:<x@example.com>").is(250);
            app.command("DATA").is(354);
        } else if !envelope(app, number) {
            continue;
        }
        with_room += 1;
        let _ = app.try_send(header_block(number));
        worst = worst.max(anonymous(&shim));
    }
    assert!((20..64).contains(&with_room), "{with_room} of 64");
    // Some have no room for their header block, and hear so at the dot; the others wait for their turn together.
    for app in &mut apps {
        let _ = app.try_send(format!("\r\n{}\r\n.\r\n", "text\r\n".repeat(100)));
    }
    for _ in 0..100 {
        worst = worst.max(anonymous(&shim));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    println!("at the worst: {worst} KiB");
    assert!(worst <= WORST, "{worst} KiB");
    for app in &mut apps {
        app.try_send("QUIT\r\n");
        app.rest();
    }
    let mut last = 0;
    until("the memory is given back", || {
        last = anonymous(&shim);
        last <= AFTERWARDS
    });
    println!("afterwards: {last} KiB");
}
