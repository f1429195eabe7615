//! Why a message will never pass, found here: told to the app without troubling Office 365.

use std::fmt;

use super::header;

/// A message that was here so often already goes in a circle, which each round pays for with a recipient's quota.
pub(super) const MAX_OWN_HOPS: usize = 3;

/// Why a message will never pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The header block is longer than [`header::MAX_HEADER_BLOCK`].
    HeaderTooLong,
    /// Too many Received fields: how many.
    TooManyHops(usize),
    /// It has passed through here too often.
    Loop,
    /// `message/partial` (RFC 2046 section 5.2.2): Exchange refuses it.
    Partial,
    /// This field names a sender that is not in MAILSHIM_ALLOWED_SENDERS.
    SenderNotAllowed(&'static str),
    /// Senders are limited, and this field is not one mailbox beyond doubt.
    SenderUnclear(&'static str),
    /// Senders are limited, and neither the envelope nor From names one.
    NoSender,
    /// A Bcc stands before the first blank line, where it cannot be taken out.
    BccShown,
    /// Envelope and From name different senders, of which one signs in as itself.
    SendersDiffer,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderTooLong => {
                let kibibytes = header::MAX_HEADER_BLOCK / 1024;
                write!(f, "Header size exceeds fixed maximum size ({kibibytes} KiB)")
            }
            Self::TooManyHops(hops) => write!(f, "Hop count exceeded ({hops} Received fields), a mail loop"),
            Self::Loop => {
                write!(f, "a mail loop: this message came through here {MAX_OWN_HOPS} times before")
            }
            Self::BccShown => f.write_str("a Bcc line stands in lines that are no header, and all recipients would read it"),
            Self::Partial => f.write_str("Messages of type message/partial are not supported"),
            Self::SendersDiffer => f.write_str(
                "envelope and From name different senders, and a sender of MAILSHIM_LOGIN_AS_SENDER must be both",
            ),
            Self::SenderNotAllowed(field) => {
                write!(f, "the sender in {field} is not in MAILSHIM_ALLOWED_SENDERS")
            }
            Self::SenderUnclear(field) => {
                write!(f, "{field} is not one plain address, and not every sender may send through here")
            }
            Self::NoSender => f.write_str("neither the envelope nor From names a sender, and not every one may send"),
        }
    }
}
