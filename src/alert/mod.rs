//! `MAILSHIM_ALERT_URL`: a POST for whoever is to be woken. Never in the way of mail: rooms hand values to
//! [`telemetry::alert`], which waits for nobody and keeps one entry for each kind of event; this room takes them from
//! there, at its own pace, and a server that is slow or gone costs an alert.
//!
//! The address is a secret, as whoever knows it can write there: it stands in no error and no log line, and nor do the
//! words of whoever was asked.

mod webhook;

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use webhook::Webhook;

use crate::outcome::TokenFault;
use crate::secret::{Secret, SecretSource};
use crate::telemetry::{self, Alert};
use crate::transport::http::Http;

/// One POST, as a whole.
const WITHIN: Duration = Duration::from_secs(10);
/// From the beginning of one POST to the next, a further try too.
const PAUSE: Duration = Duration::from_secs(10);
/// Tries of one alert.
const TRIES: u32 = 3;

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertOptions {
    /// The address, read again for each alert where it is given by file.
    url: SecretSource,
}

impl AlertOptions {
    /// The address from this source, which says this now.
    ///
    /// # Errors
    /// It is no address: the rest of a sentence, which does not say the value.
    pub fn new(url: SecretSource, text: &str) -> Result<Self, String> {
        Webhook::parse(text).map(|_| Self { url })
    }
}

/// Tells of each event, one after the other, for as long as it is polled.
pub async fn run(options: &AlertOptions, http: &Http) {
    tell(telemetry::next_alert, |body| post(options, http, body)).await;
}

/// [`run`], with what gives the events and what posts them.
async fn tell<E, P>(next_alert: impl Fn() -> E, post: impl Fn(Secret<String>) -> P) -> !
where
    E: Future<Output = Alert>,
    P: Future<Output = Result<(), Failed>>,
{
    let mut next = Instant::now();
    loop {
        // Not taken before it can be told: what happens meanwhile is merged into it.
        sleep_until(next).await;
        let alert = next_alert().await;
        let body = webhook::body(&alert);
        let mut tries = 1;
        loop {
            sleep_until(next).await;
            next = Instant::now() + PAUSE;
            match post(body.clone()).await {
                Ok(()) => break telemetry::alert_sent(alert.event),
                Err(Failed { again: true, .. }) if tries < TRIES => tries += 1,
                Err(Failed { why, .. }) => break telemetry::alert_failed(alert.event, &why),
            }
        }
    }
}

/// Why a POST came to nothing, in our own words, and whether another may fare better.
#[derive(Clone)]
struct Failed {
    why: String,
    again: bool,
}

async fn post(options: &AlertOptions, http: &Http, body: Secret<String>) -> Result<(), Failed> {
    let not_usable = |why: &str| Failed { why: why.to_string(), again: false };
    let url = options.url.read().map_err(|_| not_usable("its file cannot be read"))?;
    let to = Webhook::parse(url.expose()).map_err(|_| not_usable("it is no https URL any more"))?;
    match http.post_json(&to.address, &to.target, &body, WITHIN).await {
        Ok(200..=299) => Ok(()),
        Ok(status) => Err(Failed {
            why: format!("the server answered with status {status}"),
            again: matches!(status, 408 | 425 | 429 | 500..),
        }),
        Err(fault) => Err(Failed { why: words(&fault).to_string(), again: true }),
    }
}

/// A fault's own text may name the host.
const fn words(fault: &TokenFault) -> &'static str {
    match fault {
        TokenFault::NotReached { .. } => "the server cannot be reached over TLS",
        TokenFault::Proxy(_) => "the egress proxy does not let it through",
        TokenFault::TimedOut(_) => "the server did not answer in 10 s",
        TokenFault::Garbage(_) => "the server's answer is not HTTP that is accepted",
        _ => "the connection to the server broke",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use super::*;

    fn alert(event: &'static str) -> Alert {
        let (mailbox, reason) = ("app@contoso.com".to_string(), "why".to_string());
        Alert { event, mailbox, reason, fix: None, count: 1, at: SystemTime::UNIX_EPOCH }
    }

    /// When each POST began, in seconds, and of which event, where the server answers so.
    async fn posts(answers: impl Fn(usize) -> Result<(), Failed>, takes: Duration) -> Vec<(u64, String)> {
        let begun = Instant::now();
        let (posts, events) = (Mutex::new(Vec::new()), Mutex::new(vec![alert("ready"), alert("not_ready")]));
        let next = || async {
            let alert = events.lock().unwrap().pop();
            match alert {
                Some(alert) => alert,
                None => std::future::pending().await,
            }
        };
        let post = |body: Secret<String>| {
            let value: serde_json::Value = serde_json::from_str(body.expose()).unwrap();
            let number = {
                let mut posts = posts.lock().unwrap();
                posts.push((begun.elapsed().as_secs(), value["event"].as_str().unwrap().to_string()));
                posts.len() - 1
            };
            let answer = answers(number);
            async move {
                tokio::time::sleep(takes).await;
                answer
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(600), tell(next, post)).await;
        posts.into_inner().unwrap()
    }

    fn failed(again: bool) -> Result<(), Failed> {
        Err(Failed { why: "no".to_string(), again })
    }

    fn at(times: &[(u64, &str)]) -> Vec<(u64, String)> {
        times.iter().map(|(second, event)| (*second, (*event).to_string())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn at_most_one_post_in_ten_seconds_and_three_tries_of_each() {
        let quick = Duration::from_millis(1);
        assert_eq!(posts(|_| Ok(()), quick).await, at(&[(0, "not_ready"), (10, "ready")]));
        let down = [
            (0, "not_ready"),
            (10, "not_ready"),
            (20, "not_ready"),
            (30, "ready"),
            (40, "ready"),
            (50, "ready"),
        ];
        assert_eq!(posts(|_| failed(true), quick).await, at(&down));
        // Slow to the last moment: the next begins at once, and not together with it.
        assert_eq!(posts(|_| failed(true), WITHIN).await, at(&down));
        assert_eq!(posts(|_| failed(false), quick).await, at(&[(0, "not_ready"), (10, "ready")]));
        let second = |number| if number == 0 { failed(true) } else { Ok(()) };
        assert_eq!(posts(second, quick).await, at(&[(0, "not_ready"), (10, "not_ready"), (20, "ready")]));
    }

    #[test]
    fn a_failure_is_told_in_our_words_alone() {
        let reached = TokenFault::Unreachable("hooks.s3cret.example broke".to_string());
        for fault in [reached, TokenFault::TimedOut(WITHIN), TokenFault::Garbage("s3cret".to_string())] {
            assert!(!words(&fault).contains("s3cret"), "{fault:?}");
        }
    }
}
