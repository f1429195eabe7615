//! What was configured about the app's connections.

use super::step::Limits;
use crate::credential::AppLogin;

/// What was configured about the app's connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// The machine's limits.
    pub limits: Limits,
    /// The login that the app must use; without it, any is accepted and none is needed.
    pub app_login: Option<AppLogin>,
    /// Connections of the app at once.
    pub max_sessions: usize,
}
