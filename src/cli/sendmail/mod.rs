//! `mailshim sendmail`, or called as `sendmail`, `mailq`, `newaliases`: the interface that every Unix program knows,
//! submitting through the running shim, with the exit codes of sysexits.h.

mod flags;
mod recipients;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use flags::{Flags, Mode, Problem};
use recipients::Sorted;

use super::client::letter::{self, Letter};
use super::client::{Deadlines, Envelope, Failure, Shim};
use crate::config::{self, Client};
use crate::redact::printable;
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;

/// The exit codes of sysexits.h that callers act on: 75 is tried again, the others are final.
mod sysexits {
    pub const OK: u8 = 0;
    pub const USAGE: u8 = 64;
    pub const DATAERR: u8 = 65;
    pub const NOUSER: u8 = 67;
    pub const NOHOST: u8 = 68;
    pub const UNAVAILABLE: u8 = 69;
    pub const SOFTWARE: u8 = 70;
    pub const IOERR: u8 = 74;
    pub const TEMPFAIL: u8 = 75;
    pub const NOPERM: u8 = 77;
    pub const CONFIG: u8 = 78;
}

/// Why nothing was sent: the code, and one line for the caller.
struct Stop(u8, String);

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self(code(&failure), failure.to_string())
    }
}

pub(super) fn sendmail(words: Vec<OsString>) -> ExitCode {
    // A caller that sees 70 keeps its mail; 101 means nothing to it.
    let outcome = std::panic::catch_unwind(|| run(words));
    let code = match outcome {
        Ok(Ok(())) => sysexits::OK,
        Ok(Err(Stop(code, text))) => {
            // What Office 365 said comes from the network.
            eprintln!("sendmail: {}", printable(&text));
            code
        }
        Err(_) => sysexits::SOFTWARE,
    };
    ExitCode::from(code)
}

fn run(words: Vec<OsString>) -> Result<(), Stop> {
    let flags = Flags::parse(words).map_err(|problem| match problem {
        Problem::Usage(text) => Stop(sysexits::USAGE, text),
        Problem::Recipient(text) => Stop(sysexits::DATAERR, text),
    })?;
    let say = |text: &str| drop(io::stdout().write_all(text.as_bytes()));
    match flags.mode {
        Mode::Deliver => deliver(flags),
        Mode::Smtp => speak(),
        Mode::Nothing => Ok(()),
        Mode::Help => {
            say(&super::arguments::help("sendmail"));
            Ok(())
        }
        Mode::Version => {
            say(concat!("mailshim ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
        // Scripts know these words.
        Mode::Queue => {
            say("Mail queue is empty\n");
            Ok(())
        }
    }
}

fn client() -> Result<Client, Stop> {
    config::client(std::env::vars_os()).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Stop(sysexits::CONFIG, errors.join("; "))
    })
}

fn deliver(flags: Flags) -> Result<(), Stop> {
    let client = client()?;
    if flags.recipients.is_empty() && !flags.reads_recipients {
        return Err(Stop(sysexits::USAGE, "no recipients: name them, or give -t".to_string()));
    }
    let unreadable = |error| Stop::from(Failure::Input(error));
    let letter = Letter::read(io::stdin().lock(), !flags.ignores_dots).map_err(unreadable)?;
    let data_error = |problem| Stop(sysexits::DATAERR, problem);
    let sorted = Sorted::of(&letter, flags.reads_recipients).map_err(data_error)?;
    let mut recipients = flags.recipients;
    let named: HashSet<Address> = recipients.iter().cloned().collect();
    recipients.extend(sorted.recipients.into_iter().filter(|recipient| !named.contains(recipient)));
    if recipients.is_empty() {
        return Err(data_error("no recipients in the message's To, Cc and Bcc".to_string()));
    }
    // The address of From, before the name of whoever runs this: with the policy `keep` it is what is sent.
    let sender = flags.sender.clone().unwrap_or_else(|| sorted.from.clone().or_else(letter::login_name));
    let mut content = sorted.header;
    if !sorted.has_from {
        let address = sender.as_ref().filter(|_| flags.sender.is_some() || flags.full_name.is_some());
        recipients::prepend_from(&mut content, flags.full_name.as_deref(), address);
    }
    let mut content = [sorted.noise, content].concat();
    content.extend_from_slice(b"\r\n");
    content.extend_from_slice(&letter.held[sorted.body..]);
    let envelope = Envelope {
        sender,
        recipients,
        is_seven_bit: flags.is_seven_bit,
        notify: flags.notify,
        ret: flags.ret,
        envid: flags.envid,
    };
    let mut content = io::Cursor::new(content).chain(letter.rest);
    Shim::connect(&client, Deadlines::default(), flags.is_verbose)?.send(&envelope, &mut content)?;
    Ok(())
}

/// `-bs`: SMTP on standard input.
fn speak() -> Result<(), Stop> {
    let spoken =
        client().and_then(|client| Shim::connect(&client, Deadlines::default(), false).map_err(Stop::from));
    match spoken {
        Ok(shim) => Ok(shim.proxy()?),
        Err(stop) => {
            // The caller speaks SMTP: it reads replies, not standard error.
            let reply = Reply::new(421, format!("4.3.2 {}", printable(&stop.1)));
            let _ = io::stdout().write_all(&reply.encode());
            Err(stop)
        }
    }
}

/// The table: what the shim said, as sysexits.h says it.
fn code(failure: &Failure) -> u8 {
    let reply = match failure {
        Failure::Nobody(_) | Failure::Lost(_) => return sysexits::TEMPFAIL,
        Failure::Login(_) => return sysexits::CONFIG,
        Failure::Input(_) => return sysexits::IOERR,
        Failure::Refused(reply, _) => reply,
    };
    if reply.code < 500 {
        return sysexits::TEMPFAIL;
    }
    match (reply.code, reply.enhanced().map(|code| (code.1, code.2))) {
        // The app's own login at the shim, and whatever policy forbids.
        (530 | 535, _) | (_, Some((7, _))) | (_, Some((2, 252))) => sysexits::NOPERM,
        (_, Some((1, 2))) => sysexits::NOHOST,
        // RFC 3463: 1.7 and 1.8 are the sender's.
        (_, Some((1, 7 | 8))) => sysexits::DATAERR,
        (_, Some((1, _))) => sysexits::NOUSER,
        (_, Some((6, _))) => sysexits::DATAERR,
        _ => sysexits::UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_as_exit_codes() {
        for (code_and_text, expected) in [
            ((421, "4.3.2 shutting down"), 75),
            ((451, "4.4.2 later"), 75),
            ((454, "4.7.3 sign-in"), 75),
            ((530, "5.7.0 Authentication required"), 77),
            ((535, "5.7.8 wrong"), 77),
            ((550, "5.7.1 not allowed"), 77),
            ((554, "5.2.252 SendAsDenied"), 77),
            ((550, "5.1.10 not found"), 67),
            ((501, "5.1.3 syntax"), 67),
            ((501, "5.1.7 sender"), 65),
            ((550, "5.1.2 no such domain"), 68),
            ((550, "5.6.7 SMTPUTF8"), 65),
            ((552, "5.3.4 too big"), 69),
            ((554, "no enhanced code"), 69),
        ] {
            let failure = Failure::Refused(Reply::new(code_and_text.0, code_and_text.1), None);
            assert_eq!(code(&failure), expected, "{code_and_text:?}");
        }
        assert_eq!(code(&Failure::Nobody(String::new())), 75);
        assert_eq!(code(&Failure::Lost(String::new())), 75);
        assert_eq!(code(&Failure::Login(String::new())), 78);
        assert_eq!(code(&Failure::Input(io::Error::other("x"))), 74);
    }
}
