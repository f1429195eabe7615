//! The sender policy: who mail comes from, and who may send and be written to.

use super::environment::Reader;
use crate::identity::sign_in::{SignIn, TokenSource};
use crate::message::policy::Policy;
use crate::message::sender::{AddressList, FromPolicy, Sender};
use crate::names::Mailbox;
use crate::smtp::path::Address;

/// Why `MAILSHIM_MAILBOX` is needed.
pub(super) const MAILBOX_WANTED: &str = "set it to the mailbox that sends, such as noreply@contoso.com";

/// What the variables say; [`Policy`] has the names of the rest of the configuration
/// too.
pub(super) struct Given {
    pub login_as_sender: Option<AddressList>,
    pub from: Option<Sender>,
    pub from_policy: Option<FromPolicy>,
    pub allowed_senders: Option<AddressList>,
    pub allowed_recipients: Option<AddressList>,
    pub local_to: Option<Address>,
    pub redirect_to: Option<Address>,
}

pub(super) fn read(reader: &mut Reader) -> Given {
    Given {
        login_as_sender: reader.value("MAILSHIM_LOGIN_AS_SENDER", AddressList::parse),
        from: reader.value("MAILSHIM_FROM", Sender::parse),
        from_policy: reader.value("MAILSHIM_FROM_POLICY", FromPolicy::parse),
        allowed_senders: reader.value("MAILSHIM_ALLOWED_SENDERS", AddressList::parse),
        allowed_recipients: reader.value("MAILSHIM_ALLOWED_RECIPIENTS", AddressList::parse),
        local_to: reader.value("MAILSHIM_LOCAL_TO", Sender::parse_address),
        redirect_to: reader.value("MAILSHIM_REDIRECT_TO", redirect_to),
    }
}

fn redirect_to(text: &str) -> Result<Address, String> {
    let mailbox = Mailbox::parse(text).ok();
    mailbox
        .and_then(|mailbox| Address::parse(&mailbox.to_string()))
        .ok_or_else(|| "is not the plain address of a mailbox, such as tests@contoso.com".to_string())
}

impl Given {
    /// The mailbox whose domain names a message: where nobody signs in, the sender.
    pub fn mailbox(&self, set: Option<Mailbox>, nobody_signs_in: bool) -> Option<Mailbox> {
        match &self.from {
            Some(from) if nobody_signs_in && set.is_none() => Mailbox::parse(from.address.as_str()).ok(),
            _ => set,
        }
    }

    /// The policy; `None` after a mistake.
    pub fn policy(self, mailbox: &Mailbox, nobody_signs_in: bool, hostname: Option<&str>) -> Option<Policy> {
        Some(Policy {
            from_policy: self.from_policy?,
            from: self.from.or_else(|| Sender::of_mailbox(mailbox))?,
            null_sender_stays: nobody_signs_in,
            allowed_senders: self.allowed_senders,
            allowed_recipients: self.allowed_recipients,
            login_as_sender: self.login_as_sender,
            local_to: self.local_to,
            redirect_to: self.redirect_to,
            hostname: hostname.unwrap_or(mailbox.domain()).to_string(),
            domain: mailbox.domain().to_string(),
        })
    }
}

/// The mailbox that signs in, where it is set.
pub(super) fn mailbox(reader: &mut Reader, sign_in: Option<&SignIn>) -> Option<Mailbox> {
    if let Some(SignIn::None) = sign_in {
        reader.require(
            "MAILSHIM_FROM",
            "MAILSHIM_AUTH is none, so no mailbox says who sends: set it to the sender",
        );
    } else {
        reader.require("MAILSHIM_MAILBOX", MAILBOX_WANTED);
    }
    reader.value("MAILSHIM_MAILBOX", Mailbox::parse)
}

/// Signing in as the sender needs a token that serves other mailboxes, and a sender that stays the app's.
pub(super) fn refuse_impossible_logins(reader: &mut Reader, sign_in: &SignIn, given: &Given) {
    const NAME: &str = "MAILSHIM_LOGIN_AS_SENDER";
    if given.login_as_sender.is_none() {
        return;
    }
    if given.from_policy == Some(FromPolicy::Force) {
        reader.refuse(
            NAME,
            "is set, and MAILSHIM_FROM_POLICY=force gives every mail the same sender: unset one of them",
        );
    }
    if !matches!(sign_in, SignIn::Token(source) if !matches!(source, TokenSource::Refresh(..))) {
        let way = sign_in.name();
        reader.refuse(
            NAME,
            format!("needs an application that signs in (a secret, a certificate or a platform identity), not {way}"),
        );
    }
}
