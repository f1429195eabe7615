//! From the greeting to a signed-in connection, pure: what to do next, and where a reply leads. No socket, clock or
//! log.
//!
//! Ask `step()`, do it, hand a reply to `reply()`.

use super::line::Line;
use crate::credential::Credential;
use crate::outcome::{Cause, Fault, Stage};
use crate::smtp::extension::Extensions;
use crate::smtp::reply::Reply;
use crate::smtp::sasl;

/// What the driver of an [`Opening`] does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpeningStep {
    /// Write this line, then read one reply.
    Write(Stage, Line),
    /// Read one reply.
    Read(Stage),
    /// Do the TLS handshake, then call [`Opening::secured`]. What was read in the clear must be used up.
    Handshake,
    /// The connection takes mail.
    Ready(Extensions),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Greeting,
    PlainEhlo,
    StartTls,
    Handshake,
    Ehlo,
    Auth,
    Username,
    Password,
    AfterChallenge,
    Ready,
}

/// From the greeting to a signed-in connection.
#[derive(Debug)]
pub struct Opening<'a> {
    hostname: &'a str,
    credential: Option<&'a Credential>,
    phase: Phase,
    extensions: Extensions,
}

impl<'a> Opening<'a> {
    /// For a connection that has just been made. Without a credential no AUTH is sent.
    pub fn new(hostname: &'a str, credential: Option<&'a Credential>) -> Self {
        Self { hostname, credential, phase: Phase::Greeting, extensions: Extensions::default() }
    }

    /// What to send on entering a state.
    pub fn step(&self) -> OpeningStep {
        let ehlo = || Line::plain(format_args!("EHLO {}", self.hostname));
        match self.phase {
            Phase::Greeting => OpeningStep::Read(Stage::Greeting),
            Phase::PlainEhlo | Phase::Ehlo => OpeningStep::Write(Stage::Ehlo, ehlo()),
            Phase::StartTls => OpeningStep::Write(Stage::StartTls, Line::plain("STARTTLS")),
            Phase::Handshake => OpeningStep::Handshake,
            Phase::Auth | Phase::Username | Phase::Password => {
                OpeningStep::Write(Stage::Auth, self.auth_line())
            }
            // An empty line asks for the failure behind the challenge (Gmail's habit).
            Phase::AfterChallenge => OpeningStep::Write(Stage::Auth, Line::plain("")),
            Phase::Ready => OpeningStep::Ready(self.extensions.clone()),
        }
    }

    fn auth_line(&self) -> Line {
        match (self.phase, self.credential) {
            (Phase::Auth, Some(Credential::Xoauth2 { user, token, .. })) => {
                let response = sasl::xoauth2(user, token);
                let line = format!("AUTH XOAUTH2 {}", response.expose());
                Line::secret(line, "AUTH XOAUTH2 [redacted]", Some(token))
            }
            (Phase::Username, Some(Credential::Login { user, .. })) => {
                Line::secret(sasl::encode(user.as_bytes()), "[redacted]", None)
            }
            (Phase::Password, Some(Credential::Login { password, .. })) => {
                Line::secret(sasl::encode(password.expose().as_bytes()), "[redacted]", Some(password))
            }
            _ => Line::plain("AUTH LOGIN"),
        }
    }

    /// The handshake is done: what was said before it is forgotten (RFC 3207 section 4.2).
    pub fn secured(&mut self) {
        self.extensions = Extensions::default();
        self.phase = Phase::Ehlo;
    }

    /// Where a reply leads.
    ///
    /// # Errors
    /// This connection will not take mail.
    pub fn reply(&mut self, reply: &Reply) -> Result<(), Fault> {
        let is_login = matches!(self.credential, Some(Credential::Login { .. }));
        self.phase = match (self.phase, reply.code) {
            (Phase::Greeting, 220) => Phase::PlainEhlo,
            (Phase::Greeting, _) => return Err(Fault::refused(Stage::Greeting, reply)),
            (Phase::PlainEhlo, 250) => {
                if !Extensions::from_ehlo(reply).starttls {
                    return Err(Fault::new(Stage::StartTls, Cause::StartTlsMissing));
                }
                Phase::StartTls
            }
            (Phase::StartTls, 220) => Phase::Handshake,
            (Phase::StartTls, _) => return Err(Fault::refused(Stage::StartTls, reply)),
            (Phase::Ehlo, 250) => {
                self.extensions = Extensions::from_ehlo(reply);
                self.choose_auth()?
            }
            (Phase::PlainEhlo | Phase::Ehlo, _) => return Err(Fault::refused(Stage::Ehlo, reply)),
            (Phase::Auth | Phase::Password, 235) => Phase::Ready,
            (Phase::Auth, 334) if is_login => Phase::Username,
            (Phase::Username, 334) => Phase::Password,
            (Phase::Auth, 334) => Phase::AfterChallenge,
            // A 2xx behind XOAUTH2's error challenge would be a sign-in that was refused and granted at once.
            (phase, _) => {
                debug_assert!(
                    !matches!(phase, Phase::Handshake | Phase::Ready),
                    "a reply that nothing asked for"
                );
                return Err(Fault::refused(Stage::Auth, reply));
            }
        };
        Ok(())
    }

    fn choose_auth(&self) -> Result<Phase, Fault> {
        let usable = match self.credential {
            None | Some(Credential::Nobody) => return Ok(Phase::Ready),
            Some(Credential::Xoauth2 { .. }) => self.extensions.xoauth2,
            Some(Credential::Login { .. }) => self.extensions.login,
        };
        let cause = || Cause::NoUsableAuth(self.extensions.auth_line.clone());
        usable.then_some(Phase::Auth).ok_or_else(|| Fault::new(Stage::Auth, cause()))
    }
}
