//! A signed-in connection, and the one more try with a fresh token: the only place that has it.

use crate::credential::Credential;
use crate::identity::Identity;
use crate::outcome::{Fault, Retry};
use crate::upstream::connection::Connection;
use crate::upstream::connector::Connector;

/// Opens a signed-in connection. A token from the cache that is refused is replaced once.
///
/// # Errors
/// Which stage failed, and why.
pub async fn open(connector: &Connector, identity: &Identity) -> Result<Connection, Fault> {
    let mut renewed = false;
    loop {
        // First, so that a connection is not kept waiting for the token service.
        let credential = identity.credential().await?;
        match connector.open(&credential).await {
            Err(fault) if once_more(identity, &fault, &credential, &mut renewed) => {}
            opened => return opened,
        }
    }
}

/// Whether to try once more, with a fresh token, what was refused with this credential: the old token is thrown away.
/// Never with the same password again: Office 365 locks the account.
pub(super) fn once_more(
    identity: &Identity,
    fault: &Fault,
    credential: &Credential,
    renewed: &mut bool,
) -> bool {
    fault.retry() == Retry::OnceWithFreshToken
        && identity.refused(credential)
        && !std::mem::replace(renewed, true)
}
