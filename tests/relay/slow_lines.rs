//! What the app has begun has an end: a command line, an envelope, content that is held. An octet now and then keeps no
//! place for ever, and an app that is only slow is not cut.

use std::time::{Duration, Instant};

use support::client::Client;
use support::mails::{small, stuffed};
use support::thread::plan;

/// What is tried to be outlasted.
const SHORT: Duration = Duration::from_millis(600);

/// Sends these octets, one at a time, until the shim closes; whether it did.
fn drip(client: &mut Client, octets: impl Iterator<Item = u8>) -> bool {
    let end = Instant::now() + 10 * SHORT;
    octets.take_while(|_| Instant::now() < end).any(|octet| {
        std::thread::sleep(SHORT / 20);
        !client.try_send([octet])
    })
}

#[test]
fn a_command_line_that_drips() {
    let setup = plan().deadlines(|deadlines| deadlines.app_line = SHORT).start();
    for begins in ["", "MAIL FROM:<app@contoso.com>\r\n", "AUTH LOGIN\r\n"] {
        let mut client = setup.client();
        client.send(begins);
        assert!(drip(&mut client, std::iter::repeat(b'x')), "{begins:?}");
        assert!(client.rest().contains("421 4.4.2"), "{begins:?}");
    }
    // Whole lines take their time together, whatever pieces they come in.
    let mut client = setup.client();
    for _ in 0..40 {
        client.send("OP\r\nNO");
        std::thread::sleep(SHORT / 20);
    }
    client.command("OP").is(500);
}

#[test]
fn an_envelope_without_end() {
    let setup = plan().deadlines(|deadlines| deadlines.app_envelope = SHORT).start();
    let mut client = setup.client();
    client.command("MAIL FROM:<app@contoso.com>").is(250);
    assert!(drip(&mut client, b"NOOP\r\n".iter().copied().cycle()));
    assert!(client.rest().contains("421 4.4.2"));
}

#[test]
fn held_content_without_end() {
    let setup = plan().deadlines(|deadlines| deadlines.app_held = SHORT).start();
    for command in ["DATA\r\n", "BDAT 1000\r\n", "BDAT 0\r\n"] {
        let mut client = setup.client();
        client.envelope(&["x@example.com"]);
        client.send(command);
        assert!(drip(&mut client, b"NOOP\r\n".iter().copied().cycle()), "{command}");
        assert!(client.rest().contains("451 4.4.2"), "{command}");
    }
    setup.took(&[]);
}

#[test]
fn a_person_who_types_is_only_slow() {
    let setup = plan()
        .deadlines(|deadlines| {
            (deadlines.app_idle, deadlines.app_line) = (SHORT, SHORT);
            deadlines.app_silence = SHORT / 10;
        })
        .start();
    let mut client = setup.client();
    let letter = String::from_utf8(small(1)).unwrap();
    for command in ["HELO me", "MAIL FROM:<app@contoso.com>", "RCPT TO:<x@example.com>", "DATA"] {
        std::thread::sleep(SHORT / 4);
        client.command(command);
    }
    for line in String::from_utf8(stuffed(letter.as_bytes())).unwrap().split_inclusive('\n') {
        std::thread::sleep(SHORT / 4);
        client.send(line);
    }
    client.reply().is(250);
    setup.took(&[&small(1)]);
}
