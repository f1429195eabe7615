//! The way to a fleet's PostgreSQL, for all that go it: dial, TLS, and the role's password.

use std::path::Path;
use std::sync::Arc;

use crate::config::for_scope;
use crate::credential::Credential;
use crate::deadlines::Deadlines;
use crate::fleet::engine::{Password, PasswordSource, Reach};
use crate::fleet::{FleetAuth, FleetOptions, FleetPassword};
use crate::identity::Identity;
use crate::identity::sign_in::IdentityOptions;
use crate::transport::dial::Dialer;
use crate::transport::http::Http;
use crate::transport::proxy::EgressProxy;
use crate::transport::tls::{self, ConnectorCertificate};

/// What the way depends on, besides the fleet's own options.
pub struct Around<'a> {
    /// Extra roots.
    pub ca_file: Option<&'a Path>,
    /// The proxy to the token service; the engine itself is never proxied.
    pub egress_proxy: Option<&'a EgressProxy>,
    /// The configured identity, whose token may be the password.
    pub identity: Option<&'a IdentityOptions>,
}

/// How the engine of this fleet is reached.
///
/// # Errors
/// A file that the configuration names cannot be used.
pub fn reach(options: &FleetOptions, around: &Around<'_>, deadlines: &Deadlines) -> Result<Reach, String> {
    let certificate = match &options.auth {
        FleetAuth::Certificate(chain, key) => {
            Some(ConnectorCertificate { chain: chain.clone(), key: key.clone() })
        }
        FleetAuth::Password(_) | FleetAuth::Entra(_) => None,
    };
    let config = tls::client_config(around.ca_file, certificate.as_ref()).map_err(|problem| {
        // The words are those of the connector's certificate, whose variables are others.
        problem.replace("MAILSHIM_TLS_", "MAILSHIM_FLEET_")
    })?;
    let password = password(options, around, deadlines)?;
    Ok(Reach { dialer: Dialer::new(deadlines, None), tls: config, password })
}

fn password(
    options: &FleetOptions,
    around: &Around<'_>,
    deadlines: &Deadlines,
) -> Result<PasswordSource, String> {
    Ok(match &options.auth {
        FleetAuth::Certificate(..) => always(|| Ok(None)),
        FleetAuth::Password(FleetPassword::InUrl(password)) => {
            let password = password.clone();
            always(move || Ok(Some(password.clone())))
        }
        FleetAuth::Password(FleetPassword::Variable(source)) => {
            let source = source.clone();
            always(move || source.read().map(Some))
        }
        FleetAuth::Entra(scope) => {
            let identity = around.identity.and_then(|identity| {
                let sign_in = for_scope(&identity.sign_in, scope)?;
                Some(IdentityOptions { sign_in, ..identity.clone() })
            });
            let identity = identity
                .ok_or("the role signs in with an Entra token, and nobody is configured who has one")?;
            let dialer = Dialer::new(deadlines, around.egress_proxy.cloned());
            let http = Http::new(dialer, tls::client_config(around.ca_file, None)?, deadlines);
            let identity = Arc::new(Identity::new(&identity, http));
            Arc::new(move || {
                let identity = Arc::clone(&identity);
                Box::pin(async move {
                    match identity.credential().await {
                        Ok(Credential::Xoauth2 { token, .. }) => Ok(Some(token)),
                        Ok(_) => Ok(None),
                        Err(fault) => Err(fault.to_string()),
                    }
                })
            })
        }
    })
}

fn always(password: impl Fn() -> Password + Send + Sync + 'static) -> PasswordSource {
    Arc::new(move || {
        let password = password();
        Box::pin(async move { password })
    })
}
