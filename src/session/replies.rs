//! The replies that the machine gives of its own accord, in the words of each: RFC 5321's codes, and what to change.

use crate::smtp::reply::Reply;

/// The answer to RCPT.
pub(super) const RECIPIENT_OK: &str = "2.1.5 Recipient OK";

/// The greeting.
pub(super) fn greeting(hostname: &str) -> Reply {
    Reply::new(220, format!("{hostname} ESMTP mailshim"))
}

/// The answer to EHLO: what is offered.
pub(super) fn ehlo(hostname: &str, max_message_size: u64) -> Reply {
    let lines = vec![
        format!("{hostname} Hello"),
        "PIPELINING".into(),
        format!("SIZE {max_message_size}"),
        "8BITMIME".into(),
        "SMTPUTF8".into(),
        "DSN".into(),
        "ENHANCEDSTATUSCODES".into(),
        "CHUNKING".into(),
        "AUTH PLAIN LOGIN".into(),
        "HELP".into(),
    ];
    Reply { code: 250, lines }
}

/// STARTTLS is asked for.
pub(super) fn no_starttls() -> Reply {
    Reply::new(502, "5.5.1 No STARTTLS here: set the app to plain SMTP, mailshim does TLS upstream")
}

/// The answer to HELP.
pub(super) fn help() -> Reply {
    Reply::new(214, "2.0.0 mailshim relays to Office 365: MAIL, RCPT, DATA, BDAT, AUTH, RSET, NOOP, QUIT")
}

/// The app signed in with something else than what is set.
pub(super) fn wrong_login() -> Reply {
    Reply::new(535, "5.7.8 Wrong user name or password (MAILSHIM_APP_USERNAME, MAILSHIM_APP_PASSWORD)")
}

/// The app must sign in first.
pub(super) fn login_required() -> Reply {
    Reply::new(530, "5.7.0 Authentication required (MAILSHIM_APP_USERNAME is set)")
}

/// More than SIZE says.
pub(super) fn too_big(max_message_size: u64) -> Reply {
    Reply::new(
        552,
        format!("5.3.4 Message larger than {max_message_size} octets (MAILSHIM_MAX_MESSAGE_SIZE)"),
    )
}

/// The envelope has found no room: RFC 5321 section 4.3.2 has 452 for the content.
pub(super) fn no_room() -> Reply {
    Reply::new(452, "4.3.1 No memory is left for so many recipients, try again")
}

/// All places are taken: RFC 5321 section 3.1 knows 554 here; 421 says that it may pass later.
pub(super) fn too_many() -> Reply {
    Reply::new(421, "4.3.2 Too many connections at once (MAILSHIM_MAX_SESSIONS)")
}

/// A silent session makes room for a newcomer.
pub(super) fn made_room() -> Reply {
    Reply::new(421, "4.3.2 Silent while others wait for a connection, closing (MAILSHIM_MAX_SESSIONS)")
}

/// The app was silent for too long.
pub(super) fn idle() -> Reply {
    Reply::new(421, "4.4.2 Idle for too long, closing")
}

/// The shim ends.
pub(super) fn shutting_down() -> Reply {
    Reply::new(421, "4.3.2 mailshim is shutting down")
}
