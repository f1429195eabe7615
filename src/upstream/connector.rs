//! Opens a connection to Office 365: the octets and the deadlines around the pure [`opening`](super::opening).

use std::sync::Arc;

use rustls::ClientConfig;

use super::connection::Connection;
use super::link::{Link, fault};
use super::opening::{Opening, OpeningStep};
use crate::credential::Credential;
use crate::deadlines::Deadlines;
use crate::outcome::{Fault, Stage};
use crate::transport::dial::Dialer;
use crate::transport::watch::Seen;

/// What is needed to open a connection.
#[derive(Clone)]
pub struct Connector {
    /// Resolves and connects.
    pub dialer: Dialer,
    /// Roots and versions.
    pub tls: Arc<ClientConfig>,
    /// The upstream's name, against which its certificate is verified.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Our name in EHLO.
    pub hostname: String,
    /// Every wait.
    pub deadlines: Arc<Deadlines>,
}

impl Connector {
    /// Opens a connection that is not signed in: as far as the server goes with anybody.
    ///
    /// # Errors
    /// Which stage failed, and why.
    pub async fn open_unsigned(&self) -> Result<Connection, Fault> {
        self.open(&Credential::Nobody).await
    }

    /// Opens a connection that is signed in with this.
    ///
    /// # Errors
    /// Which stage failed, and why.
    pub async fn open(&self, credential: &Credential) -> Result<Connection, Fault> {
        let watcher = self.dialer.watcher();
        let wire = self.dialer.connect(&self.host, self.port).await?;
        let mut opening = Opening::new(&self.hostname, Some(credential));
        let mut link = Link::new(wire, Arc::clone(&self.deadlines));
        let mut last = Stage::Greeting;
        loop {
            match opening.step() {
                OpeningStep::Write(stage, line) => {
                    link.line(&line);
                    let reply = link.reply(stage).await?;
                    last = stage;
                    watcher.see(Seen::Reply(stage, &reply));
                    opening.reply(&reply)?;
                }
                OpeningStep::Read(stage) => {
                    let reply = link.reply(stage).await?;
                    watcher.see(Seen::Reply(stage, &reply));
                    opening.reply(&reply)?;
                }
                OpeningStep::Handshake => {
                    link = link.secure(&self.tls, &self.host, watcher).await?;
                    opening.secured();
                }
                OpeningStep::Ready(extensions) => {
                    if let Some(cause) = link.unasked().await {
                        return Err(fault(last, cause));
                    }
                    return Ok(Connection::new(link, extensions, credential.clone()));
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "one_reply_ahead_tests.rs"]
mod one_reply_ahead;
