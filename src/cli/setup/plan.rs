//! What is to be done, for whom, and by which right the application will send.

use crate::config::{SetUp, Way};

/// Whom the parts about Entra are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// Microsoft's PowerShell modules.
    Graph,
    /// The Azure CLI.
    Az,
}

/// What the script is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Set it up.
    Make,
    /// Take back what it set up.
    Undo,
}

/// Where the application's right to send comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// RBAC for Applications: in these mailboxes, and nothing else.
    Role,
    /// The API permission, and FullAccess to the mailboxes.
    Consent,
    /// The API permission Mail.Send, and the account's list of applications.
    HighVolume,
    /// No application sends: a person does, a password, a connector.
    None,
}

/// By which right, with this sign-in in this cloud: the least that is offered.
pub(super) fn right(set_up: &SetUp) -> Right {
    match set_up.way {
        Way::Refresh | Way::Password | Way::None => Right::None,
        _ if set_up.cloud.name == "hve" => Right::HighVolume,
        _ if has_roles(set_up) => Right::Role,
        _ => Right::Consent,
    }
}

/// RBAC for Applications is offered in the worldwide cloud alone.
fn has_roles(set_up: &SetUp) -> bool {
    set_up.cloud.name == "worldwide"
}

/// Personal accounts have no administrator, and no Exchange that one could ask.
pub(super) fn is_personal(set_up: &SetUp) -> bool {
    set_up.cloud.name == "outlook.com"
}

/// There is an application of ours, not an identity that Azure made.
pub(super) const fn has_application(way: Way) -> bool {
    matches!(way, Way::Secret | Way::Certificate | Way::Workload | Way::Refresh)
}
