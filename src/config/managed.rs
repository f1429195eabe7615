//! Managed identity: where its local endpoint is.

use super::environment::Reader;
use super::value::is_guid;
use crate::identity::sign_in::{ManagedEndpoint, ManagedIdentity};
use crate::names::LocalUrl;

/// Where IMDS is on every Azure machine.
const IMDS: &str = "http://169.254.169.254";

pub(super) fn managed_identity(reader: &mut Reader) -> Option<ManagedIdentity> {
    const NAME: &str = "MAILSHIM_MANAGED_IDENTITY";
    reader.require(NAME, "set it to system, or to the client id of a user-assigned identity");
    let client_id = reader.value(NAME, |text| match text {
        "system" => Ok(None),
        id if is_guid(id) => Ok(Some(id.to_string())),
        _ => Err(
            "is not a managed identity: write system, or the Client ID of a user-assigned identity, such as \
                  8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60"
                .to_string(),
        ),
    });
    let resource = reader.value("MAILSHIM_OAUTH_SCOPE", |text| {
        super::application::app_scope(text).map(|scope| scope.trim_end_matches(".default").to_string())
    });
    let endpoint = if reader.is_set("IDENTITY_ENDPOINT") {
        reader.require("IDENTITY_HEADER", "IDENTITY_ENDPOINT is set, and the platform sets both");
        let url = reader.value("IDENTITY_ENDPOINT", LocalUrl::parse);
        let header = reader.secret("IDENTITY_HEADER");
        url.zip(header).map(|(url, header)| ManagedEndpoint::AppService { url, header })
    } else {
        const HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
        let url = |text: &str| LocalUrl::parse(text.trim_end_matches('/'));
        reader.value_or(HOST, Some(IMDS), url).map(ManagedEndpoint::Imds)
    };
    Some(ManagedIdentity { client_id: client_id?, endpoint: endpoint?, resource: resource? })
}
