//! EHLO, HELO and STARTTLS: who the two are, what is offered, and where the clear text ends.

use ring::digest::{SHA256, digest};

use super::command::{self, Offered};
use super::session::{Session, StartTls, Transaction};
use super::wire::End;
use crate::fault::{Fault, Stage};
use crate::wording::{self, front};

impl Session {
    pub(super) async fn hello(&mut self, verb: &str, name: &str) -> Result<(), End> {
        let stage = if self.wire.is_tls() { Stage::Ehlo2 } else { Stage::Ehlo };
        if let Err(refusal) = command::hello(name) {
            let text = self.refused(refusal);
            return self.answer(stage, &text).await.map(drop);
        }
        let settings = &self.tenant.settings;
        let greeting = format!("{} Hello [{}]", wording::HOST, self.peer);
        let mut offered = Offered::default();
        let mut lines = vec![greeting];
        if verb == "EHLO" {
            lines.push(format!("SIZE {}", settings.advertised_size));
            offered.size = settings.advertised_size;
            let mut offer = |on: bool, flag: fn(&mut Offered) -> &mut bool, name: &str| {
                if on {
                    *flag(&mut offered) = true;
                    lines.push(name.to_owned());
                }
            };
            offer(settings.pipelining, |o| &mut o.pipelining, "PIPELINING");
            offer(settings.dsn, |o| &mut o.dsn, "DSN");
            lines.push("ENHANCEDSTATUSCODES".into());
            if self.wire.is_tls() {
                if !settings.auth.is_empty() {
                    lines.push(format!("AUTH {}", settings.auth.join(" ")));
                    offered.auth = true;
                }
            } else {
                let faults = &self.tenant.faults;
                let stripped = faults.is(&Fault::StartTlsStripped);
                let absent = !settings.starttls || faults.is(&Fault::StartTlsAbsent);
                self.start_tls = if stripped || absent { StartTls::Unknown } else { StartTls::Offered };
                if stripped {
                    lines.push("XXXXXXXX".into());
                } else if !absent {
                    lines.push("STARTTLS".into());
                }
            }
            let mut offer = |on: bool, flag: fn(&mut Offered) -> &mut bool, name: &str| {
                if on {
                    *flag(&mut offered) = true;
                    lines.push(name.to_owned());
                }
            };
            offer(settings.eight_bit_mime, |o| &mut o.eight_bit_mime, "8BITMIME");
            offer(settings.chunking, |o| &mut o.chunking, "BINARYMIME");
            offer(settings.chunking, |o| &mut o.chunking, "CHUNKING");
            offer(settings.smtputf8, |o| &mut o.smtputf8, "SMTPUTF8");
        }
        let last = lines.len() - 1;
        let reply: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(n, l)| format!("250{}{l}", if n == last { ' ' } else { '-' }))
            .collect();
        if self.answer(stage, &reply.join("\n")).await? {
            self.transaction = Transaction::None;
            self.hello = Some(name.to_owned());
            self.offered = offered;
        }
        Ok(())
    }

    pub(super) async fn starttls(&mut self, argument: &str) -> Result<(), End> {
        let ordinary = if self.wire.is_tls() {
            self.violation("STARTTLS under TLS");
            self.front(front::BAD_SEQUENCE)
        } else if !argument.is_empty() {
            self.violation("STARTTLS has no argument (RFC 3207 §4)");
            self.front(front::INVALID_ARGUMENTS)
        } else if self.start_tls == StartTls::Unknown {
            self.front(&format!("{} 'STARTTLS'", front::UNRECOGNIZED))
        } else if self.tenant.faults.is(&Fault::StartTlsRefused) {
            self.front(front::STARTTLS_REFUSED)
        } else {
            "220 2.0.0 SMTP server ready".to_owned()
        };
        if !self.answer(Stage::StartTls, &ordinary).await? {
            return Ok(());
        }
        if self.tenant.faults.is(&Fault::InjectAfterStartTls) {
            self.wire.raw(b"250 injected\r\n");
        }
        self.wire.flush().await?;
        self.wire.wait_readable().await;
        if self.tenant.faults.is(&Fault::TlsGarbage) {
            self.wire.raw(b"this is no TLS record, whatever you think of it\r\n");
            return Err(self.wire.goodbye("server").await);
        }
        if let Some(instead) = self.stage(Stage::Handshake).await? {
            self.say(&instead).await?;
            return Err(self.wire.goodbye("server").await);
        }
        match self.wire.start_tls(self.config.clone()).await {
            Ok(0) => {}
            Ok(n) => self.violation(format!("{n} octets of plaintext behind STARTTLS (RFC 3207 §4)")),
            Err((end, _)) => {
                self.tenant.record.count(|stats| stats.handshakes_failed += 1);
                return Err(end);
            }
        }
        let (tls, sni, certificates) = self.wire.tls_facts();
        self.tenant.record.connection(self.id, |connection| connection.sni = sni);
        self.tls = Some(tls);
        let hash = |der: Vec<u8>| digest(&SHA256, &der).as_ref().try_into().expect("SHA-256 has 32 octets");
        self.client_certificates = certificates.into_iter().map(hash).collect();
        // RFC 3207 §4.2: everything learnt before is forgotten.
        self.hello = None;
        self.offered = Offered::default();
        self.transaction = Transaction::None;
        Ok(())
    }
}
