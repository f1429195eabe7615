//! One message to several recipients, each for itself.

use std::collections::{HashMap, VecDeque};

use mailshim::testing::outcome::{Cause, Outcome, RecipientOutcome};
use mailshim::testing::smtp::reply::Reply;
use mailshim::testing::upstream::transaction::{Framing, Plan, Recipients, Step, Transaction, Verdict};

use super::reply;
use super::transaction::{SMALL, envelope, extensions, transaction};

const EACH: Plan = Plan { recipients: Recipients::EachForItself, ..SMALL };

#[test]
fn the_others_get_the_mail_and_each_refusal_is_told() {
    let three = envelope(&["x@y.z", "v@w.z", "u@w.z"]);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        C: RCPT TO:<u@w.z>
        S: 250 2.1.0 Sender OK
        S: 550 5.1.1 No such|5.1.1 user
        S: 250 2.1.5 Recipient OK
        S: 451 4.7.0 Later
        C: (BDAT LAST)
        S: 250 2.0.0 OK
        = Keep, accepted, 250 2.0.0 OK
        = x@y.z: refused, Rcpt about x@y.z: 550 5.1.1 No such user
        = v@w.z: accepted, 250 2.0.0 OK
        = u@w.z: refused, Rcpt about u@w.z: 451 4.7.0 Later";
    transaction(&three, &extensions(&[]), EACH, transcript);
    let data = transcript.replace("C: (BDAT LAST)", "C: DATA\nS: 354 Go\nC: (content and dot)");
    transaction(&three, &extensions(&["CHUNKING"]), EACH, &data);
}

#[test]
fn nothing_is_sent_where_all_are_refused() {
    let two = envelope(&["x@y.z", "v@w.z"]);
    for without in [&[][..], &["CHUNKING"]] {
        let transcript = "
            C: MAIL FROM:<a@b.c> SIZE=9
            C: RCPT TO:<x@y.z>
            C: RCPT TO:<v@w.z>
            S: 250 OK
            S: 451 4.7.0 Later
            S: 550 5.1.1 No
            = Reset, refused, Rcpt about v@w.z: 550 5.1.1 No
            = x@y.z: refused, Rcpt about x@y.z: 451 4.7.0 Later
            = v@w.z: refused, Rcpt about v@w.z: 550 5.1.1 No";
        transaction(&two, &extensions(without), EACH, transcript);
    }
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        S: 451 4.7.0 Not now
        S: 503 5.5.2 Need mail
        S: 503 5.5.2 Need mail
        = Reset, refused, Mail: 451 4.7.0 Not now
        = x@y.z: refused, Mail: 451 4.7.0 Not now
        = v@w.z: refused, Mail: 451 4.7.0 Not now";
    transaction(&two, &extensions(&[]), EACH, transcript);
}

#[test]
fn one_recipient_is_as_in_the_other_mode() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: (BDAT LAST)
        S: 250 2.1.0 Sender OK
        S: 550 5.1.1 No
        S: 250 2.0.0 OK
        = Close, unknown, Rcpt about x@y.z: 550 5.1.1 No
        = x@y.z: unknown, Rcpt about x@y.z: 550 5.1.1 No";
    transaction(&envelope(&["x@y.z"]), &extensions(&[]), EACH, transcript);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: DATA
        S: 250 2.1.0 Sender OK
        S: 452 4.5.3 Too many
        S: 354 Go
        = Close, refused, Rcpt about x@y.z: 452 4.5.3 Too many
        = x@y.z: refused, Rcpt about x@y.z: 452 4.5.3 Too many";
    transaction(&envelope(&["x@y.z"]), &extensions(&["CHUNKING"]), EACH, transcript);
}

#[test]
fn where_no_more_are_taken_the_rest_is_not_tried() {
    let four = envelope(&["x@y.z", "v@w.z", "u@w.z", "t@w.z"]);
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        C: RCPT TO:<u@w.z>
        C: RCPT TO:<t@w.z>
        S: 250 OK
        S: 250 OK
        S: 452 4.5.3 Too many recipients
        S: 452 4.5.3 Too many recipients
        S: 550 5.1.1 No
        C: (BDAT LAST)
        S: 451 4.3.0 Later
        = Keep, refused, Verdict: 451 4.3.0 Later
        = x@y.z: refused, Verdict: 451 4.3.0 Later
        = v@w.z: not tried
        = u@w.z: not tried
        = t@w.z: refused, Rcpt about t@w.z: 550 5.1.1 No";
    transaction(&four, &extensions(&[]), EACH, transcript);
    // Those whose RCPT has not left yet are not asked for.
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        S: 250 OK
        C: RCPT TO:<x@y.z>
        S: 250 OK
        C: RCPT TO:<v@w.z>
        S: 452 4.5.3 Too many recipients
        C: DATA
        S: 354 Go
        C: (content and dot)
        S: 250 OK
        = Keep, accepted, 250 OK
        = x@y.z: accepted, 250 OK
        = v@w.z: not tried
        = u@w.z: not tried
        = t@w.z: not tried";
    transaction(&four, &extensions(&["PIPELINING", "CHUNKING"]), EACH, transcript);
    // Where nobody is taken another transaction would meet the same: a refusal, or it would go round for ever.
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        S: 250 OK
        S: 452 4.5.3 Too many
        S: 452 4.5.3 Too many
        = Reset, refused, Rcpt about x@y.z: 452 4.5.3 Too many
        = x@y.z: refused, Rcpt about x@y.z: 452 4.5.3 Too many
        = v@w.z: refused, Rcpt about v@w.z: 452 4.5.3 Too many";
    transaction(&envelope(&["x@y.z", "v@w.z"]), &extensions(&[]), EACH, transcript);
}

#[test]
fn a_421_or_nonsense_ends_it_for_all_who_were_not_refused() {
    let three = envelope(&["x@y.z", "v@w.z", "u@w.z"]);
    for (word, also) in [("421 4.3.2 Bye", ""), ("354 What", "S: 250 OK\n")] {
        let transcript = format!(
            "C: MAIL FROM:<a@b.c> SIZE=9
             C: RCPT TO:<x@y.z>
             C: RCPT TO:<v@w.z>
             C: RCPT TO:<u@w.z>
             S: 250 OK
             S: 550 5.1.1 No
             S: {word}
             {also}= Close, refused, Rcpt: {word}
             = x@y.z: refused, Rcpt about x@y.z: 550 5.1.1 No
             = v@w.z: refused, Rcpt: {word}
             = u@w.z: refused, Rcpt: {word}"
        );
        transaction(&three, &extensions(&[]), EACH, &transcript);
    }
}

#[test]
fn what_comes_after_the_dot_is_for_all_who_were_taken() {
    let three = envelope(&["x@y.z", "v@w.z", "u@w.z"]);
    for (end, after, told) in [
        ("554 5.2.0 Never", "Keep", "refused, Verdict: 554 5.2.0 Never"),
        ("354 What", "Close", "unknown, Verdict: 354 What"),
        ("250 2.1.5 Recipient OK", "Close", "unknown, Verdict: 250 2.1.5 Recipient OK"),
        ("421 4.3.2 Bye", "Close", "refused, Verdict: 421 4.3.2 Bye"),
    ] {
        let transcript = format!(
            "C: MAIL FROM:<a@b.c> SIZE=9
             C: RCPT TO:<x@y.z>
             C: RCPT TO:<v@w.z>
             C: RCPT TO:<u@w.z>
             S: 250 OK
             S: 250 OK
             S: 550 5.1.1 No
             S: 250 OK
             C: (BDAT LAST)
             S: {end}
             = {after}, {told}
             = x@y.z: {told}
             = v@w.z: refused, Rcpt about v@w.z: 550 5.1.1 No
             = u@w.z: {told}"
        );
        transaction(&three, &extensions(&[]), EACH, &transcript);
    }
}

#[test]
fn an_address_that_cannot_be_written_costs_nobody_elses_mail() {
    let transcript = "
        C: MAIL FROM:<a@b.c> SIZE=9
        C: RCPT TO:<x@y.z>
        C: RCPT TO:<v@w.z>
        S: 250 2.1.0 OK
        S: 250 2.1.0 OK
        S: 250 2.1.0 OK
        C: (BDAT LAST)
        S: 250 2.6.0 OK
        = Keep, accepted, 250 2.6.0 OK
        = x@y.z: accepted, 250 2.6.0 OK
        = jürgen@y.z: refused, Rcpt about jürgen@y.z: ExtensionMissing(\"SMTPUTF8\")
        = v@w.z: accepted, 250 2.6.0 OK";
    let mixed = envelope(&["x@y.z", "jürgen@y.z", "v@w.z"]);
    transaction(&mixed, &extensions(&["SMTPUTF8"]), EACH, transcript);
    let impossible = "= impossible, Mail: ExtensionMissing(\"SMTPUTF8\")";
    transaction(&envelope(&["jürgen@y.z", "jörg@y.z"]), &extensions(&["SMTPUTF8"]), EACH, impossible);
}

/// xorshift64*: no quality is asked of it but to be the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).expect("31 bits") % bound
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }
}

/// What a server was asked, in order; each is owed a reply.
enum Asked {
    Mail,
    Rcpt(String),
    Data,
    Chunk,
    End,
}

const REPLIES: [&str; 12] = [
    "250 OK",
    "250 2.1.5 Recipient OK",
    "250 2.0.0 OK",
    "250 2.6.0 CHUNK received OK",
    "251 2.1.5 Forwards",
    "235 2.7.0 Signed in",
    "354 Go",
    "421 4.3.2 Bye",
    "451 4.7.0 Later",
    "452 4.5.3 Too many",
    "550 5.1.1 No",
    "554 5.2.0 Never",
];

/// The server's side of one random dialogue, and what the machine made of it.
struct Seen {
    taken: HashMap<String, bool>,
    end: Option<Reply>,
    each: Vec<(String, RecipientOutcome)>,
}

fn dialogue(random: &mut Random) -> Seen {
    let names: Vec<String> = (0..=random.below(5)).map(|n| format!("r{n}@y.z")).collect();
    let envelope = envelope(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let without: Vec<&str> = ["PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES"]
        .into_iter()
        .filter(|_| random.below(3) == 0)
        .collect();
    let recipients = if random.chance() { Recipients::AllOrNothing } else { Recipients::EachForItself };
    let whole = random.chance().then_some(9);
    let plan = Plan { recipients, whole, eight_bit: false, fresh: random.chance() };
    let mut transaction = Transaction::new(&envelope, &extensions(&without), plan).unwrap();
    // Most of the replies are good ones, or hardly a mail would come to its end.
    let troubles = random.below(4);
    let mut asked = VecDeque::new();
    let (mut taken, mut end) = (HashMap::new(), None);
    loop {
        match transaction.step() {
            Step::Write(line) => {
                let line = line.to_string();
                let address =
                    line.strip_prefix("RCPT TO:<").map(|rest| rest.trim_end_matches('>').to_string());
                assert!(!matches!(asked.back(), Some(Asked::Data)), "DATA ends a flight");
                asked.push_back(match address {
                    Some(address) => Asked::Rcpt(address),
                    None if line == "DATA" => Asked::Data,
                    None => Asked::Mail,
                });
            }
            Step::Content(framing) => {
                let rcpts = asked.iter().filter(|asked| matches!(asked, Asked::Rcpt(_))).count();
                assert!(
                    asked.is_empty() || (rcpts == 1 && framing == Framing::Bdat),
                    "content behind {rcpts} RCPT"
                );
                if whole.is_none() && framing == Framing::Bdat {
                    for _ in 0..random.below(3) {
                        asked.push_back(Asked::Chunk);
                        transaction.chunk_written();
                    }
                }
                asked.push_back(Asked::End);
            }
            Step::Read(_) => {
                let to = asked.pop_front().expect("nothing is read that was not asked for");
                let good = if matches!(to, Asked::Data) { "354 Go" } else { "250 OK" };
                let is_trouble = random.below(8) < troubles;
                let said = reply(if is_trouble { REPLIES[random.below(REPLIES.len())] } else { good });
                match to {
                    Asked::Rcpt(address) => drop(taken.insert(address, said.is_positive())),
                    Asked::End => end = Some(said.clone()),
                    Asked::Mail | Asked::Data | Asked::Chunk => {}
                }
                transaction.reply(&said);
            }
            Step::Done(verdict, _) => {
                let outcome = match verdict {
                    Verdict::Accepted(reply) => Outcome::Accepted(reply),
                    Verdict::Refused(fault) => Outcome::Failed(fault),
                    Verdict::Contradiction(fault) => Outcome::Unknown(fault),
                };
                let each = match recipients {
                    Recipients::EachForItself => transaction.each(&outcome),
                    Recipients::AllOrNothing => vec![RecipientOutcome::Settled(outcome); names.len()],
                };
                return Seen { taken, end, each: names.into_iter().zip(each).collect() };
            }
        }
    }
}

#[test]
fn nobody_is_accepted_without_a_2xx_to_rcpt_and_to_the_end() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut accepted, mut refused, mut not_tried, mut unknown) = (0, 0, 0, 0);
    for round in 0..20_000 {
        let Seen { taken, end, each } = dialogue(&mut random);
        let end_is_good = end.as_ref().is_some_and(Reply::is_positive);
        let is_settled = |outcome: &RecipientOutcome| matches!(outcome, RecipientOutcome::Settled(_));
        for (address, outcome) in &each {
            let was_taken = taken.get(address).copied();
            match outcome {
                RecipientOutcome::Settled(Outcome::Accepted(reply) | Outcome::Queued(reply)) => {
                    accepted += 1;
                    assert!(
                        was_taken == Some(true) && end_is_good,
                        "round {round}: {address} {taken:?} {end:?}"
                    );
                    assert_eq!(Some(reply), end.as_ref());
                }
                // Whoever has the mail is not told that it was refused.
                RecipientOutcome::Settled(Outcome::Failed(fault)) => {
                    refused += 1;
                    assert!(!(was_taken == Some(true) && end_is_good), "round {round}: {address} {fault:?}");
                    assert!(
                        !matches!(fault.cause(), Cause::Refused(reply) if reply.code == 250 && end_is_good)
                    );
                }
                RecipientOutcome::Settled(Outcome::Unknown(_)) => {
                    unknown += 1;
                    assert!(end.is_some(), "round {round}: {address}");
                }
                RecipientOutcome::NotTried => {
                    not_tried += 1;
                    assert!(was_taken != Some(true), "round {round}: {address}");
                    assert!(
                        each.iter().any(|(_, outcome)| is_settled(outcome)),
                        "round {round}: it never ends"
                    );
                }
            }
        }
    }
    // The generator reaches all of them, often.
    for count in [accepted, refused, not_tried, unknown] {
        assert!(count > 100, "{accepted} {refused} {not_tried} {unknown}");
    }
}
