//! How a fleet's engine is reached, as it was configured: [`FleetOptions`].

use std::path::PathBuf;

use crate::names::HostPort;
use crate::secret::{Secret, SecretSource};

/// Where the engine is, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetOptions {
    /// In the order in which they are tried; read-only ones are passed over.
    pub hosts: Vec<HostPort>,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// How the role signs in.
    pub auth: FleetAuth,
    /// The schema.
    pub schema: String,
    /// Replicas that are assumed while the engine has never been seen.
    pub size: usize,
    /// What is done without the engine.
    pub unreachable: Unreachable,
}

/// How the role signs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetAuth {
    /// With a password; read again at each connection.
    Password(FleetPassword),
    /// With a client certificate: the files of chain and key, PEM.
    Certificate(PathBuf, PathBuf),
    /// With a token of the configured identity, for this scope.
    Entra(String),
}

/// Where the password stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetPassword {
    /// `MAILSHIM_FLEET_PASSWORD`.
    Variable(SecretSource),
    /// In `MAILSHIM_FLEET` itself.
    InUrl(Secret<String>),
}

/// What is done while the engine is not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// Mail goes on with this replica's share of the limits.
    Share,
    /// Nothing goes.
    Hold,
}

impl FleetAuth {
    /// Its name in `MAILSHIM_FLEET_AUTH`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Password(_) => "password",
            Self::Certificate(..) => "certificate",
            Self::Entra(_) => "entra",
        }
    }
}
