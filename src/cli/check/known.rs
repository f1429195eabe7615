//! What is known beside the fault, when advice is sought.

use super::notes::Noted;
use super::token::Claims;
use crate::config::Config;

/// What is known beside the fault.
pub(super) struct Known<'a> {
    pub config: &'a Config,
    /// Of the way to Office 365.
    pub upstream: Noted,
    /// Of the way to the token service.
    pub token: Noted,
    pub claims: Option<Claims>,
    /// A variable such as HTTPS_PROXY that other programs would follow, and that mailshim does not.
    pub other_proxy: Option<&'static str>,
    /// Variables that are set under another name, with what to call them.
    pub names: &'a [(&'static str, String)],
    /// The port answers a TLS hello, as port 465 does.
    pub speaks_tls: bool,
}
