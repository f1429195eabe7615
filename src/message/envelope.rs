//! The envelope of a message: who sent it, and to whom.

use crate::smtp::command::{Body, Mail, Recipient};

/// The envelope (RFC 5321 section 2.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The originator, with the parameters of MAIL.
    pub mail: Mail,
    /// The recipients; at least one.
    pub recipients: Vec<Recipient>,
}

impl Envelope {
    /// Whether an address needs SMTPUTF8 (RFC 6531). UTF-8 in headers alone does not ask for it.
    pub fn needs_smtputf8(&self) -> bool {
        let sender = self.mail.reverse_path.iter();
        let mut addresses = sender.chain(self.recipients.iter().map(|recipient| &recipient.address));
        addresses.any(|address| !address.as_str().is_ascii())
    }

    /// Whether the app declared 8-bit content.
    pub fn is_eight_bit(&self) -> bool {
        self.mail.body == Body::EightBitMime
    }
}
