//! OAuth's token requests and responses, pure: a grant is one function that gives a [`TokenRequest`], and
//! [`TokenRequest::interpret`] reads the answer to any of them (RFC 6749 sections 4.4, 5 and 6; OFFICE365.md section 6).
//! Managed identity is no grant of OAuth's, but its answers are read here too.

mod answer;
mod request;
mod secret;
mod assertion;
mod managed;
mod refresh;
mod device;

pub use answer::Token;
pub use assertion::{Assertion, client_assertion, signed_assertion};
pub use device::{Polled, device_code, device_token};
pub use managed::{app_service, imds};
pub use refresh::refresh_token;
pub use request::{TokenRequest, token_path};
pub use secret::client_secret;

#[cfg(test)]
mod tests;
