//! The SASL exchanges of both sides (RFC 4954): PLAIN and LOGIN from the app, LOGIN and XOAUTH2 to Office 365.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::secret::Secret;

/// Old apps forget the padding; nothing is lost by reading on.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// LOGIN's first prompt, `Username:`.
pub const PROMPT_USERNAME: &str = "VXNlcm5hbWU6";
/// LOGIN's second prompt, `Password:`.
pub const PROMPT_PASSWORD: &str = "UGFzc3dvcmQ6";

/// A user name and password that the app gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The user name; it may be a secret pasted into the wrong field, so it is not printed either.
    pub username: Secret<Vec<u8>>,
    /// The password.
    pub password: Secret<Vec<u8>>,
}

impl Login {
    /// Wraps both, so that neither is printed.
    pub const fn new(username: Vec<u8>, password: Vec<u8>) -> Self {
        Self { username: Secret::new(username), password: Secret::new(password) }
    }
}

/// Decodes one response; `=` alone is the empty one (RFC 4954 section 4).
pub fn decode(response: &[u8]) -> Option<Vec<u8>> {
    if response == b"=" { Some(Vec::new()) } else { BASE64.decode(response).ok() }
}

/// Encodes one response.
pub fn encode(response: &[u8]) -> String {
    BASE64.encode(response)
}

/// PLAIN's one response: authorization identity, NUL, user name, NUL, password (RFC 4616).
pub fn plain(response: &[u8]) -> Option<Login> {
    let mut parts = response.splitn(3, |octet| *octet == 0);
    let (_authorization, username, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Login { username: Secret::new(username.to_vec()), password: Secret::new(password.to_vec()) })
}

/// XOAUTH2's one response, encoded (Microsoft, "Authenticate an IMAP, POP or SMTP connection using OAuth").
pub fn xoauth2(user: &str, token: &Secret<String>) -> Secret<String> {
    Secret::new(encode(format!("user={user}\x01auth=Bearer {}\x01\x01", token.expose()).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xoauth2_is_microsofts_own_example() {
        let token = Secret::new("EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA".to_string());
        assert_eq!(
            xoauth2("test@contoso.onmicrosoft.com", &token).expose(),
            "dXNlcj10ZXN0QGNvbnRvc28ub25taWNyb3NvZnQuY29tAWF1dGg9QmVhcmVyIEV3QkFBbDNCQUFVRkZwVUFvN0ozVmUwYmpMQldaV0NjbFJDM0VvQUEBAQ=="
        );
    }

    #[test]
    fn the_prompts_are_username_and_password() {
        assert_eq!(decode(PROMPT_USERNAME.as_bytes()).unwrap(), b"Username:");
        assert_eq!(decode(PROMPT_PASSWORD.as_bytes()).unwrap(), b"Password:");
    }

    #[test]
    fn plain_needs_two_nuls() {
        let login = plain(b"\0user\0pass\0word").unwrap();
        assert_eq!(
            (login.username.expose().as_slice(), login.password.expose().as_slice()),
            (&b"user"[..], &b"pass\0word"[..])
        );
        assert_eq!(plain(b"user\0pass"), None);
        assert_eq!(plain(b""), None);
    }

    #[test]
    fn missing_padding_is_forgiven() {
        assert_eq!(decode(b"YWI"), Some(b"ab".to_vec()));
        assert_eq!(decode(b"YWI="), Some(b"ab".to_vec()));
        assert_eq!(decode(b"="), Some(vec![]));
        assert_eq!(decode(b"Y*"), None);
    }
}
