//! The limits of one mailbox, by a clock that is an argument.

use super::*;
use crate::outcome::TokenFault;
use crate::smtp::reply::Reply;

const SECOND: Duration = Duration::from_secs(1);

fn refused(stage: Stage, code: u16, text: &str) -> Fault {
    Fault::new(stage, Cause::Refused(Reply::new(code, text)))
}

impl Limits {
    fn turn(&mut self, now: Instant, sender: &str) -> Turn {
        self.ask(now, Question::Mail(sender))
    }

    fn fails(&mut self, now: Instant, sender: &str, fault: &Fault) {
        self.learn(now, Event::Failed { sender, fault });
    }

    fn submits(&mut self, now: Instant, recipients: usize) {
        self.learn(now, Event::Submitted { recipients });
    }

    fn accepts(&mut self, now: Instant, sender: &str, recipients: usize) {
        self.learn(now, Event::Accepted { sender, recipients });
    }

    /// Whether who signs in now is the probe.
    fn probes(&mut self, now: Instant) -> bool {
        self.learn(now, Event::SignInBegins).breaker == Breaker::HalfOpen
    }

    /// Connections once nothing is learned but the time.
    fn allows(&mut self, now: Instant) -> usize {
        self.learn(now, Event::Ended { recipients: 0 }).connections
    }

    fn recipients_left(&mut self, now: Instant) -> Turn {
        self.ask(now, Question::Recipients)
    }
}

fn limits() -> Limits {
    Limits::new(0, 0, 3)
}

#[test]
fn a_burst_up_to_the_budget_goes_at_once_and_the_rest_is_paced() {
    let (start, mut limits) = (Instant::now(), Limits::new(3, 0, 3));
    for second in 0..3 {
        let now = start + SECOND * second;
        assert_eq!(limits.turn(now, "a"), Turn::Now);
        limits.submits(now, 1);
    }
    let now = start + SECOND * 10;
    assert_eq!(limits.turn(now, "a"), Turn::Paced { until: start + MINUTE, believed: false });
    assert_eq!(limits.turn(start + MINUTE, "a"), Turn::Now);
    limits.submits(start + MINUTE, 1);
    assert_eq!(
        limits.turn(start + MINUTE, "a"),
        Turn::Paced { until: start + MINUTE + SECOND, believed: false }
    );
}

#[test]
fn never_more_than_the_budget_in_any_minute() {
    let (mut now, mut limits) = (Instant::now(), Limits::new(28, 0, 3));
    let mut times = Vec::new();
    for _ in 0..120 {
        while let Turn::Paced { until, .. } = limits.turn(now, "a") {
            now = until;
        }
        limits.submits(now, 1);
        times.push(now);
    }
    for window in times.windows(29) {
        assert!(window[28] - window[0] >= MINUTE);
    }
    assert_eq!(times[119] - times[0], MINUTE * 4);
}

#[test]
fn mails_that_went_at_the_end_of_their_hold_are_counted() {
    let (now, mut limits) = (Instant::now(), Limits::new(2, 0, 3));
    (0..3).for_each(|_| limits.submits(now, 1));
    let later = now + SECOND;
    limits.submits(later, 1);
    assert_eq!(limits.turn(later, "a"), Turn::Paced { until: now + MINUTE, believed: false });
    assert_eq!(limits.turn(now + MINUTE, "a"), Turn::Now);
}

#[test]
fn a_refusal_for_rate_pauses_and_is_believed_for_a_minute() {
    let (now, mut limits) = (Instant::now(), Limits::new(2, 0, 3));
    limits.submits(now, 1);
    limits.submits(now + SECOND, 1);
    let fault = refused(
        Stage::Mail,
        421,
        "4.4.2 Message submission rate for this client has exceeded the configured limit",
    );
    limits.fails(now + SECOND * 20, "a", &fault);
    assert_eq!(limits.turn(now + SECOND * 30, "a"), Turn::Paused(now + MINUTE, fault));
    limits.submits(now + MINUTE, 1);
    assert_eq!(limits.turn(now + MINUTE, "a"), Turn::Paced { until: now + MINUTE + SECOND, believed: true });
}

#[test]
fn a_432_costs_a_connection_and_a_quiet_time_gives_it_back() {
    let (now, mut limits) = (Instant::now(), limits());
    let fault = refused(Stage::Verdict, 432, "4.3.2 Concurrent connections limit exceeded.");
    limits.fails(now, "a", &fault);
    assert_eq!(limits.allows(now), 2);
    assert_eq!(limits.turn(now, "a"), Turn::Paused(now + PAUSE_SECONDS, fault.clone()));
    assert_eq!(limits.turn(now + PAUSE_SECONDS, "a"), Turn::Now);
    (0..5).for_each(|_| limits.fails(now, "a", &fault));
    assert_eq!(limits.allows(now), 1);
    assert_eq!(limits.allows(now + GROW_AFTER), 2);
    assert_eq!(limits.allows(now + GROW_AFTER * 5), 3);
}

#[test]
fn quotas_and_continuous_errors_pause_for_long() {
    for (text, lasts) in [
        ("5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", PAUSE_DAY),
        ("5.1.90 Your message can't be sent because you've reached your daily limit", PAUSE_DAY),
        ("5.2.252 Sender throttled due to continuous send as denied errors", PAUSE_CONTINUOUS),
    ] {
        let (now, mut limits) = (Instant::now(), limits());
        let fault = refused(Stage::Verdict, 554, text);
        limits.fails(now, "a", &fault);
        assert_eq!(limits.turn(now, "b"), Turn::Paused(now + lasts, fault), "{text}");
        assert_eq!(limits.turn(now + lasts, "b"), Turn::Now);
    }
}

#[test]
fn the_breaker_grows_lets_one_try_and_closes() {
    let (mut now, mut limits) = (Instant::now(), limits());
    let fault = refused(Stage::Auth, 535, "5.7.3 Authentication unsuccessful");
    let mut lasted = Vec::new();
    for _ in 0..8 {
        assert_eq!(limits.turn(now, "a"), Turn::Now);
        limits.fails(now, "a", &fault);
        let Turn::Refused(until, cause) = limits.turn(now, "a") else { panic!("closed") };
        assert_eq!(cause, fault);
        lasted.push((until - now).as_secs());
        now = until;
    }
    assert_eq!(lasted, [10, 20, 40, 80, 160, 320, 600, 600]);
    assert_eq!(limits.turn(now, "a"), Turn::Now, "one may try");
    assert!(limits.probes(now));
    assert!(matches!(limits.turn(now, "b"), Turn::Refused(..)), "the others wait for what it finds");
    limits.learn(now, Event::SignedIn);
    assert_eq!(limits.turn(now, "b"), Turn::Now);
    limits.fails(now, "a", &fault);
    limits.learn(now, Event::SecretChanged);
    assert_eq!(limits.turn(now, "a"), Turn::Now);
}

#[test]
fn only_a_definite_refusal_of_the_sign_in_opens_the_breaker() {
    let (now, mut limits) = (Instant::now(), limits());
    let fault = |cause| Fault::new(Stage::Token, cause);
    limits.fails(now, "a", &fault(Cause::Token(TokenFault::TimedOut(SECOND))));
    limits.fails(now, "a", &fault(Cause::SetUp("the secret file is empty".into())));
    limits.fails(now, "a", &refused(Stage::Auth, 454, "4.7.0 Temporary authentication failure"));
    assert_eq!(limits.turn(now, "a"), Turn::Now);
    let refused = TokenFault::Refused {
        status: 401,
        error: "invalid_client".into(),
        description: "AADSTS7000215".into(),
        codes: vec![7_000_215],
        secret: None,
    };
    limits.fails(now, "a", &fault(Cause::Token(refused)));
    assert!(matches!(limits.turn(now, "a"), Turn::Refused(..)));
}

#[test]
fn a_send_as_refusal_is_remembered_for_its_sender_alone() {
    let (now, mut limits) = (Instant::now(), limits());
    let fault = refused(Stage::Verdict, 554, "5.2.252 SendAsDenied; a not allowed to send as b");
    limits.fails(now, "b", &fault);
    assert_eq!(limits.turn(now, "b"), Turn::Refused(now + MINUTE, fault.clone()));
    assert_eq!(limits.turn(now, "a"), Turn::Now);
    assert_eq!(limits.turn(now + MINUTE, "b"), Turn::Now);
    limits.fails(now + MINUTE, "b", &fault);
    assert_eq!(limits.turn(now + MINUTE, "b"), Turn::Refused(now + MINUTE * 3, fault));
    limits.accepts(now + MINUTE * 3, "b", 1);
    assert_eq!(limits.turn(now + MINUTE * 3, "b"), Turn::Now);
}

#[test]
fn a_full_mailbox_is_remembered_for_everybody_and_a_refused_recipient_for_nobody() {
    let (now, mut limits) = (Instant::now(), limits());
    limits.fails(now, "a", &refused(Stage::Rcpt, 550, "5.1.10 Recipient not found"));
    limits.fails(now, "a", &refused(Stage::Verdict, 554, "5.6.0 Invalid message content"));
    assert_eq!(limits.turn(now, "a"), Turn::Now);
    limits.fails(now, "a", &refused(Stage::Verdict, 554, "5.2.2 mailbox full; STOREDRV"));
    assert!(matches!(limits.turn(now, "b"), Turn::Refused(..)));
}

#[test]
fn recipients_are_counted_over_24_hours() {
    let (start, mut limits) = (Instant::now(), Limits::new(0, 50, 3));
    assert_eq!(limits.recipients_left(start), Turn::Now);
    limits.accepts(start, "a", 30);
    limits.accepts(start + DAY / 2, "a", 25);
    let opens = start + STEP + DAY;
    assert_eq!(limits.recipients_left(start + DAY / 2), Turn::UsedUp(opens));
    limits.submits(opens, 24);
    assert_eq!(limits.recipients_left(opens), Turn::Now, "25 are left");
    limits.submits(opens, 1);
    assert_eq!(limits.turn(opens, "a"), Turn::UsedUp(start + DAY / 2 + STEP + DAY), "mail under way counts");
    limits.learn(opens, Event::Ended { recipients: 25 });
    assert_eq!(limits.turn(opens, "a"), Turn::Now);
    assert_eq!(Limits::new(0, 0, 3).recipients_left(start), Turn::Now);
}

#[test]
fn what_is_remembered_is_bounded() {
    let (now, mut limits) = (Instant::now(), limits());
    let fault = refused(Stage::Verdict, 554, "5.2.252 SendAsDenied; a not allowed to send as b");
    (0..1000).for_each(|sender| limits.fails(now, &sender.to_string(), &fault));
    assert_eq!(limits.memory.len(), MAX_REMEMBERED);
    // The newest is kept, and senders that an app makes up do not displace what holds for the mailbox.
    assert!(matches!(limits.turn(now, "999"), Turn::Refused(..)));
    limits.fails(now, "x", &refused(Stage::Verdict, 554, "5.2.2 mailbox full; STOREDRV"));
    (1000..2000).for_each(|sender| limits.fails(now + SECOND, &sender.to_string(), &fault));
    assert_eq!(limits.memory.len(), MAX_REMEMBERED);
    assert!(matches!(limits.turn(now, "anybody"), Turn::Refused(..)));
    limits.fails(now + MINUTE * 2, "late", &fault);
    assert_eq!(limits.memory.len(), 1);
}

#[test]
fn a_probe_that_came_to_nothing_leaves_the_next_one_free_to_try() {
    let (now, mut limits) = (Instant::now(), limits());
    let fault = refused(Stage::Auth, 535, "5.7.3 Authentication unsuccessful");
    assert!(!limits.probes(now), "nothing to try");
    limits.fails(now, "a", &fault);
    let later = now + BREAKER.0;
    assert!(limits.probes(later));
    assert_eq!(limits.turn(later, "b"), Turn::Refused(later + PROBE, fault.clone()));
    limits.learn(later + SECOND, Event::ProbeEnded);
    assert_eq!(limits.turn(later + SECOND, "b"), Turn::Now);
    assert!(limits.probes(later + SECOND));
    limits.fails(later + SECOND, "b", &fault);
    limits.learn(later + SECOND, Event::ProbeEnded);
    assert_eq!(limits.turn(later + SECOND, "a"), Turn::Refused(later + SECOND + BREAKER.0 * 2, fault));
}

#[test]
fn refused_together_is_refused_once() {
    let (now, mut limits) = (Instant::now(), limits());
    let sign_in = refused(Stage::Auth, 535, "5.7.3 Authentication unsuccessful");
    let send_as = refused(Stage::Verdict, 554, "5.2.252 SendAsDenied; a not allowed to send as b");
    for _ in 0..20 {
        limits.fails(now, "b", &send_as);
    }
    assert_eq!(limits.turn(now, "b"), Turn::Refused(now + MEMORY.0, send_as));
    for _ in 0..20 {
        limits.fails(now, "a", &sign_in);
    }
    assert_eq!(limits.ask(now, Question::SignIn), Turn::Refused(now + BREAKER.0, sign_in));
}

#[test]
fn a_mail_that_office_365_was_not_asked_about_gives_its_place_back() {
    let (now, mut limits) = (Instant::now(), Limits::new(2, 0, 3));
    limits.submits(now, 1);
    limits.submits(now + SECOND, 1);
    limits.learn(now + SECOND, Event::Withdrawn { counted_at: now });
    assert_eq!(limits.turn(now + SECOND, "a"), Turn::Now);
    limits.submits(now + SECOND, 1);
    assert_eq!(limits.turn(now + SECOND, "a"), Turn::Paced { until: now + SECOND + MINUTE, believed: false });
}

#[test]
fn a_messages_minute_begins_when_office_365_is_asked() {
    let (now, mut limits) = (Instant::now(), Limits::new(1, 0, 3));
    limits.submits(now, 1);
    // It waited for a connection.
    limits.learn(now + SECOND * 20, Event::Submitting { counted_at: now });
    let until = now + SECOND * 20 + MINUTE;
    assert_eq!(limits.turn(now + MINUTE, "a"), Turn::Paced { until, believed: false });
    assert_eq!(limits.turn(until, "a"), Turn::Now);
}

#[test]
fn a_refused_sender_who_is_not_known_costs_nobody_else() {
    let (now, mut limits) = (Instant::now(), limits());
    limits.fails(now, "", &refused(Stage::Verdict, 554, "5.2.252 SendAsDenied; a not allowed to send as b"));
    assert_eq!(limits.turn(now, ""), Turn::Now);
    assert_eq!(limits.turn(now, "a"), Turn::Now);
}
