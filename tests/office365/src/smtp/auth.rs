//! AUTH XOAUTH2 and AUTH LOGIN, as OFFICE365.md §2 and §6.1 have them.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::session::{Session, Transaction};
use super::wire::{End, Incoming};
use crate::fault::{Fault, Stage};
use crate::wording::{self, front};

/// `AUTH XOAUTH2 […]`: what may be shown of an AUTH line.
pub(super) fn redacted(line: &str) -> String {
    let mut words = line.splitn(3, ' ');
    let (verb, mechanism, secret) = (words.next().unwrap_or_default(), words.next(), words.next());
    // A mechanism that is none could be a credential in the wrong place.
    let known = mechanism.map(|m| {
        if ["LOGIN", "XOAUTH2", "PLAIN"].contains(&m.to_ascii_uppercase().as_str()) { m } else { "[…]" }
    });
    [Some(verb), known, secret.map(|_| "[…]")].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl Session {
    pub(super) async fn auth(&mut self, argument: &str) -> Result<(), End> {
        let (mechanism, initial) = match argument.split_once(' ') {
            Some((mechanism, initial)) => (mechanism, Some(initial)),
            None => (argument, None),
        };
        let mechanism = mechanism.to_ascii_uppercase();
        let refusal = if !self.wire.is_tls() {
            self.violation("AUTH without TLS: the credentials have crossed in the clear");
            Some(front::AUTH_NEEDS_TLS)
        } else if self.hello.is_none() || !self.offered.auth {
            self.violation("AUTH before EHLO under TLS");
            Some(front::HELLO_FIRST)
        } else if self.mailbox.is_some() || matches!(self.transaction, Transaction::Open(_)) {
            self.violation("AUTH a second time, or within a transaction (RFC 4954 §4)");
            Some(front::BAD_SEQUENCE)
        } else if !self.tenant.settings.auth.iter().any(|offered| *offered == mechanism) {
            self.violation("an AUTH mechanism that was not offered");
            Some(front::UNKNOWN_MECHANISM)
        } else {
            None
        };
        if let Some(words) = refusal {
            return self.say(&self.front(words)).await.map(drop);
        }
        let user = match mechanism.as_str() {
            "XOAUTH2" => self.xoauth2(initial).await?,
            _ => self.login(initial).await?,
        };
        let ordinary = match &user {
            Some(_) => "235 2.7.0 Authentication successful".to_owned(),
            None => self.front(wording::AUTH_UNSUCCESSFUL),
        };
        self.wire.will_be_idle();
        if self.answer(Stage::Auth, &ordinary).await? {
            self.mailbox = user;
            self.tenant.record.count(|stats| stats.auth_ok += 1);
        } else {
            self.auth_error = Some(ordinary);
            self.tenant.record.count(|stats| stats.auth_refused += 1);
        }
        Ok(())
    }

    /// The client's answer to a 334; `None` if it was cancelled or is no base64.
    async fn response(&mut self) -> Result<Option<Vec<u8>>, End> {
        let line = match self.wire.line(false, false).await? {
            Incoming::Line { line, bare } => {
                if bare {
                    self.violation("an AUTH response with a bare LF or CR");
                }
                line
            }
            Incoming::TooLong => {
                self.violation("an AUTH response of more than 12,288 octets (RFC 4954 §4)");
                return Ok(None);
            }
        };
        self.wire.saw(|| "[…]".to_owned());
        if !self.wire.input.is_empty() {
            self.violation("more sent behind an AUTH response");
        }
        if line == b"*" {
            return Ok(None);
        }
        Ok(self.decode(&line))
    }

    fn decode(&self, text: &[u8]) -> Option<Vec<u8>> {
        let decoded = BASE64_STANDARD.decode(text).ok();
        if decoded.is_none() {
            self.violation("an AUTH response that is no canonical base64 (RFC 4954 §4)");
        }
        decoded
    }

    /// The initial response, or the answer to this challenge.
    async fn first(&mut self, initial: Option<&str>, challenge: &str) -> Result<Option<Vec<u8>>, End> {
        match initial {
            Some("=") => Ok(Some(Vec::new())),
            Some(initial) => Ok(self.decode(initial.as_bytes())),
            None => {
                self.wire.reply(challenge);
                self.response().await
            }
        }
    }

    async fn xoauth2(&mut self, initial: Option<&str>) -> Result<Option<String>, End> {
        let response = self.first(initial, "334 ").await?;
        if self.tenant.faults.is(&Fault::XoauthChallenge) {
            let json = r#"{"status":"401","schemes":"bearer","scope":"https://outlook.office365.com/"}"#;
            self.wire.reply(&format!("334 {}", BASE64_STANDARD.encode(json)));
            if self.response().await?.is_some_and(|answer| !answer.is_empty()) {
                self.violation("the answer to XOAUTH2's error challenge is not empty");
            }
            return Ok(None);
        }
        let Some(response) = response else { return Ok(None) };
        let parsed = std::str::from_utf8(&response).ok().and_then(|text| {
            let text = text.strip_prefix("user=")?.strip_suffix("\x01\x01")?;
            let (user, token) = text.split_once("\x01auth=Bearer ")?;
            (!user.is_empty() && !token.contains(['\x01', ' '])).then_some((user, token))
        });
        let Some((user, token)) = parsed else {
            self.violation("malformed XOAUTH2 response (user=…^Aauth=Bearer …^A^A)");
            return Ok(None);
        };
        Ok(self.tenant.mailbox(user).filter(|_| self.tenant.token_is_good(token)))
    }

    async fn login(&mut self, initial: Option<&str>) -> Result<Option<String>, End> {
        let Some(user) = self.first(initial, "334 VXNlcm5hbWU6").await? else {
            return Ok(None);
        };
        self.wire.reply("334 UGFzc3dvcmQ6");
        let Some(password) = self.response().await? else {
            return Ok(None);
        };
        let right = password == self.tenant.credentials.lock().unwrap().password.as_bytes();
        Ok(self.tenant.mailbox(&String::from_utf8_lossy(&user)).filter(|_| right))
    }
}
