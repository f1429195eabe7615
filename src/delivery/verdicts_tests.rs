//! What an attempt from the spool means.

use super::*;
use crate::outcome::{Cause, Stage};
use crate::queue::entry::{Head, Sent, StoredEnvelope, StoredRecipient};
use crate::smtp::reply::Reply;

const DAY: Duration = Duration::from_secs(86_400);

fn entry(recipients: usize) -> Entry {
    let recipient =
        |number| StoredRecipient { address: format!("r{number}@x.example"), notify: None, orcpt: None };
    let envelope = StoredEnvelope {
        reverse_path: None,
        eight_bit: false,
        ret: None,
        envid: None,
        recipients: (0..recipients).map(recipient).collect(),
    };
    let sent =
        Sent { envelope: envelope.clone(), from_is_ours: false, was_null_sender: true, changes: Vec::new() };
    let head = Head {
        id: "1".into(),
        created: 1000,
        message_id: None,
        app: envelope,
        header: String::new(),
        sent,
        report: false,
    };
    Entry { head, content_at: 0, length: 0, attempts: Vec::new() }
}

fn moment(since: u64) -> Moment {
    Moment { now: 5000, since, lifetime: DAY, chance: 0.5 }
}

fn failed(stage: Stage, code: u16, text: &str) -> RecipientOutcome {
    RecipientOutcome::Settled(Outcome::Failed(Fault::new(stage, Cause::Refused(Reply::new(code, text)))))
}

fn accepted() -> RecipientOutcome {
    RecipientOutcome::Settled(Outcome::Accepted(Reply::new(250, "2.0.0 OK")))
}

fn context() -> Context<'static> {
    Context { spool: true, ..Context::default() }
}

fn settle(entry: &Entry, outcomes: &[RecipientOutcome], since: u64) -> (Attempt, Then) {
    Verdicts::new(outcomes, &entry.waiting(), &context()).settle(entry, moment(since))
}

#[test]
fn everybody_has_it() {
    let (attempt, then) = settle(&entry(2), &[accepted(), accepted()], 5);
    assert_eq!(then, Then::Remove);
    assert_eq!(attempt.results.len(), 1, "one reply for both: {attempt:?}");
    assert_eq!(attempt.results[0].recipients, [0, 1]);
}

#[test]
fn each_recipient_is_for_itself() {
    let mut entry = entry(3);
    let refused = failed(Stage::Rcpt, 550, "5.1.10 RecipientNotFound");
    let later = failed(Stage::Rcpt, 451, "4.7.0 Temporary server error");
    let (attempt, then) = settle(&entry, &[accepted(), refused, later], 5);
    assert_eq!(then, Then::Again(5030));
    entry.attempts.push(attempt);
    assert_eq!((entry.waiting(), entry.failed()), (vec![2], vec![1]));
    // The last of them has it; the one that was refused is remembered.
    let (attempt, then) = settle(&entry, &[accepted()], 30);
    assert_eq!((then, attempt.next), (Then::Dead, 0));
    assert_eq!((attempt.results[0].recipients.clone(), attempt.lived), (vec![2], 35));
}

#[test]
fn what_found_no_room_goes_at_once() {
    let (attempt, then) = settle(&entry(2), &[accepted(), RecipientOutcome::NotTried], 5);
    assert_eq!(then, Then::Again(5000));
    assert_eq!(attempt.results.len(), 1);
}

#[test]
fn a_lifetime_ends_what_waits_and_a_set_up_fault_does_not_use_it_up() {
    let later = || failed(Stage::Verdict, 451, "4.7.0 Temporary server error");
    let (attempt, then) = settle(&entry(1), &[later()], DAY.as_secs());
    assert_eq!((then, attempt.results[0].verdict), (Then::Dead, Verdict::Expired));
    let (_, then) = settle(&entry(1), &[later()], DAY.as_secs() - 1);
    assert!(matches!(then, Then::Again(_)));
    let set_up = failed(Stage::Mail, 530, "5.7.57 Client not authenticated to send mail.");
    let (attempt, then) = settle(&entry(1), &[set_up], 10 * DAY.as_secs());
    assert!(matches!(then, Then::Again(_)), "{then:?}");
    assert_eq!((attempt.lived, attempt.results[0].verdict), (0, Verdict::Deferred));
}

#[test]
fn silence_after_the_end_is_tried_again_and_said() {
    let fault = Fault::new(Stage::Verdict, Cause::Closed);
    let (attempt, then) = settle(&entry(1), &[RecipientOutcome::Settled(Outcome::Unknown(fault))], 5);
    assert_eq!((then, attempt.results[0].verdict), (Then::Again(5030), Verdict::Unknown));
}

#[test]
fn a_refused_sender_holds_its_own_mail_alone() {
    let sender = Fault::new(Stage::Verdict, Cause::Refused(Reply::new(554, "5.2.252 SendAsDenied")));
    let ours = Context { from_is_ours: true, ..context() };
    assert!(!holds_the_mailbox(&sender, &ours));
    let sign_in =
        Fault::new(Stage::Auth, Cause::Refused(Reply::new(535, "5.7.3 Authentication unsuccessful")));
    assert!(holds_the_mailbox(&sign_in, &context()));
}
