//! The client's side of the dialogue, as transcripts: `C:` what is written, `S:` what comes, `=` where it leads.
//!
//! Lines of `C:` with no `S:` between them leave in one flight.

mod opening;
mod transaction;

use mailshim::outcome::{Cause, Fault};
use mailshim::smtp::reply::Reply;

fn reply(line: &str) -> Reply {
    let (code, text) = line.split_once(' ').unwrap_or((line, ""));
    // A bar stands for a line's end.
    let lines = text.split('|').map(str::to_string).collect();
    Reply { code: code.parse().expect("a code"), lines }
}

fn shown(fault: &Fault) -> String {
    let cause = match fault.cause() {
        Cause::Refused(reply) => reply.to_string(),
        other => format!("{other:?}"),
    };
    let about = fault.recipient().iter().map(|recipient| format!(" about {recipient}")).collect::<String>();
    format!("{:?}{about}: {cause}", fault.stage())
}
