//! What a mailbox signs in with, as it was configured: [`IdentityOptions`].

use std::path::PathBuf;
use std::time::Duration;

use crate::identity::certificate_file::CertificateFile;
use crate::names::{Authority, LocalUrl, Mailbox};
use crate::secret::SecretSource;

/// Who signs in, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityOptions {
    /// The mailbox that signs in and sends.
    pub mailbox: Mailbox,
    /// How it signs in.
    pub sign_in: SignIn,
    /// A token is not used in this last part of its life, unless it lives hardly longer.
    pub token_margin: Duration,
}

/// How to sign in to Office 365.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignIn {
    /// XOAUTH2 with tokens.
    Token(TokenSource),
    /// AUTH LOGIN with the mailbox's password.
    Password(SecretSource),
    /// Not at all: a connector of the tenant knows us.
    None,
}

/// Where access tokens come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// Client credentials with a client secret.
    Secret(Application, SecretSource),
    /// Client credentials with an assertion that a certificate's key signs.
    Certificate(Application, CertificateFile),
    /// Client credentials with the assertion that the platform keeps in this file.
    Workload(Application, PathBuf),
    /// The platform's own endpoint.
    Managed(ManagedIdentity),
    /// The refresh token that is in this file.
    Refresh(Application, PathBuf),
}

/// An app registration, the token service that knows it, and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// A GUID or a domain (delegated: also `organizations` and its like): fit for a URL's path as it is.
    pub tenant: String,
    /// A GUID.
    pub client_id: String,
    /// The token service.
    pub authority: Authority,
    /// What the token is asked for.
    pub scope: String,
}

impl SignIn {
    /// Its name in `MAILSHIM_AUTH`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Token(TokenSource::Secret(..)) => "secret",
            Self::Token(TokenSource::Certificate(..)) => "certificate",
            Self::Token(TokenSource::Workload(..)) => "workload",
            Self::Token(TokenSource::Managed(_)) => "managed",
            Self::Token(TokenSource::Refresh(..)) => "refresh",
            Self::Password(_) => "password",
            Self::None => "none",
        }
    }
}

/// A token that the platform gives to whoever runs here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// A user-assigned identity; `None` for the system-assigned one.
    pub client_id: Option<String>,
    /// Who is asked.
    pub endpoint: ManagedEndpoint,
    /// What the token is for, in version 1's form: no `.default`.
    pub resource: String,
}

/// Who gives the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManagedEndpoint {
    /// App Service, Functions, Container Apps.
    AppService {
        /// `IDENTITY_ENDPOINT`.
        url: LocalUrl,
        /// `IDENTITY_HEADER`.
        header: SecretSource,
    },
    /// A virtual machine's metadata service, or what stands in for it.
    Imds(LocalUrl),
}
