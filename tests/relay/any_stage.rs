//! Every way to lose or break a dialogue, at every stage of it, in each form that the dialogue takes.
//!
//! Before the end of the content has left: another attempt, and exactly one copy. After: 451, and no other attempt.
//! The next mail always passes, but for a refused sign-in, which opens the breaker.

use std::sync::Mutex;
use std::time::Duration;

use office365::Stage::{
    Accepted, Auth, Connect, Content, Data354, Dot, Ehlo, Ehlo2, Greeting, Handshake, Mail, Rcpt, StartTls,
};
use office365::{Fault, Stage, Times};
use support::SOON;
use support::mails::small;
use support::thread::plan;

/// How the mail goes out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// MAIL, RCPT and BDAT LAST in one flight.
    Flight,
    /// BDAT LAST behind the replies to MAIL and RCPT.
    Bdat,
    /// DATA.
    Data,
}

const OPENING: [Stage; 6] = [Connect, Greeting, Ehlo, StartTls, Ehlo2, Auth];

/// The fault, whether it may hit the stage, and the stage.
struct Case {
    form: Form,
    stage: Stage,
    fault: Fault,
}

#[derive(Debug, PartialEq)]
enum Expected {
    /// 250 after another attempt; one copy.
    Retried,
    /// 451 and one attempt; so many copies.
    Unknown(usize),
    /// Refused for good: 5xx, nothing sent.
    Permanent,
    /// 4xx without another attempt.
    Deferred,
}

fn expected(case: &Case) -> Expected {
    let end_has_left = match case.stage {
        Mail | Rcpt => case.form == Form::Flight,
        Content | Dot | Accepted => true,
        _ => false,
    };
    match &case.fault {
        Fault::ReplyAt(_, text) if text.starts_with('5') && OPENING.contains(&case.stage) => {
            Expected::Deferred
        }
        Fault::ReplyAt(_, text) if text.starts_with('5') => Expected::Permanent,
        // A 4xx is a certainty at any stage.
        Fault::ReplyAt(..) => Expected::Retried,
        // The mail is taken before its reply is cut in half.
        Fault::HalfReplyAt(Dot) => Expected::Unknown(1),
        _ if end_has_left => Expected::Unknown(usize::from(case.stage == Accepted)),
        _ => Expected::Retried,
    }
}

fn run(case: &Case) -> Result<(), String> {
    let stalls = matches!(case.fault, Fault::StallAt(_));
    let setup = plan()
        .settings(|settings| settings.chunking = case.form != Form::Data)
        .deadlines(|deadlines| {
            if case.form == Form::Bdat {
                deadlines.fresh = Duration::ZERO;
            }
            if stalls {
                (deadlines.greeting, deadlines.command, deadlines.tls) = (SOON, SOON, SOON);
                // A slow machine must not make an accepted mail unknown.
                deadlines.verdict = if matches!(case.stage, Content | Dot | Accepted) {
                    SOON
                } else {
                    Duration::from_secs(20)
                };
            }
        })
        .fault(case.fault.clone(), Times::Once)
        .start();
    let reply = setup.send(&small(1));
    let copies = setup.office365.taken_count();
    let attempts = setup.said("MAIL");
    let is_right = match expected(case) {
        Expected::Retried => reply.code == 250 && copies == 1,
        Expected::Unknown(taken) => {
            reply.code == 451
                && reply.text.contains("Another attempt may deliver it twice")
                && copies == taken
                && attempts == 1
        }
        Expected::Permanent => reply.code / 100 == 5 && copies == 0 && attempts == 1,
        Expected::Deferred => reply.code / 100 == 4 && copies == 0 && attempts == 0,
    };
    if !is_right {
        return Err(format!(
            "{:?} {:?}: {:?} expected, got {} {}, {copies} copies, {attempts} attempts\n{}",
            case.form,
            case.fault,
            expected(case),
            reply.code,
            reply.text,
            setup.dialogue()
        ));
    }
    let next = setup.send(&small(2));
    // A sign-in that was refused for good is not tried again by the mail after it.
    let opened_the_breaker = matches!(&case.fault, Fault::ReplyAt(Auth, text) if text.starts_with('5'));
    if next.code != if opened_the_breaker { 454 } else { 250 } {
        return Err(format!("{:?} {:?}, the next mail: {} {}", case.form, case.fault, next.code, next.text));
    }
    let mut contents = vec![small(1); copies];
    if !opened_the_breaker {
        contents.push(small(2));
    }
    setup.took(&contents.iter().map(Vec::as_slice).collect::<Vec<_>>());
    Ok(())
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for form in [Form::Flight, Form::Bdat, Form::Data] {
        // The opening is the same for all.
        let opening = if form == Form::Flight { &OPENING[..] } else { &[] };
        let data = if form == Form::Data { &[Data354][..] } else { &[] };
        let silences = [&[Mail, Rcpt, Content, Dot, Accepted], opening, data].concat();
        for stage in silences {
            let mut faults = vec![Fault::DropAt(stage), Fault::ResetAt(stage), Fault::StallAt(stage)];
            // At these the reply is no reply to a command, or has gone.
            if !matches!(stage, Connect | Content | Accepted) {
                let reply = |text: &str| Fault::ReplyAt(stage, text.into());
                faults.extend([
                    Fault::HalfReplyAt(stage),
                    Fault::GarbageAt(stage),
                    Fault::MixedCodesAt(stage),
                    Fault::EndlessReplyAt(stage),
                    reply("421 4.3.2 Service not available"),
                    reply("451 4.7.0 Temporary server error. Please try again later. PRX2"),
                    reply("550 5.7.1 Not you, not ever"),
                ]);
            }
            cases.extend(faults.into_iter().map(|fault| Case { form, stage, fault }));
        }
    }
    for fault in [Fault::DropAt(Handshake), Fault::ResetAt(Handshake), Fault::StallAt(Handshake)] {
        cases.push(Case { form: Form::Flight, stage: Handshake, fault });
    }
    cases
}

#[test]
fn lost_or_broken_at_any_stage() {
    let cases = Mutex::new(cases());
    let wrong = Mutex::new(Vec::new());
    // The cases wait more than they work.
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some(case) = cases.lock().unwrap().pop() else { break };
                    if let Err(words) = run(&case) {
                        wrong.lock().unwrap().push(words);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} cases\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn a_reply_of_one_octet_at_a_time_is_a_reply() {
    let setup = plan().start();
    for stage in [Greeting, Ehlo, StartTls, Ehlo2, Auth, Mail, Rcpt, Dot] {
        setup.fault(Fault::TrickleAt(stage), Times::Once);
    }
    setup.send(&small(1)).is(250);
    setup.took(&[&small(1)]);
    assert_eq!(setup.said("MAIL"), 1);
}

#[test]
fn two_kilobytes_of_diagnostics_become_one_line() {
    let setup = plan().start();
    setup.fault(Fault::BigReplyAt(Dot), Times::Once);
    let reply = setup.send(&small(1));
    reply.is(554).says("5.2.252").says("Add-RecipientPermission");
    assert!(reply.text.len() <= 506 && !reply.text.contains('\n'), "{}", reply.text);
    setup.took(&[]);
}
