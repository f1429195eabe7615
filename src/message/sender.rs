//! Who may be the sender, who may be written to, and what becomes of the rest: [`FromPolicy`], [`Sender`],
//! [`AddressList`].

use std::fmt;

use crate::names::{Mailbox, is_dns_name};
use crate::smtp::path::Address;

/// What is done about the sender that the app gave, in the envelope and in From.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FromPolicy {
    /// Nothing.
    Keep,
    /// An unusable part takes the usable address of the other, or `MAILSHIM_FROM`.
    #[default]
    Repair,
    /// Both become `MAILSHIM_FROM`.
    Force,
}

impl FromPolicy {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "repair" => Ok(Self::Repair),
            "force" => Ok(Self::Force),
            _ => Err("is not a sender policy: write keep, repair or force".to_string()),
        }
    }
}

/// Domains that no tenant of Office 365 can own: RFC 6761 and 6762, RFC 8375, ICANN's `.internal`, and what routers and
/// Linux distributions put behind a host name.
const LOCAL_DOMAINS: [&str; 7] =
    ["local", "localhost", "localdomain", "internal", "lan", "invalid", "home.arpa"];

/// Whether Office 365 could ever know this address: it has a domain of two labels or more that is not a local one and
/// not an IP address.
pub fn is_usable(address: &Address) -> bool {
    let Some(domain) = address.domain() else { return false };
    let domain = domain.to_ascii_lowercase();
    let is_local = LOCAL_DOMAINS
        .iter()
        .any(|local| domain.strip_suffix(local).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    let mut labels = domain.split('.');
    // An address literal, or an IP address without its brackets.
    let is_ip = domain.starts_with('[')
        || domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    domain.contains('.') && labels.all(|label| !label.is_empty()) && !is_local && !is_ip
}

/// `MAILSHIM_FROM`: an address that Office 365 takes, and how it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The display name, without quotes.
    pub display: Option<String>,
    /// The address.
    pub address: Address,
}

impl Sender {
    /// The mailbox itself, for want of another.
    pub(crate) fn of_mailbox(mailbox: &Mailbox) -> Option<Self> {
        Some(Self { display: None, address: Address::parse(&mailbox.to_string())? })
    }

    /// Reads `noreply@contoso.com` or `Contoso Alerts <noreply@contoso.com>`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const PROBLEM: &str = "is not a sender that Office 365 knows, such as noreply@contoso.com or \
             Contoso Alerts <noreply@contoso.com>";
        let (display, address) = match text.rsplit_once('<') {
            Some((display, rest)) => (display.trim(), rest.strip_suffix('>').ok_or(PROBLEM)?),
            None => ("", text),
        };
        // A control character could begin another header field.
        if display.chars().any(char::is_control) {
            return Err(PROBLEM.to_string());
        }
        let quoted = display.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let display = quoted.map_or_else(|| display.to_string(), |inside| inside.replace("\\\"", "\""));
        let address = plain_address(address.trim()).filter(is_usable).ok_or(PROBLEM)?;
        Ok(Self { display: Some(display).filter(|display| !display.is_empty()), address })
    }

    /// Reads an address alone, without a name, that Office 365 could know.
    pub(crate) fn parse_address(text: &str) -> Result<Address, String> {
        let problem = || "is not the plain address of a mailbox, such as admin@contoso.com".to_string();
        plain_address(text).filter(is_usable).ok_or_else(problem)
    }
}

fn plain_address(text: &str) -> Option<Address> {
    Mailbox::parse(text).ok().and_then(|mailbox| Address::parse(&mailbox.to_string()))
}

/// Addresses and whole domains, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressList(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Address(String),
    Domain(String),
}

impl AddressList {
    /// Reads a comma list of `someone@contoso.com` and `*@contoso.com`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the list: which entry is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let entry = |entry: &str| {
            let whole_domain = entry.strip_prefix("*@").filter(|domain| is_dns_name(domain, 1));
            let address = Address::parse(entry).filter(|address| address.domain().is_some());
            match (whole_domain, address) {
                (Some(domain), _) => Ok(Entry::Domain(domain.to_ascii_lowercase())),
                // `*@` would match nobody, and the operator meant everybody.
                (None, Some(address)) if !entry.contains('*') => {
                    Ok(Entry::Address(address.as_str().to_ascii_lowercase()))
                }
                _ => Err("is not a comma list of addresses and whole domains, such as \
                     alerts@contoso.com,*@fabrikam.com"
                    .to_string()),
            }
        };
        text.split(',').map(|text| entry(text.trim())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address is one of them. Case is of no account: Exchange knows none, in local parts either.
    pub fn holds(&self, address: &Address) -> bool {
        let text = address.as_str().to_ascii_lowercase();
        let domain = address.domain().map(str::to_ascii_lowercase);
        self.0.iter().any(|entry| match entry {
            Entry::Address(known) => *known == text,
            Entry::Domain(known) => Some(known) == domain.as_ref(),
        })
    }
}

impl fmt::Display for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            match entry {
                Entry::Address(address) => write!(f, "{separator}{address}")?,
                Entry::Domain(domain) => write!(f, "{separator}*@{domain}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn usable_is_what_a_tenant_could_own() {
        for text in
            ["a@contoso.com", "a@mail.contoso.com", "a@x.onmicrosoft.com", "a@lan.contoso.com", "ü@ü.de"]
        {
            assert!(is_usable(&address(text)), "{text}");
        }
        for text in [
            "root",
            "root@localhost",
            "x@web-7f9c",
            "x@web.local",
            "x@LOCALHOST.LOCALDOMAIN",
            "x@vm.c.project.internal",
            "x@nas.lan",
            "x@pi.home.arpa",
            "x@[127.0.0.1]",
            "x@[IPv6:::1]",
            "x@10.0.0.5",
            "x@contoso.com..",
            "x@contoso..com",
        ] {
            assert!(!is_usable(&address(text)), "{text}");
        }
    }

    #[test]
    fn senders() {
        for (text, display, expected) in [
            ("a@b.com", None, "a@b.com"),
            ("<a@b.com>", None, "a@b.com"),
            ("Contoso Alerts <a@b.com>", Some("Contoso Alerts"), "a@b.com"),
            ("\"Alerts, \\\"A\\\"\" <a@b.com>", Some("Alerts, \"A\""), "a@b.com"),
            ("Störung < a@b.com >", Some("Störung"), "a@b.com"),
        ] {
            let display = display.map(str::to_string);
            assert_eq!(Sender::parse(text), Ok(Sender { display, address: address(expected) }), "{text}");
        }
        for text in
            ["", "a", "a@localhost", "A <a@b.com", "A <a@b.com> x", "a@b.com, c@d.com", "A\r\nB: c <a@b.com>"]
        {
            assert!(Sender::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_holds_addresses_and_domains() {
        let list = AddressList::parse("Alerts@contoso.com, *@Fabrikam.com").unwrap();
        assert_eq!(list.to_string(), "alerts@contoso.com,*@fabrikam.com");
        for text in ["alerts@CONTOSO.com", "x@fabrikam.com"] {
            assert!(list.holds(&address(text)), "{text}");
        }
        for text in ["x@contoso.com", "x@mail.fabrikam.com", "x@xfabrikam.com", "root"] {
            assert!(!list.holds(&address(text)), "{text}");
        }
        for text in ["", "a@b.com,", "*", "*@", "root", "*@*.com", "a*@b.com", "a@b.com;c@d.com"] {
            assert!(AddressList::parse(text).is_err(), "{text}");
        }
    }
}
