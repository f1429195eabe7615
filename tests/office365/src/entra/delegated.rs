//! A person's sign-in: device codes and refresh tokens.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::grant::{Form, Granted, Refused, known_client, missing};
use crate::settings::DeviceEnd;
use crate::tenant::{Credentials, Tenant};

/// A refresh token that is not used ends after this.
const REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(90 * 86_400);

struct Device {
    polled: u32,
    asked: Instant,
}

struct RefreshToken {
    given: Duration,
    revoked: bool,
}

/// What the directory remembers of people's sign-ins.
pub(crate) struct Delegated {
    started: Instant,
    /// How far the clock of the refresh tokens has been put forward.
    forward: Mutex<Duration>,
    devices: Mutex<HashMap<String, Device>>,
    refresh_tokens: Mutex<HashMap<String, RefreshToken>>,
}

impl Default for Delegated {
    fn default() -> Delegated {
        Delegated {
            started: Instant::now(),
            forward: Mutex::default(),
            devices: Mutex::default(),
            refresh_tokens: Mutex::default(),
        }
    }
}

impl Delegated {
    fn now(&self) -> Duration {
        self.started.elapsed() + *self.forward.lock().unwrap()
    }

    pub(crate) fn put_forward(&self, by: Duration) {
        *self.forward.lock().unwrap() += by;
    }

    pub(crate) fn give(&self, token: &str) {
        let given = RefreshToken { given: self.now(), revoked: false };
        self.refresh_tokens.lock().unwrap().insert(token.to_owned(), given);
    }

    pub(crate) fn revoke(&self) {
        self.refresh_tokens.lock().unwrap().values_mut().for_each(|token| token.revoked = true);
    }
}

fn invalid_grant(code: u32, description: impl Into<String>) -> Refused {
    Refused::new(400, "invalid_grant", code, description)
}

fn no_secret(form: &Form) -> Result<(), Refused> {
    if form.contains_key("client_secret") || form.contains_key("client_assertion") {
        let description =
            "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.";
        return Err(Refused::new(401, "invalid_client", 700_025, description));
    }
    Ok(())
}

fn delegated_scope(tenant: &Tenant, form: &Form) -> Result<(), Refused> {
    let scope = form.get("scope").ok_or_else(|| missing("scope"))?;
    let mut scopes: Vec<&str> = scope.split(' ').collect();
    scopes.sort_unstable();
    let mut expected = [tenant.settings.delegated_scope.as_str(), "offline_access"];
    expected.sort_unstable();
    if scopes == expected {
        return Ok(());
    }
    let description = format!(
        "The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
    );
    Err(Refused::new(400, "invalid_scope", 70_011, description))
}

/// `POST /{tenant}/oauth2/v2.0/devicecode`
pub(super) fn device_code(tenant: &Tenant, credentials: &Credentials, form: &Form) -> Result<Value, Refused> {
    known_client(credentials, form)?;
    delegated_scope(tenant, form)?;
    let code = format!("DAQ{}", tenant.uuid().replace('-', ""));
    tenant
        .delegated
        .devices
        .lock()
        .unwrap()
        .insert(code.clone(), Device { polled: 0, asked: Instant::now() });
    Ok(json!({
        "user_code": "RK987NX32", "device_code": code, "verification_uri": "https://microsoft.com/devicelogin",
        "expires_in": 900, "interval": tenant.settings.device.interval.as_secs(),
        "message": "To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter the code RK987NX32 to authenticate.",
    }))
}

/// `grant_type=urn:ietf:params:oauth:grant-type:device_code`
pub(super) fn device_token(
    tenant: &Tenant,
    credentials: &Credentials,
    form: &Form,
) -> Result<Granted, Refused> {
    known_client(credentials, form)?;
    no_secret(form)?;
    let code = form.get("device_code").ok_or_else(|| missing("device_code"))?;
    let flow = &tenant.settings.device;
    let mut devices = tenant.delegated.devices.lock().unwrap();
    let Some(device) = devices.get_mut(code) else {
        return Err(Refused::new(400, "bad_verification_code", 70_018, "Invalid verification code."));
    };
    let pause = device.asked.elapsed();
    device.asked = Instant::now();
    device.polled += 1;
    if pause + Duration::from_millis(100) < flow.interval {
        tenant
            .record
            .violation(format!("the device code was asked about after {pause:?} (RFC 8628 section 3.5)"));
    }
    if device.polled <= flow.pending {
        let description = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
        return Err(Refused::new(400, "authorization_pending", 70_016, description));
    }
    devices.remove(code);
    match flow.end {
        DeviceEnd::Approved => Ok(Granted { refresh_token: Some(tenant.give_refresh_token()) }),
        DeviceEnd::Declined => {
            let description =
                "OAuth 2.0 device flow error. The end user has denied the authorization request.";
            Err(Refused::new(400, "authorization_declined", 70_017, description))
        }
        DeviceEnd::Expired => {
            let description = "OAuth 2.0 device flow error. The device code has expired.";
            Err(Refused::new(400, "expired_token", 70_020, description))
        }
    }
}

/// `grant_type=refresh_token`: a new refresh token at each use; the one before stays good.
pub(super) fn refresh(tenant: &Tenant, credentials: &Credentials, form: &Form) -> Result<Granted, Refused> {
    known_client(credentials, form)?;
    no_secret(form)?;
    delegated_scope(tenant, form)?;
    let presented = form.get("refresh_token").ok_or_else(|| missing("refresh_token"))?;
    {
        let now = tenant.delegated.now();
        let tokens = tenant.delegated.refresh_tokens.lock().unwrap();
        let token = tokens.get(presented).ok_or_else(|| {
            invalid_grant(70_000, "The provided authorization code or refresh token is not valid.")
        })?;
        if token.revoked {
            let description = "The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password.";
            return Err(invalid_grant(50_173, description));
        }
        if now - token.given >= REFRESH_TOKEN_LIFE {
            let description = "The refresh token has expired due to inactivity. The token was issued on 2026-08-01T08:00:00.0000000Z and was inactive for 90.00:00:00.";
            return Err(invalid_grant(700_082, description));
        }
    }
    Ok(Granted { refresh_token: Some(tenant.give_refresh_token()) })
}
