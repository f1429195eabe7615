//! Microsoft's clouds: `MAILSHIM_CLOUD` sets host, authority and scopes together, each of which can be overridden.

use std::time::Duration;

/// What differs from cloud to cloud (Microsoft, "National cloud deployments" and "Manage High Volume Email").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// Its name in `MAILSHIM_CLOUD`.
    pub name: &'static str,
    /// `MAILSHIM_UPSTREAM`.
    pub upstream: &'static str,
    /// `AZURE_AUTHORITY_HOST`.
    pub authority: &'static str,
    /// `MAILSHIM_OAUTH_SCOPE` of an application; `None` where applications cannot sign in.
    pub app_scope: Option<&'static str>,
    /// `MAILSHIM_OAUTH_SCOPE` of a person.
    pub delegated_scope: &'static str,
    /// `MAILSHIM_TENANT_ID` where it is the same for everybody.
    pub tenant: Option<&'static str>,
    /// `MAILSHIM_MAX_RECIPIENTS`.
    pub max_recipients: &'static str,
    /// `MAILSHIM_MAX_MESSAGE_SIZE`.
    pub max_message_size: &'static str,
    /// `MAILSHIM_MESSAGES_PER_MINUTE`.
    pub messages_per_minute: &'static str,
    /// A token is not used in this last part of its life.
    pub token_margin: Duration,
    /// What is not certain about this row.
    pub doubt: Option<&'static str>,
}

const WORLDWIDE: Cloud = Cloud {
    name: "worldwide",
    upstream: "smtp.office365.com:587",
    authority: "https://login.microsoftonline.com",
    app_scope: Some("https://outlook.office365.com/.default"),
    delegated_scope: "https://outlook.office.com/SMTP.Send",
    tenant: None,
    max_recipients: "500",
    max_message_size: "35MiB",
    messages_per_minute: "28",
    token_margin: Duration::from_secs(2 * 60),
    doubt: None,
};

/// Every cloud; the first is the default.
pub const CLOUDS: [Cloud; 6] = [
    WORLDWIDE,
    Cloud {
        name: "gcc-high",
        upstream: "smtp.office365.us:587",
        authority: "https://login.microsoftonline.us",
        app_scope: Some("https://outlook.office365.us/.default"),
        delegated_scope: "https://outlook.office365.us/SMTP.Send",
        ..WORLDWIDE
    },
    Cloud {
        name: "dod",
        upstream: "outlook-dod.office365.us:587",
        authority: "https://login.microsoftonline.us",
        app_scope: Some("https://outlook-dod.office365.us/.default"),
        delegated_scope: "https://outlook-dod.office365.us/SMTP.Send",
        doubt: Some(
            "sources disagree on the host and the scope of this cloud; if the sign-in fails, try \
             MAILSHIM_OAUTH_SCOPE=https://outlook.office365.us/.default",
        ),
        ..WORLDWIDE
    },
    Cloud {
        name: "china",
        upstream: "smtp.partner.outlook.cn:587",
        authority: "https://login.partner.microsoftonline.cn",
        app_scope: Some("https://partner.outlook.cn/.default"),
        delegated_scope: "https://partner.outlook.cn/SMTP.Send",
        ..WORLDWIDE
    },
    Cloud {
        name: "outlook.com",
        upstream: "smtp-mail.outlook.com:587",
        // Personal accounts: a person signs in (`mailshim login`), an application cannot.
        app_scope: None,
        tenant: Some("consumers"),
        ..WORLDWIDE
    },
    Cloud {
        name: "hve",
        // High Volume Email: recipients inside the organization, its own limits, no rate.
        upstream: "smtp.hve.mx.microsoft:587",
        max_recipients: "50",
        max_message_size: "10MB",
        messages_per_minute: "0",
        // "501 5.5.127 … Token will expire soon": refused in its last ten minutes.
        token_margin: Duration::from_secs(11 * 60),
        ..WORLDWIDE
    },
];

impl Default for &'static Cloud {
    fn default() -> Self {
        &CLOUDS[0]
    }
}

impl Cloud {
    /// What an Entra token for Azure's managed PostgreSQL is asked for (Microsoft, "Use Microsoft Entra ID for
    /// authentication with Azure Database for PostgreSQL").
    pub(super) fn database_scope(&self) -> &'static str {
        match self.name {
            "gcc-high" | "dod" => "https://ossrdbms-aad.database.usgovcloudapi.net/.default",
            "china" => "https://ossrdbms-aad.database.chinacloudapi.cn/.default",
            _ => "https://ossrdbms-aad.database.windows.net/.default",
        }
    }

    /// What holds here for a variable that is not set, where that is the cloud's affair.
    pub(super) fn default_text(&self, name: &str) -> Option<&'static str> {
        match name {
            "MAILSHIM_UPSTREAM" => Some(self.upstream),
            "AZURE_AUTHORITY_HOST" => Some(self.authority),
            "MAILSHIM_OAUTH_SCOPE" => self.app_scope,
            "MAILSHIM_TENANT_ID" => self.tenant,
            "MAILSHIM_MAX_RECIPIENTS" => Some(self.max_recipients),
            "MAILSHIM_MAX_MESSAGE_SIZE" => Some(self.max_message_size),
            "MAILSHIM_MESSAGES_PER_MINUTE" => Some(self.messages_per_minute),
            _ => None,
        }
    }
}

/// Parses `MAILSHIM_CLOUD`.
pub(super) fn cloud(text: &str) -> Result<&'static Cloud, String> {
    let name = text.to_ascii_lowercase();
    let names = || CLOUDS.map(|cloud| cloud.name).join(", ");
    CLOUDS
        .iter()
        .find(|cloud| cloud.name == name)
        .ok_or_else(|| format!("is not a cloud: write one of {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_is_found_by_its_name_and_another_is_not() {
        for row in &CLOUDS {
            assert_eq!(cloud(&row.name.to_uppercase()), Ok(row));
            assert!(row.authority.starts_with("https://") && row.upstream.ends_with(":587"));
        }
        assert!(cloud("gcc").unwrap_err().contains("gcc-high"));
    }
}
