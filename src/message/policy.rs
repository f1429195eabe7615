//! The sender policy: who a message comes from, in the envelope and in From together; and who may send and be sent to.
//!
//! Pure: what the app gave in, what is to be done out. `repair.rs` does it.

use std::collections::HashSet;

use super::address::{List, Mailbox, written};
use super::phrase::{Form, phrase_of_text};
use super::refusal::Refusal;
use super::shown::{Shown, unmistakable};
use crate::message::sender::{AddressList, FromPolicy, Sender, is_usable};
use crate::smtp::path::Address;
use crate::smtp::reply::Reply;

/// What was configured about senders and recipients, and the names that a message may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is done about the app's sender.
    pub from_policy: FromPolicy,
    /// MAILSHIM_FROM.
    pub from: Sender,
    /// Nobody signs in: a null reverse-path can stay one. A mailbox that signs in must be named.
    pub null_sender_stays: bool,
    /// Who may send; `None` for everybody.
    pub allowed_senders: Option<AddressList>,
    /// Who may be sent to; `None` for everybody.
    pub allowed_recipients: Option<AddressList>,
    /// Senders that sign in as their own mailbox; `None` for nobody.
    pub login_as_sender: Option<AddressList>,
    /// Who gets what is meant for a recipient that only the app's own machine could know.
    pub local_to: Option<Address>,
    /// Who gets everything instead.
    pub redirect_to: Option<Address>,
    /// The name in Received.
    pub hostname: String,
    /// The domain of a Message-ID.
    pub domain: String,
}

impl Policy {
    /// Whether the app may use this sender, at MAIL and in From.
    ///
    /// An unusable address is none that the app could send as: where the policy replaces it, what it is replaced by was
    /// judged already, or is MAILSHIM_FROM, which the operator chose.
    pub fn judge_sender(&self, sender: &Address) -> bool {
        let is_replaced = self.from_policy != FromPolicy::Keep && !is_usable(sender);
        let is_ours = same(&self.from.address, sender);
        is_replaced || is_ours || self.allowed_senders.as_ref().is_none_or(|list| list.holds(sender))
    }

    /// Whether not every sender may send, or sign in: then a field that two readers could read as two senders must not
    /// leave.
    const fn limits_senders(&self) -> bool {
        self.allowed_senders.is_some() || self.login_as_sender.is_some()
    }

    /// Judges whom a message names as its sender, as it would leave.
    ///
    /// # Errors
    /// One who may not send, or none that is beyond doubt; or two, of whom one would sign in as itself: signed in as the
    /// one, it would send as the other.
    pub(super) fn guard(&self, shown: &Shown, reverse_path: Option<&Address>) -> Result<(), Refusal> {
        if !self.limits_senders() {
            return Ok(());
        }
        let listed = self.allowed_senders.as_ref();
        let may_send = |sender: &Address| {
            same(&self.from.address, sender) || listed.is_none_or(|list| list.holds(sender))
        };
        let mut addresses = Vec::new();
        for named in &shown.0 {
            let address = named.address.as_ref().ok_or(Refusal::SenderUnclear(named.field))?;
            if !may_send(address) {
                return Err(Refusal::SenderNotAllowed(named.field));
            }
            addresses.push(address);
        }
        let author = shown.author();
        match reverse_path {
            Some(address) if !may_send(address) => return Err(Refusal::SenderNotAllowed("MAIL")),
            None if author.is_none() => return Err(Refusal::NoSender),
            _ => {}
        }
        let signs_in = |sender: Option<&Address>| {
            sender.is_some_and(|sender| self.login_as_sender.as_ref().is_some_and(|list| list.holds(sender)))
        };
        let is_one = reverse_path.zip(author).is_some_and(|(envelope, author)| {
            same(envelope, author) && addresses.iter().all(|other| same(other, envelope))
        });
        if !is_one && (signs_in(reverse_path) || signs_in(author)) {
            return Err(Refusal::SendersDiffer);
        }
        Ok(())
    }

    /// Who gets what is sent to this recipient, but for MAILSHIM_REDIRECT_TO: cron's `root` is nobody in the world.
    pub fn recipient<'a>(&'a self, given: &'a Address) -> &'a Address {
        self.local_to.as_ref().filter(|_| !is_usable(given)).unwrap_or(given)
    }

    /// Whether the app may send to this recipient: judged is who gets it.
    pub fn judge_recipient(&self, recipient: &Address) -> bool {
        self.allowed_recipients.as_ref().is_none_or(|list| list.holds(self.recipient(recipient)))
    }

    /// The reply to a MAIL or RCPT that is not allowed.
    pub fn refuse_sender(&self, sender: &Address) -> Option<Reply> {
        (!self.judge_sender(sender))
            .then(|| Reply::new(550, "5.7.1 This sender is not in MAILSHIM_ALLOWED_SENDERS"))
    }

    /// Likewise for a recipient.
    pub fn refuse_recipient(&self, recipient: &Address) -> Option<Reply> {
        (!self.judge_recipient(recipient))
            .then(|| Reply::new(550, "5.7.1 This recipient is not in MAILSHIM_ALLOWED_RECIPIENTS"))
    }
}

/// The sender as the app gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub reverse_path: Option<Address>,
    /// One for each From field.
    pub from: Vec<List>,
    /// One for each Sender field.
    pub sender: Vec<List>,
    pub has_reply_to: bool,
    /// A DKIM-Signature covers From.
    pub from_is_signed: bool,
    /// A From or Sender is not one mailbox beyond doubt.
    pub from_is_unclear: bool,
    pub sender_is_unclear: bool,
}

/// What is done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub reverse_path: Option<Address>,
    /// From's new value, where it changes.
    pub from: Option<String>,
    /// Reply-To's, where there is none.
    pub reply_to: Option<String>,
    pub drop_sender: bool,
    /// A null reverse-path was given an address.
    pub null_replaced: bool,
    /// MAILSHIM_FROM stands in From because of the policy.
    pub from_is_ours: bool,
}

/// Case is of no account: Exchange knows none, in local parts either.
fn same(a: &Address, b: &Address) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

/// From, looked at.
struct Author<'a> {
    all: Vec<&'a Mailbox>,
    /// The one address, if it is usable.
    usable: Option<&'a Mailbox>,
    form: Form,
}

impl<'a> Author<'a> {
    fn new(fields: &'a [List]) -> Self {
        let all: Vec<&Mailbox> = fields.iter().flat_map(|list| &list.mailboxes).collect();
        let alike = |a: &Mailbox, b: &Mailbox| match (&a.address, &b.address) {
            (Some(a), Some(b)) => same(a, b),
            _ => false,
        };
        // The same address twice is one sender.
        let first = all.first().copied().filter(|first| all.iter().all(|other| alike(first, other)));
        let usable = first.filter(|mailbox| mailbox.address.as_ref().is_some_and(is_usable));
        let form = if all.len() == 1 && fields.len() == 1 { fields[0].form } else { Form::Broken };
        Self { all, usable, form }
    }

    /// The display name for this address: its own, or the only one there is.
    fn phrase_for(&self, address: &Address) -> Option<&'a str> {
        let is_it = |mailbox: &&&Mailbox| mailbox.address.as_ref().is_some_and(|own| same(own, address));
        let only = self.all.first().filter(|_| self.all.len() == 1 || self.usable.is_some());
        self.all.iter().find(is_it).or(only).and_then(|mailbox| mailbox.phrase.as_deref())
    }
}

impl Policy {
    pub(super) fn decide(&self, given: &Given) -> Verdict {
        let author = Author::new(&given.from);
        match self.from_policy {
            FromPolicy::Keep => Verdict { reverse_path: given.reverse_path.clone(), ..Verdict::default() },
            FromPolicy::Repair => self.repair(given, &author),
            FromPolicy::Force => self.force(given, &author),
        }
    }

    fn repair(&self, given: &Given, author: &Author<'_>) -> Verdict {
        let enveloped = given.reverse_path.as_ref().filter(|address| is_usable(address));
        let written_as = author.usable.and_then(|mailbox| mailbox.address.as_ref());
        let chosen = written_as.or(enveloped).unwrap_or(&self.from.address);
        let from_is_ours = written_as.is_none() && enveloped.is_none();
        let sender_is_usable = match given.sender.as_slice() {
            [] => true,
            [one] => one.mailboxes.len() == 1 && one.mailboxes[0].address.as_ref().is_some_and(is_usable),
            _ => false,
        };
        let stays = written_as.is_some() && self.stays(given, author);
        Verdict {
            reverse_path: self.reverse_path(given, enveloped.unwrap_or(chosen)),
            from: (!stays).then(|| self.signature(author, chosen, from_is_ours)),
            reply_to: None,
            drop_sender: !sender_is_usable || self.limits_senders() && given.sender_is_unclear,
            null_replaced: given.reverse_path.is_none() && !self.null_sender_stays,
            from_is_ours,
        }
    }

    fn force(&self, given: &Given, author: &Author<'_>) -> Verdict {
        let ours = &self.from.address;
        let written_as = author.usable.and_then(|mailbox| mailbox.address.as_ref());
        let stays = self.stays(given, author) && written_as.is_some_and(|address| same(address, ours));
        // Several authors are no From that Office 365 takes, but all of them can be answered.
        let mut known = HashSet::new();
        let mut answerable: Vec<String> = Vec::new();
        for mailbox in &author.all {
            let Some(address) = mailbox.address.as_ref().filter(|address| is_usable(address)) else {
                continue;
            };
            if !same(address, ours) && known.insert(address.as_str().to_ascii_lowercase()) {
                answerable.push(written(mailbox.phrase.as_deref(), address));
            }
        }
        let reply_to = Some(answerable.join(", ")).filter(|list| !list.is_empty() && !given.has_reply_to);
        Verdict {
            reverse_path: self.reverse_path(given, ours),
            from: (!stays).then(|| self.signature(author, ours, true)),
            reply_to,
            drop_sender: !given.sender.is_empty(),
            null_replaced: given.reverse_path.is_none() && !self.null_sender_stays,
            from_is_ours: true,
        }
    }

    /// Whether From can stay as it is. Exchange wants quotes and brackets; under a signature that covers From it gets what
    /// was signed. Where senders are limited nothing stays that another reader could read otherwise.
    fn stays(&self, given: &Given, author: &Author<'_>) -> bool {
        (author.form == Form::Good || author.form == Form::Unquoted && given.from_is_signed)
            && !(self.limits_senders() && given.from_is_unclear)
    }

    fn reverse_path(&self, given: &Given, otherwise: &Address) -> Option<Address> {
        let stays_null = given.reverse_path.is_none() && self.null_sender_stays;
        (!stays_null).then(|| otherwise.clone())
    }

    /// From's new value: the app's display name, or ours.
    fn signature(&self, author: &Author<'_>, address: &Address, is_ours: bool) -> String {
        let ours = || self.from.display.as_deref().filter(|_| is_ours).and_then(phrase_of_text);
        let phrase = author.phrase_for(address).map(str::to_string);
        let phrase = if self.limits_senders() { phrase.and_then(unmistakable) } else { phrase }.or_else(ours);
        written(phrase.as_deref(), address)
    }
}
