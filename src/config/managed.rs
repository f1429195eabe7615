//! Managed identity: where its local endpoint is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::HostPort;
use super::environment::Reader;
use super::value::is_guid;
use super::variables::RawEnv;
use crate::secret::SecretSource;

/// Where IMDS is on every Azure machine.
const IMDS: &str = "http://169.254.169.254";

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

/// An `http` URL that cannot leave this machine: its host is a loopback or link-local address, or `localhost`, which
/// is 127.0.0.1 or `[::1]` without asking any name service. A token travels over it in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalUrl {
    addresses: Vec<IpAddr>,
    host: String,
    port: u16,
    path: String,
}

impl LocalUrl {
    /// Reads `http://169.254.169.254` or `http://127.0.0.1:41741/msi/token`. Asks nobody about a name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "is not an http URL at a loopback or link-local address, such as http://169.254.169.254 or \
             http://127.0.0.1:41741/msi/token; a token travels over it in the clear, so no other address is taken"
                .to_string()
        };
        let scheme = "http://";
        let rest = text
            .get(..scheme.len())
            .filter(|start| start.eq_ignore_ascii_case(scheme))
            .map(|_| &text[scheme.len()..])
            .ok_or_else(wrong)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
            return Err(wrong());
        }
        let HostPort { host, port } = HostPort::read(authority, Some(80)).ok_or_else(wrong)?;
        let addresses = match host.parse() {
            Ok(ip) if stays_here(ip) => vec![ip],
            Err(_) if host.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            _ => return Err(wrong()),
        };
        Ok(Self { addresses, host, port, path: path.to_string() })
    }

    /// Where to connect, in this order.
    pub fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path, which may be empty.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Host and port for the Host field.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for LocalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

fn stays_here(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

pub(super) fn managed_identity(raw: &RawEnv, reader: &mut Reader) -> Option<ManagedIdentity> {
    const NAME: &str = "MAILSHIM_MANAGED_IDENTITY";
    reader.require(NAME, "set it to system, or to the client id of a user-assigned identity");
    let client_id = reader.value(NAME, raw.mailshim_managed_identity.as_deref(), |text| match text {
        "system" => Ok(None),
        id if is_guid(id) => Ok(Some(id.to_string())),
        _ => Err(
            "is not a managed identity: write system, or the Client ID of a user-assigned identity, such as \
                  8c1f6f3e-0b5d-4d0a-9a43-7f2b1c9e5d60"
                .to_string(),
        ),
    });
    let resource = reader.value("MAILSHIM_OAUTH_SCOPE", raw.mailshim_oauth_scope.as_deref(), |text| {
        super::sign_in::app_scope(text).map(|scope| scope.trim_end_matches(".default").to_string())
    });
    let endpoint = if reader.is_set("IDENTITY_ENDPOINT") {
        reader.require("IDENTITY_HEADER", "IDENTITY_ENDPOINT is set, and the platform sets both");
        let url = reader.value("IDENTITY_ENDPOINT", raw.identity_endpoint.as_deref(), LocalUrl::parse);
        let header = reader.secret("IDENTITY_HEADER", raw.identity_header.as_deref());
        url.zip(header).map(|(url, header)| ManagedEndpoint::AppService { url, header })
    } else {
        const HOST: &str = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
        let text = raw.azure_pod_identity_authority_host.as_deref().unwrap_or(IMDS);
        reader.value(HOST, Some(text.trim_end_matches('/')), LocalUrl::parse).map(ManagedEndpoint::Imds)
    };
    Some(ManagedIdentity { client_id: client_id?, endpoint: endpoint?, resource: resource? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_stay_on_this_machine() {
        for (text, shown) in [
            ("http://169.254.169.254", "http://169.254.169.254"),
            ("http://169.254.130.2:8081/msi/token", "http://169.254.130.2:8081/msi/token"),
            ("HTTP://127.0.0.1:41741/msi/token/", "http://127.0.0.1:41741/msi/token/"),
            ("http://localhost:42356/msi/token", "http://localhost:42356/msi/token"),
            ("http://[::1]:80/x", "http://[::1]/x"),
        ] {
            let url = LocalUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert!(url.addresses().iter().all(|ip| stays_here(*ip)), "{text}");
        }
        for text in [
            "https://127.0.0.1/msi/token",
            "http://10.0.0.1/msi/token",
            "http://169.255.0.1",
            "http://imds.contoso.com",
            "http://localhost.contoso.com",
            "http://127.0.0.1.nip.io",
            "http://user@127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1/a b",
            "http://127.0.0.1/?a=b",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:10.0.0.1]/",
            "127.0.0.1",
            "http://",
            "",
        ] {
            assert!(LocalUrl::parse(text).is_err(), "{text}");
        }
    }
}
