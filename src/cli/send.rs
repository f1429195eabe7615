//! `mailshim send`: one mail, body from standard input, through the running shim.

use std::io::{self, IsTerminal as _, Read, Write as _};
use std::process::ExitCode;

use clap::ArgMatches;

use super::client::letter::{self, Letter};
use super::client::{Deadlines, Envelope, Failure, Shim};
use super::exit::USAGE;
use crate::config;
use crate::message::address::{self, Mailbox};
use crate::message::header::{Value, append};
use crate::message::phrase;
use crate::redact::printable;
use crate::smtp::path::Address;

/// Progress is shown each time that this many octets more have gone.
const TICK: u64 = 1024 * 1024;

pub(super) fn send(given: &ArgMatches) -> ExitCode {
    let text = |name: &str| given.get_one::<String>(name).map_or("", String::as_str);
    let to: Vec<&str> = given.get_many::<String>("to").into_iter().flatten().map(String::as_str).collect();
    let parts = client_and_mail(&to.join(","), text("subject"), text("from"));
    let (client, (envelope, header)) = match parts {
        Ok(parts) => parts,
        Err(problem) => {
            eprintln!("mailshim send: {problem}");
            return ExitCode::from(USAGE);
        }
    };
    match deliver(&client, &envelope, header) {
        Ok(reply) => {
            let _ = writeln!(io::stdout(), "{}", printable(&reply.to_string()));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("mailshim send: {}", printable(&failure.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn client_and_mail(
    to: &str,
    subject: &str,
    from: &str,
) -> Result<(config::Client, (Envelope, Vec<u8>)), String> {
    let client = config::client(std::env::vars_os()).map_err(|errors| errors.to_string())?;
    Ok((client, mail(to, subject, from)?))
}

/// The envelope and the header block with its blank line. Date and Message-ID are the shim's.
fn mail(to: &str, subject: &str, from: &str) -> Result<(Envelope, Vec<u8>), String> {
    // A line end would begin a header field of somebody else's choice.
    if [to, subject, from].iter().any(|text| text.chars().any(char::is_control)) {
        return Err("an argument holds a line end or another control character".to_string());
    }
    let mut header = Vec::new();
    let sender = match from {
        "" => letter::login_name(),
        from => match &mailboxes("--from", from)?[..] {
            [(mailbox, address)] => {
                append(&mut header, "From", &address::written(mailbox.phrase.as_deref(), address));
                Some(address.clone())
            }
            _ => return Err("--from: one address is needed".to_string()),
        },
    };
    let to = mailboxes("--to", to)?;
    let written: Vec<_> =
        to.iter().map(|(mailbox, address)| address::written(mailbox.phrase.as_deref(), address)).collect();
    append(&mut header, "To", &written.join(", "));
    append(&mut header, "Subject", &unstructured(subject));
    append(&mut header, "MIME-Version", "1.0");
    append(&mut header, "Content-Type", "text/plain; charset=utf-8");
    append(&mut header, "Content-Transfer-Encoding", "8bit");
    header.extend_from_slice(b"\r\n");
    let recipients = to.into_iter().map(|(_, address)| address).collect();
    Ok((Envelope { sender, recipients, ..Envelope::default() }, header))
}

fn mailboxes(argument: &str, text: &str) -> Result<Vec<(Mailbox, Address)>, String> {
    let value = Value { text: text.to_string(), is_utf8: true };
    let found = address::recipients(&value, &|_| false)
        .map_err(|problem| format!("{argument}: {}", printable(&problem)))?;
    let found: Vec<_> = found
        .into_iter()
        .filter_map(|mut mailbox| mailbox.address.take().map(|address| (mailbox, address)))
        .collect();
    if found.is_empty() { Err(format!("{argument}: an address is needed")) } else { Ok(found) }
}

/// A subject as it is where it can be, else as encoded words (RFC 2047).
fn unstructured(text: &str) -> String {
    let text = text.trim();
    let is_plain = text.is_ascii()
        && !text.contains("=?")
        && !text.contains("  ")
        // A word that cannot be folded: RFC 5322 section 2.1.1 allows a line 998 octets.
        && text.split(' ').all(|word| word.len() < 900);
    if is_plain { text.to_string() } else { phrase::encoded_words(text) }
}

fn deliver(
    client: &config::Client,
    envelope: &Envelope,
    mut content: Vec<u8>,
) -> Result<crate::smtp::reply::Reply, Failure> {
    let stdin = io::stdin();
    if stdin.is_terminal() && io::stderr().is_terminal() {
        eprintln!("Type the mail; Ctrl-D at the beginning of a line ends it.");
    }
    let size = io::stderr().is_terminal().then(|| std::fs::metadata("/proc/self/fd/0").ok()).flatten();
    let size = size.filter(std::fs::Metadata::is_file).map(|file| file.len());
    let letter = Letter::read(stdin.lock(), false).map_err(Failure::Input)?;
    content.extend_from_slice(&letter.held);
    let is_shown = !letter.is_complete && io::stderr().is_terminal();
    let rest = io::Cursor::new(content).chain(letter.rest);
    let mut content = Progress { input: rest, octets: 0, shown: 0, size, is_shown };
    let verdict = Shim::connect(client, Deadlines::default(), false)?.send(envelope, &mut content);
    if is_shown {
        eprintln!();
    }
    verdict
}

/// Counts what passes, and shows it.
struct Progress<R> {
    input: R,
    octets: u64,
    shown: u64,
    size: Option<u64>,
    is_shown: bool,
}

impl<R: Read> Read for Progress<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.octets += read as u64;
        if self.is_shown && (self.octets - self.shown >= TICK || read == 0) {
            self.shown = self.octets;
            // Nobody is left to tell if it cannot be shown.
            let _ = write!(io::stderr(), "\r{}", progress(self.octets, self.size, read == 0));
        }
        Ok(read)
    }
}

fn progress(octets: u64, size: Option<u64>, is_whole: bool) -> String {
    let mebibytes = |octets: u64| octets / TICK;
    match size {
        _ if is_whole => format!("{} MiB sent, waiting for the answer", mebibytes(octets)),
        Some(size) => format!("{} of {} MiB sent", mebibytes(octets), mebibytes(size)),
        None => format!("{} MiB sent", mebibytes(octets)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(to: &str, subject: &str, from: &str) -> String {
        String::from_utf8(mail(to, subject, from).unwrap().1).unwrap()
    }

    #[test]
    fn a_plain_mail() {
        let (envelope, header) =
            mail("ann@fabrikam.com, Bob <bob@fabrikam.com>", "Hello there", "app@contoso.com").unwrap();
        assert_eq!(envelope.sender.unwrap().as_str(), "app@contoso.com");
        assert_eq!(
            envelope.recipients.iter().map(Address::as_str).collect::<Vec<_>>(),
            ["ann@fabrikam.com", "bob@fabrikam.com"]
        );
        assert_eq!(
            String::from_utf8(header).unwrap(),
            "From: <app@contoso.com>\r\nTo: <ann@fabrikam.com>, Bob <bob@fabrikam.com>\r\nSubject: Hello there\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        );
    }

    #[test]
    fn what_is_not_ascii_is_encoded_and_lines_stay_short() {
        let header = header("ann@fabrikam.com", &"Prüfung ".repeat(30), "Jörg Müller <app@contoso.com>");
        assert!(header.is_ascii(), "{header}");
        assert!(header.lines().all(|line| line.len() <= 78), "{header}");
        assert!(header.contains("Subject: =?utf-8?B?"), "{header}");
        for subject in ["=?utf-8?Q?x?=", "a  b", &"x".repeat(950)] {
            assert!(unstructured(subject).starts_with("=?utf-8?B?"), "{subject}");
        }
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_header() {
        for (to, subject, from) in [
            ("ann@fabrikam.com", "x\r\nBcc: eve@example.com", ""),
            ("ann@fabrikam.com\nBcc: eve@example.com", "x", ""),
            ("ann@fabrikam.com", "x", "a@b.c\r\nBcc: eve@example.com"),
            ("", "x", ""),
            ("not an address at all", "x", ""),
            ("ann@fabrikam.com", "x", "a@b.c,d@e.f"),
        ] {
            assert!(mail(to, subject, from).is_err(), "{to:?} {subject:?} {from:?}");
        }
    }

    #[test]
    fn progress_in_mebibytes() {
        assert_eq!(progress(5 * TICK, Some(20 * TICK), false), "5 of 20 MiB sent");
        assert_eq!(progress(5 * TICK, None, false), "5 MiB sent");
        assert_eq!(progress(5 * TICK, None, true), "5 MiB sent, waiting for the answer");
    }
}
