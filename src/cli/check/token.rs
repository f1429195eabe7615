//! What a token says of itself, without the token.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::Value;

use super::rung::Rung;
use crate::config::Config;
use crate::identity::sign_in::{Application, SignIn, TokenSource};
use crate::secret::{Secret, read_value_file};

/// Longest claim that is shown.
const LONGEST: usize = 200;
/// Roles that are shown.
const MAX_ROLES: usize = 20;

/// The role that Office 365 looks for, where the permission was granted in Entra.
const SEND_AS_APP: &str = "SMTP.SendAsApp";

/// The claims that matter here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    pub aud: Option<String>,
    pub appid: Option<String>,
    pub tid: Option<String>,
    pub roles: Vec<String>,
    pub scp: Option<String>,
    /// The Enterprise application's Object ID.
    pub oid: Option<String>,
    pub exp: Option<i64>,
}

impl Claims {
    /// Reads the payload. `None` for a token that is none: some are opaque. Nothing is verified:
    /// that is Office 365's to do.
    pub(super) fn of(token: &Secret<String>) -> Option<Self> {
        let claims = payload(token.expose())?;
        let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
        let text = |name: &str| claims[name].as_str().map(short);
        let roles = claims["roles"].as_array().into_iter().flatten();
        Some(Self {
            aud: text("aud"),
            appid: text("appid").or_else(|| text("azp")),
            tid: text("tid"),
            roles: roles.filter_map(Value::as_str).take(MAX_ROLES).map(short).collect(),
            scp: text("scp"),
            oid: text("oid"),
            exp: claims["exp"].as_i64(),
        })
    }

    /// It is for another service than Office 365's mail, as far as can be told.
    pub(super) fn wrong_audience(&self) -> Option<&str> {
        let aud = self.aud.as_deref()?;
        let is_graph = aud.contains("graph.") || aud == "00000003-0000-0000-c000-000000000000";
        is_graph.then_some(aud)
    }

    pub(super) fn may_send(&self) -> bool {
        self.roles.iter().any(|role| role == SEND_AS_APP)
    }

    /// Onto the rung.
    pub(super) fn tell(&self, config: &Config, rung: &mut Rung) {
        let mut words = Vec::new();
        for (name, value) in [
            ("aud", &self.aud),
            ("appid", &self.appid),
            ("oid", &self.oid),
            ("tid", &self.tid),
            ("scp", &self.scp),
        ] {
            if let Some(value) = value {
                words.push(format!("{name} {value}"));
                rung.fact(name, value.as_str());
            }
        }
        if !self.roles.is_empty() {
            words.push(format!("roles {}", self.roles.join(" ")));
        }
        rung.fact("roles", self.roles.clone());
        if let Some(exp) = self.exp {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() as i64;
            words.push(format!("exp in {}", long((exp - now).unsigned_abs())));
            rung.fact("exp", exp);
        }
        rung.see(words.join(", "));
        if let Some(aud) = self.wrong_audience() {
            rung.warnings
                .push(format!("the token is for {aud}, not for Office 365's mail: it will be refused"));
        }
        let asked = application(config).map(|application| application.tenant.as_str());
        if let (Some(asked), Some(tid)) = (asked, self.tid.as_deref())
            && asked.len() == tid.len()
            && !asked.eq_ignore_ascii_case(tid)
        {
            rung.warnings
                .push(format!("the token is of the tenant {tid}, and MAILSHIM_TENANT_ID is {asked}"));
        }
        if self.scp.is_none() && !self.may_send() {
            rung.warnings.push(format!(
                "no role {SEND_AS_APP} in it: right with RBAC for Applications, where Exchange itself knows the role"
            ));
        }
    }
}

/// What a platform's token says of the pod, for the federated credential that must say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Federated {
    pub issuer: String,
    pub subject: String,
    pub audience: String,
}

impl Federated {
    /// Reads it from the token in the file of `AZURE_FEDERATED_TOKEN_FILE`.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let SignIn::Token(TokenSource::Workload(_, path)) = &config.identity.sign_in else { return None };
        let claims = payload(&read_value_file(path).ok()?)?;
        let short = |value: &Value| value.as_str().map(|text| text.chars().take(LONGEST).collect::<String>());
        let audience = claims["aud"].as_array().and_then(|list| list.first()).unwrap_or(&claims["aud"]);
        Some(Self {
            issuer: short(&claims["iss"])?,
            subject: short(&claims["sub"])?,
            audience: short(audience)?,
        })
    }
}

/// A JWT's payload (RFC 7519 section 3).
fn payload(token: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

/// A time as a person would say it.
pub(super) fn long(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} seconds"),
        120..7200 => format!("{} minutes", seconds / 60),
        7200..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The app registration that signs in, where one does.
pub(super) const fn application(config: &Config) -> Option<&Application> {
    match &config.identity.sign_in {
        SignIn::Token(
            TokenSource::Secret(application, _)
            | TokenSource::Certificate(application, _)
            | TokenSource::Workload(application, _)
            | TokenSource::Refresh(application, _),
        ) => Some(application),
        SignIn::Token(TokenSource::Managed(_)) | SignIn::Password(_) | SignIn::None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(payload: &str) -> Secret<String> {
        Secret::new(format!("eyJ0.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn claims_are_read_and_bounded() {
        let claims = Claims::of(&token(r#"{"aud":"a","azp":"b","tid":3,"roles":["r",1],"exp":9}"#)).unwrap();
        let expected = Claims {
            aud: Some("a".into()),
            appid: Some("b".into()),
            roles: vec!["r".into()],
            exp: Some(9),
            ..Claims::default()
        };
        assert_eq!(claims, expected);
        let long = Claims::of(&token(&format!(r#"{{"aud":"{}"}}"#, "x".repeat(9000)))).unwrap();
        assert_eq!(long.aud.map(|aud| aud.len()), Some(LONGEST));
        for opaque in ["EwBAAl3BAAUFFpUAo7J3", "a.b.c", "..", ""] {
            assert_eq!(Claims::of(&Secret::new(opaque.to_string())), None, "{opaque}");
        }
    }
}
