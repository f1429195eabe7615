//! After a refused sign-in one mail tries whether it still is; the others hear the refusal. Paused clock.

use std::time::Duration;

use mailshim::testing::delivery::limits::Event;
use mailshim::testing::outcome::{Cause, Stage};
use tokio::time::{Instant, sleep};

use super::turns::{HOLD, fails, gate, refused};

const REFUSED: &str = "535 5.7.3 Authentication unsuccessful";

#[tokio::test(start_paused = true)]
async fn one_tries_and_if_it_is_dropped_before_the_next_one_does() {
    let gate = gate(0);
    let turn = || gate.turn("app@contoso.com", 1, Instant::now() + HOLD);
    fails(&gate, "", &refused(Stage::Auth, REFUSED));
    let why = turn().await.err().expect("the breaker is open");
    assert!(matches!(why.cause(), Cause::Remembered(_, again_in) if again_in.as_secs() == 10), "{why:?}");
    sleep(Duration::from_secs(10)).await;
    let tries = turn().await.expect("it may try");
    assert!(!gate.is_held_up("app@contoso.com", &tries), "and goes on");
    assert!(turn().await.is_err(), "the others do not");
    drop(tries);
    let tries = turn().await.expect("nothing was tried");
    gate.learn(Event::SignedIn);
    drop(tries);
    let (one, other) = (turn().await, turn().await);
    assert!(one.is_ok() && other.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_one_that_is_to_try_waits_for_its_place_without_shutting_itself_out() {
    let gate = gate(1);
    let start = Instant::now();
    gate.turn("app@contoso.com", 1, start + HOLD).await.unwrap().submitting();
    fails(&gate, "", &refused(Stage::Auth, REFUSED));
    sleep(Duration::from_secs(30)).await;
    let tries = gate.turn("app@contoso.com", 1, Instant::now() + HOLD).await;
    assert!(tries.is_ok());
    assert_eq!((Instant::now() - start).as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn those_that_had_their_turn_are_held_up() {
    let gate = gate(0);
    let turn = gate.turn("app@contoso.com", 1, Instant::now() + HOLD).await.unwrap();
    assert!(!gate.is_held_up("app@contoso.com", &turn));
    fails(&gate, "", &refused(Stage::Auth, REFUSED));
    assert!(gate.is_held_up("app@contoso.com", &turn));
}
