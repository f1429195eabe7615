//! What was seen on one way out, kept until the rungs are told.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::ProtocolVersion;
use serde_json::{Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::token::long;
use crate::outcome::Stage;
use crate::redact::printable;
use crate::smtp::reply::Reply;
use crate::transport::watch::{Seen, Watch, Watcher};

/// A clock that is further off is worth a word; certificates and assertions are judged by it.
const CLOCK_MATTERS: Duration = Duration::from_secs(120);

/// A certificate of the peer.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// Negative after its end.
    pub days_left: i64,
}

/// All of it.
#[derive(Clone, Default)]
pub(super) struct Noted {
    pub names: Vec<(String, Vec<IpAddr>)>,
    /// Each address, with its result where there is one.
    pub tried: Vec<(SocketAddr, Option<Result<(), String>>)>,
    pub tunnel: bool,
    pub chain: Vec<Certificate>,
    pub version: Option<ProtocolVersion>,
    pub secured: bool,
    pub replies: Vec<(Stage, Reply)>,
    /// The peer's clock and ours, at the same moment.
    pub clocks: Option<(SystemTime, SystemTime)>,
}

#[derive(Default)]
pub(super) struct Notes(Mutex<Noted>);

impl Notes {
    pub(super) fn watcher(self: &Arc<Self>) -> Watcher {
        let watch: Arc<dyn Watch> = Arc::<Self>::clone(self);
        Watcher::new(watch)
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn so_far(&self) -> Noted {
        self.lock().clone()
    }
}

impl Watch for Notes {
    fn see(&self, seen: Seen<'_>) {
        let mut noted = self.lock();
        match seen {
            Seen::Addresses(name, addresses) => noted.names.push((name.to_string(), addresses.to_vec())),
            Seen::Trying(address) => noted.tried.push((address, None)),
            Seen::Tried(address, result) => {
                if let Some(last) = noted.tried.iter_mut().rev().find(|(tried, _)| *tried == address) {
                    last.1 = Some(result.map_err(ToString::to_string));
                }
            }
            Seen::Tunnel => noted.tunnel = true,
            Seen::Chain(chain) => {
                noted.chain = chain.iter().map(|der| certificate(der, SystemTime::now())).collect();
            }
            Seen::Secured(version) => (noted.secured, noted.version) = (true, version),
            Seen::Reply(stage, reply) => {
                if stage == Stage::Greeting {
                    noted.clocks = clock_of(&reply.text()).map(|theirs| (theirs, SystemTime::now()));
                }
                noted.replies.push((stage, reply.clone()));
            }
            Seen::Date(date) => {
                noted.clocks = httpdate::parse_http_date(date).ok().map(|theirs| (theirs, SystemTime::now()));
            }
        }
    }
}

impl Noted {
    /// The last reply of a stage.
    pub(super) fn reply(&self, stage: Stage) -> Option<&Reply> {
        self.replies.iter().rev().find(|(at, _)| *at == stage).map(|(_, reply)| reply)
    }

    /// The public address that the server's reply to EHLO names (`Hello [192.0.2.1]`).
    pub(super) fn public_address(&self) -> Option<String> {
        let text = self.reply(Stage::Ehlo)?.lines.first()?;
        let (_, behind) = text.split_once("Hello [")?;
        behind.split_once(']').map(|(address, _)| address.to_string())
    }

    /// Our clock against the peer's, where they differ by more than a clock may.
    pub(super) fn clock_is_wrong(&self) -> Option<String> {
        let (theirs, ours) = self.clocks?;
        let (off, word) = match ours.duration_since(theirs) {
            Ok(ahead) => (ahead, "ahead of"),
            Err(behind) => (behind.duration(), "behind"),
        };
        (off > CLOCK_MATTERS)
            .then(|| format!("this machine's clock is {} {word} the server's", long(off.as_secs())))
    }

    /// The chain, the peer's own certificate first.
    pub(super) fn chain_in_words(&self) -> impl Iterator<Item = String> {
        self.chain.iter().map(|Certificate { subject, issuer, days_left }| {
            let left = match days_left {
                0.. => format!("{days_left} days left"),
                _ => format!("expired {} days ago", -days_left),
            };
            format!("{subject}, issued by {issuer}, {left}")
        })
    }

    pub(super) fn chain_for_programs(&self) -> Value {
        let one = |Certificate { subject, issuer, days_left }: &Certificate| json!({"subject": subject, "issuer": issuer, "days_left": days_left});
        self.chain.iter().map(one).collect()
    }
}

/// Longest name of a certificate that is shown.
const LONGEST_NAME: usize = 200;

fn certificate(der: &[u8], now: SystemTime) -> Certificate {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => {
            let name = |name: String| printable(&name).chars().take(LONGEST_NAME).collect();
            Certificate {
                subject: name(certificate.subject().to_string()),
                issuer: name(certificate.issuer().to_string()),
                days_left: (certificate.validity().not_after.timestamp() - now).div_euclid(86_400),
            }
        }
        Err(_) => Certificate { subject: "unreadable".into(), issuer: "unreadable".into(), days_left: 0 },
    }
}

/// The time in Exchange's greeting: `… ready at Sun, 23 Nov 2025 11:12:20 +0000 [08DE2A6028D26C22]`.
fn clock_of(greeting: &str) -> Option<SystemTime> {
    let (_, date) = greeting.split_once("ready at ")?;
    let (date, _) = date.split_once(" +0000")?;
    // HTTP's form has two digits for the day.
    let (weekday, rest) = date.split_once(", ")?;
    httpdate::parse_http_date(&format!("{weekday}, {rest:0>20} GMT")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_tells_the_servers_time() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let greeting = "SY5.outlook.office365.com Microsoft ESMTP MAIL Service ready at Sun, 23 Nov 2025 11:12:20 +0000 [08DE]";
        assert_eq!(clock_of(greeting), at(1_763_896_340));
        assert_eq!(clock_of(&greeting.replace("Sun, 23", "Mon, 3")), at(1_763_896_340 - 20 * 86_400));
        assert_eq!(clock_of("mail.example ESMTP Postfix"), None);
    }

    #[test]
    fn a_wrong_clock_is_told_with_its_direction() {
        let now = SystemTime::now();
        let said = |theirs| Noted { clocks: Some((theirs, now)), ..Noted::default() }.clock_is_wrong();
        assert_eq!(said(now - Duration::from_secs(60)), None);
        assert_eq!(
            said(now - Duration::from_secs(601)).as_deref(),
            Some("this machine's clock is 10 minutes ahead of the server's")
        );
        assert_eq!(
            said(now + Duration::from_secs(7200)).as_deref(),
            Some("this machine's clock is 2 hours behind the server's")
        );
    }
}
