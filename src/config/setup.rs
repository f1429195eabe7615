//! What `mailshim setup` needs to know: the names on Microsoft's side, and no secret.

use std::ffi::OsString;

use super::cloud::Cloud;
use super::environment::{Environment, Reader};
use super::error::ConfigErrors;
use super::sign_in::{self, Way};
use super::value::is_guid;
use super::variables::variable;
use super::{application, policy};
use crate::message::sender::Sender;
use crate::names::{self, Mailbox};
use crate::smtp::path::Address;

/// Whom Microsoft's side is to know, as far as the variables say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// How mailshim will sign in.
    pub way: Way,
    /// Whose endpoints and rights hold.
    pub cloud: &'static Cloud,
    /// The mailbox that signs in; without a sign-in, the sender.
    pub mailbox: String,
    /// `MAILSHIM_FROM`, where it is another address.
    pub from: Option<String>,
    /// The mailboxes of `MAILSHIM_LOGIN_AS_SENDER`, besides.
    pub senders: Vec<String>,
    /// The domains of `MAILSHIM_LOGIN_AS_SENDER`, whose mailboxes nobody can list here.
    pub sender_domains: Vec<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The application, or the managed identity.
    pub client_id: Option<String>,
    /// The name in EHLO, by which a certificate goes.
    pub hostname: Option<String>,
    /// A connector is to know us by certificate.
    pub by_certificate: bool,
}

/// What is read. Of the secrets it is only asked whether they are set.
const NAMES: [&str; 8] = [
    "MAILSHIM_CLOUD",
    "MAILSHIM_AUTH",
    "MAILSHIM_MAILBOX",
    "MAILSHIM_FROM",
    "MAILSHIM_LOGIN_AS_SENDER",
    "MAILSHIM_TENANT_ID",
    "MAILSHIM_CLIENT_ID",
    "MAILSHIM_HOSTNAME",
];

/// Reads what `mailshim setup` needs. The rest may be wrong or missing, but no name may be unknown.
///
/// # Errors
/// Every mistake there is.
pub fn setup(vars: impl IntoIterator<Item = (OsString, OsString)>) -> Result<SetUp, ConfigErrors> {
    let env = Environment::new(vars);
    let is_set = |name: &str| variable(name).and_then(|variable| env.set_as(variable));
    let managed = "MAILSHIM_MANAGED_IDENTITY";
    let mut reader = env.read(NAMES.into_iter().chain([managed]).filter_map(variable));
    reader.refuse_unknown(&env);
    reader.choose_cloud();
    let way = if reader.is_set("MAILSHIM_AUTH") {
        sign_in::named(&mut reader)
    } else {
        match sign_in::deduce(is_set) {
            // Personal accounts take no application's sign-in.
            Ok(None) if reader.cloud.app_scope.is_none() => Some(Way::Refresh),
            Ok(way) => Some(way.unwrap_or(Way::Secret)),
            Err(problem) => {
                reader.refuse("MAILSHIM_AUTH", problem);
                None
            }
        }
    };
    if matches!(way, Some(Way::Secret | Way::Certificate | Way::Workload | Way::Managed)) {
        application::refuse_where_only_people_sign_in(&mut reader);
    }
    let from = reader.value("MAILSHIM_FROM", Sender::parse).map(|sender| sender.address.to_string());
    let mailbox = match way {
        Some(Way::None) => {
            reader.require(
                "MAILSHIM_FROM",
                "MAILSHIM_AUTH is none, so the sender says which domain it is about",
            );
            from.clone()
        }
        _ => {
            reader.require("MAILSHIM_MAILBOX", policy::MAILBOX_WANTED);
            reader.value("MAILSHIM_MAILBOX", Mailbox::parse).map(|mailbox| mailbox.to_string())
        }
    };
    let (senders, sender_domains) = senders(&mut reader).unwrap_or_default();
    let tenant = reader.value("MAILSHIM_TENANT_ID", application::any_tenant);
    let client_id = match way {
        Some(Way::Managed) => reader.text(managed).filter(|text| is_guid(text)).map(str::to_string),
        _ => reader.value("MAILSHIM_CLIENT_ID", application::client_id),
    };
    let hostname = reader.value("MAILSHIM_HOSTNAME", names::hostname);
    let by_certificate = is_set("MAILSHIM_TLS_CERT_FILE").is_some();
    let cloud = reader.cloud;
    let made = way.zip(mailbox).map(|(way, mailbox)| SetUp {
        way,
        cloud,
        from: from.filter(|from| !from.eq_ignore_ascii_case(&mailbox)),
        mailbox,
        senders,
        sender_domains,
        tenant,
        client_id,
        hostname,
        by_certificate,
    });
    reader.finish(made)
}

/// Addresses, and the domains of `*@domain`.
fn senders(reader: &mut Reader) -> Option<(Vec<String>, Vec<String>)> {
    reader.value("MAILSHIM_LOGIN_AS_SENDER", |text| {
        // The list is judged as a whole, in the same words as by `run`.
        crate::message::sender::AddressList::parse(text)?;
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let (domains, addresses): (Vec<_>, Vec<_>) = entries.partition(|entry| entry.starts_with("*@"));
        let domains = domains.iter().map(|entry| entry.trim_start_matches("*@").to_string()).collect();
        let addresses = addresses.iter().filter_map(|entry| Address::parse(entry));
        Ok((addresses.map(|address| address.to_string()).collect(), domains))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(vars: &[(&str, &str)]) -> Result<SetUp, ConfigErrors> {
        setup(vars.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn the_mailbox_is_enough() {
        let made = read(&[("MAILSHIM_MAILBOX", "noreply@contoso.com")]).unwrap();
        assert_eq!((made.way, made.mailbox.as_str()), (Way::Secret, "noreply@contoso.com"));
        let made = read(&[("MAILSHIM_AUTH", "none"), ("MAILSHIM_FROM", "Shop <shop@contoso.com>")]).unwrap();
        assert_eq!((made.way, made.mailbox.as_str(), made.from), (Way::None, "shop@contoso.com", None));
        assert!(read(&[]).unwrap_err().to_string().contains("MAILSHIM_MAILBOX: is required"));
        assert!(
            read(&[("MAILSHIM_AUTH", "none")])
                .unwrap_err()
                .to_string()
                .contains("MAILSHIM_FROM: is required")
        );
    }

    /// A secret in a file that is not there yet, or that this user may not read, is no mistake here.
    #[test]
    fn no_secret_is_read() {
        let mailbox = ("MAILSHIM_MAILBOX", "noreply@contoso.com");
        for (name, way) in [
            ("MAILSHIM_CLIENT_SECRET_FILE", Way::Secret),
            ("MAILSHIM_CLIENT_CERTIFICATE_PATH", Way::Certificate),
            ("AZURE_FEDERATED_TOKEN_FILE", Way::Workload),
            ("MAILSHIM_REFRESH_TOKEN_FILE", Way::Refresh),
            ("MAILSHIM_PASSWORD_FILE", Way::Password),
        ] {
            assert_eq!(read(&[mailbox, (name, "/nowhere/at/all")]).map(|made| made.way), Ok(way), "{name}");
        }
    }

    #[test]
    fn senders_are_addresses_and_domains() {
        let list = "a@contoso.com, *@fabrikam.com,b@contoso.com";
        let made =
            read(&[("MAILSHIM_MAILBOX", "n@contoso.com"), ("MAILSHIM_LOGIN_AS_SENDER", list)]).unwrap();
        assert_eq!(made.senders, ["a@contoso.com", "b@contoso.com"]);
        assert_eq!(made.sender_domains, ["fabrikam.com"]);
    }
}
