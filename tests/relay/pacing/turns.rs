//! Turns alone, on a paused clock: a mailbox without sockets.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mailshim::testing::delivery::gate::Gate;
use mailshim::testing::delivery::ledger::Ledger;
use mailshim::testing::delivery::limits::{Event, Limits};
use mailshim::testing::outcome::{Cause, Fault, Stage};
use mailshim::testing::smtp::reply::Reply;
use office365::wording;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);
pub const HOLD: Duration = Duration::from_secs(45);

/// The gate of a mailbox with this many messages a minute.
pub fn gate(per_minute: usize) -> Arc<Gate> {
    Arc::new(Gate::new(Limits::new(per_minute, 0, 3), Ledger::Own))
}

/// A mail of this sender, or a sign-in where it is empty, came to nothing.
pub fn fails(gate: &Gate, sender: &str, fault: &Fault) {
    gate.learn(Event::Failed { sender, fault });
}

/// What Office 365 said.
pub fn refused(stage: Stage, reply: &str) -> Fault {
    let (code, text) = reply.split_once(' ').unwrap();
    Fault::new(stage, Cause::Refused(Reply::new(code.parse().unwrap(), text)))
}

/// When it had its turn, or why not and when it heard so.
type Turn = Result<Instant, (Instant, Fault)>;

/// A mail that takes its turn within this time, and is sent.
fn mail(gate: &Arc<Gate>, hold: Duration) -> JoinHandle<Turn> {
    let gate = Arc::clone(gate);
    let until = Instant::now() + hold;
    tokio::spawn(async move {
        match gate.turn("app@contoso.com", 1, until).await {
            Ok(mut under_way) => {
                under_way.submitting();
                Ok(Instant::now())
            }
            Err(fault) => Err((Instant::now(), fault)),
        }
    })
}

async fn all(mails: Vec<JoinHandle<Turn>>) -> Vec<Turn> {
    let mut turns = Vec::new();
    for mail in mails {
        turns.push(mail.await.unwrap());
    }
    turns
}

#[tokio::test(start_paused = true)]
async fn ten_apps_with_twelve_mails_each_under_a_hold_of_ten_minutes() {
    let gate = gate(28);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let had = Arc::new(Mutex::new(Vec::new()));
    let apps = (0..10).map(|app| {
        let (gate, asked, had) = (Arc::clone(&gate), Arc::clone(&asked), Arc::clone(&had));
        tokio::spawn(async move {
            for number in 0..12 {
                asked.lock().unwrap().push((app, number));
                let until = Instant::now() + Duration::from_secs(600);
                let mut turn = gate.turn("app@contoso.com", 1, until).await.expect("paced, not refused");
                turn.submitting();
                had.lock().unwrap().push(((app, number), Instant::now()));
            }
        })
    });
    for app in apps.collect::<Vec<_>>() {
        app.await.unwrap();
    }
    let had = had.lock().unwrap().clone();
    let order: Vec<_> = had.iter().map(|(mail, _)| *mail).collect();
    assert_eq!(order, *asked.lock().unwrap(), "who asks first is served first");
    let times: Vec<_> = had.iter().map(|(_, time)| *time).collect();
    assert!(times.windows(29).all(|window| window[28] - window[0] >= SECOND * 60));
    // 28 at 0, 60, 120 and 180 s, and the last 8 at 240 s.
    assert_eq!((times[119] - times[0]).as_secs(), 240);
    assert_eq!((times.len(), (times[27] - times[0]).as_secs()), (120, 0));
}

#[tokio::test(start_paused = true)]
async fn under_the_default_hold_the_pace_delays_and_does_not_refuse() {
    let (gate, start) = (gate(28), Instant::now());
    let turns = all((0..40).map(|_| mail(&gate, HOLD)).collect()).await;
    let seconds: Vec<_> = turns.iter().map(|turn| (*turn.as_ref().unwrap() - start).as_secs()).collect();
    assert_eq!(seconds, [[0].repeat(28), [45].repeat(12)].concat());
}

#[tokio::test(start_paused = true)]
async fn all_that_wait_hear_at_once_that_office_365_refuses_for_longer_than_their_hold() {
    for (reply, lasts) in [(wording::SUBMISSION_RATE, 50), (wording::DAILY_RECIPIENTS, 3600)] {
        let (gate, start) = (gate(28), Instant::now());
        let mails = (0..40).map(|_| mail(&gate, HOLD)).collect();
        sleep(SECOND * 10).await;
        let fault = refused(Stage::Mail, reply);
        fails(&gate, "app@contoso.com", &fault);
        let turns = all(mails).await;
        for turn in &turns[28..] {
            let (when, why) = turn.as_ref().unwrap_err();
            assert_eq!((*when - start).as_secs(), 10, "{reply}");
            let Cause::Remembered(cause, again_in) = why.cause() else { panic!("{why:?}") };
            assert_eq!(**cause, fault);
            assert!(again_in.as_secs().abs_diff(lasts) <= 1, "{again_in:?}");
        }
        assert!(turns[..28].iter().all(Result::is_ok));
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_within_the_hold_is_waited_for() {
    let (gate, start) = (gate(28), Instant::now());
    fails(&gate, "app@contoso.com", &refused(Stage::Verdict, wording::CONCURRENT));
    let turns = all((0..10).map(|_| mail(&gate, HOLD)).collect()).await;
    assert!(turns.iter().all(|turn| (*turn.as_ref().unwrap() - start).as_secs() == 3), "{turns:?}");
}

#[tokio::test(start_paused = true)]
async fn when_office_365_counts_as_we_do_the_pace_is_not_overrun() {
    let gate = gate(28);
    all((0..28).map(|_| mail(&gate, HOLD)).collect()).await;
    sleep(SECOND * 59).await;
    fails(&gate, "app@contoso.com", &refused(Stage::Mail, wording::SUBMISSION_RATE));
    // The pause of three seconds, then the next minute's 28; the rest would come a minute after them.
    let start = Instant::now();
    let turns = all((0..30).map(|_| mail(&gate, HOLD)).collect()).await;
    assert!(turns[..28].iter().all(|turn| (*turn.as_ref().unwrap() - start).as_secs() == 3));
    for turn in &turns[28..] {
        let (when, why) = turn.as_ref().unwrap_err();
        let Cause::Paced(again_in) = why.cause() else { panic!("{why:?}") };
        assert_eq!((*when - start).as_secs(), 45);
        assert_eq!((*when + *again_in - start).as_secs(), 63);
    }
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_frees_its_place() {
    let (gate, start) = (gate(1), Instant::now());
    let first = mail(&gate, HOLD).await.unwrap().unwrap();
    assert_eq!(first, start);
    let hold = SECOND * 100;
    let (front, second, third) = (mail(&gate, hold), mail(&gate, hold), mail(&gate, hold));
    sleep(SECOND).await;
    front.abort();
    second.abort();
    assert_eq!((third.await.unwrap().unwrap() - start).as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_the_minute_is_given_back_if_office_365_was_not_asked() {
    let (gate, start) = (gate(1), Instant::now());
    let until = start + HOLD;
    let gone = gate.turn("app@contoso.com", 1, until).await.unwrap();
    let waits = mail(&gate, HOLD);
    sleep(SECOND * 5).await;
    drop(gone);
    assert_eq!((waits.await.unwrap().unwrap() - start).as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_refused_sender_does_not_wait_behind_others_to_hear_it() {
    let (gate, start) = (gate(1), Instant::now());
    mail(&gate, HOLD).await.unwrap().unwrap();
    let waits = mail(&gate, HOLD);
    sleep(SECOND).await;
    let denied = wording::send_as_denied("app@contoso.com", "b@example.com");
    fails(&gate, "b@example.com", &refused(Stage::Verdict, &denied));
    let turn = gate.turn("b@example.com", 1, Instant::now() + HOLD).await;
    assert!(matches!(turn.err().unwrap().cause(), Cause::Remembered(..)));
    assert_eq!((Instant::now() - start).as_secs(), 1);
    waits.await.unwrap().unwrap();
}
