//! A server that gives a reply too many, or one in the wrong place.

use mailshim::testing::outcome::{Cause, Fault, Stage};
use mailshim::testing::smtp::reply::{BrokenReply, Flaw};
use mailshim::testing::upstream::transaction::Verdict;

use super::reply;
use super::transaction::{SMALL, envelope, extensions, transaction};

#[test]
fn a_reply_that_answers_another_command_is_no_verdict() {
    let one = envelope(&["x@y.z"]);
    // The verdict is the reply to RCPT that came twice: what became of the mail is known to nobody.
    for (second, third, verdict) in [
        ("250 2.1.0 Sender OK", "250 2.1.5 Recipient OK", "Close, unknown, Verdict: 250 2.1.5 Recipient OK"),
        (
            "250 2.1.5 Recipient OK",
            "250 2.1.5 Recipient OK",
            "Close, unknown, Verdict: 250 2.1.5 Recipient OK",
        ),
        ("250 2.1.5 Recipient OK", "235 2.7.0 Signed in", "Close, unknown, Verdict: 235 2.7.0 Signed in"),
        ("235 2.7.0 Signed in", "503 5.5.2 Need rcpt", "Close, refused, Verdict: 503 5.5.2 Need rcpt"),
    ] {
        let transcript = format!(
            "C: MAIL FROM:<a@b.c> SIZE=9\nC: RCPT TO:<x@y.z>\nC: (BDAT LAST)\nS: 250 2.1.0 Sender OK\nS: {second}\nS: {third}\n= {verdict}"
        );
        transaction(&one, &extensions(&[]), SMALL, &transcript);
    }
    // Where replies do not say what they are about, none is waited for with the content on its way.
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        S: 250 OK
        S: 250 OK
        C: (BDAT LAST)
        S: 250 OK
        C: QUIT
        S: 221 2.0.0 Bye
        = Close, accepted, 250 OK";
    transaction(&one, &extensions(&["ENHANCEDSTATUSCODES"]), SMALL, transcript);
}

#[test]
fn what_comes_unasked_leaves_no_acceptance() {
    let stray = || Cause::BrokenReply(BrokenReply { flaw: Flaw::Unasked, line: "250 What".into() });
    let bye = || Cause::Refused(reply("421 4.3.2 Bye"));
    let fault = Fault::new;
    let accepted = || Verdict::Accepted(reply("250 OK"));
    for cause in [stray(), bye()] {
        for ended in [false, true] {
            let verdict = accepted().with_unasked(cause.clone(), ended);
            assert_eq!(verdict, Verdict::Contradiction(fault(Stage::Verdict, cause.clone())));
        }
    }
    let refused = || fault(Stage::Rcpt, Cause::Refused(reply("550 5.1.1 No")));
    for (cause, ended, verdict) in [
        (stray(), false, Verdict::Refused(fault(Stage::Rcpt, stray()))),
        // In a flight: the chunk was not swallowed, and its lines are refused as commands.
        (stray(), true, Verdict::Refused(refused())),
        (bye(), false, Verdict::Refused(refused())),
        (bye(), true, Verdict::Refused(refused())),
    ] {
        assert_eq!(Verdict::Refused(refused()).with_unasked(cause, ended), verdict);
    }
    let at_the_end = Verdict::Refused(fault(Stage::Verdict, Cause::Refused(reply("554 5.2.0 Never"))));
    let doubt = Verdict::Contradiction(fault(Stage::Verdict, stray()));
    assert_eq!(at_the_end.with_unasked(stray(), true), doubt);
}
