//! The app's side: where it connects, and the login that it must use.

use super::environment::Reader;
use super::variables;
use crate::credential::AppLogin;
use crate::names::{self, Listen};

/// `MAILSHIM_LISTEN`.
pub(super) fn listen(reader: &mut Reader) -> Option<Listen> {
    const NAME: &str = "MAILSHIM_LISTEN";
    let text = reader.text(NAME).or_else(|| variables::default_text(NAME))?.to_string();
    let mut addresses = Vec::new();
    let mut is_valid = true;
    for entry in text.split(',').map(str::trim) {
        match names::listen_entry(entry) {
            // `localhost:25,127.0.0.1:25` would fail at the second bind.
            Ok(found) => found.into_iter().for_each(|address| {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }),
            Err(problem) => {
                reader.refuse_value(NAME, entry, &problem);
                is_valid = false;
            }
        }
    }
    if is_valid {
        reader.accept(NAME);
    }
    is_valid.then(|| Listen { addresses, is_default: !reader.is_set(NAME) })
}

/// `MAILSHIM_APP_USERNAME` and `MAILSHIM_APP_PASSWORD`, both or neither.
pub(super) fn login(reader: &mut Reader) -> Option<AppLogin> {
    const USERNAME: &str = "MAILSHIM_APP_USERNAME";
    const PASSWORD: &str = "MAILSHIM_APP_PASSWORD";
    // Half a login must not pass for none: the listener would be open.
    if reader.is_set(USERNAME) {
        reader.require(
            PASSWORD,
            "MAILSHIM_APP_USERNAME is set; set both, or neither for an app without a login",
        );
    }
    if reader.is_set(PASSWORD) {
        reader.require(
            USERNAME,
            "MAILSHIM_APP_PASSWORD is set; set both, or neither for an app without a login",
        );
    }
    let password = reader.secret(PASSWORD);
    Some(AppLogin { username: reader.text(USERNAME)?.to_string(), password: password? })
}
