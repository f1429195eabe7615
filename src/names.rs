//! Addresses and names that exist only if valid: [`LoopbackAddr`], [`Listen`], [`HostPort`], [`Authority`], [`LocalUrl`],
//! [`Mailbox`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use std::str::FromStr;

/// A socket address that no other machine can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoopbackAddr(SocketAddr);

impl LoopbackAddr {
    /// Of 127.0.0.0/8 or ::1; nothing else. `::ffff:127.0.0.1` is taken as the 127.0.0.1 that it is. Port 0 is any free
    /// one; the log says which.
    pub fn new(address: SocketAddr) -> Option<Self> {
        let ip = address.ip().to_canonical();
        ip.is_loopback().then(|| Self(SocketAddr::new(ip, address.port())))
    }

    /// Reads `127.0.0.1:25` or `[::1]:25`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the address: what is wrong, and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Ok(address) = text.parse::<SocketAddr>() else {
            return Err(why_no_address(text));
        };
        Self::new(address).ok_or_else(|| OFF_LOOPBACK.to_string())
    }

    /// The address itself.
    pub const fn get(self) -> SocketAddr {
        self.0
    }
}

impl fmt::Display for LoopbackAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const OFF_LOOPBACK: &str = "is not a loopback address, and mailshim listens on no other: the boundary is the network \
     namespace. Run mailshim in the app's container, or as a sidecar in its network namespace (the same pod; \
     `network_mode: service:app` with Compose), and point the app at 127.0.0.1:25. Where others share that \
     namespace, set MAILSHIM_APP_USERNAME and MAILSHIM_APP_PASSWORD";

fn why_no_address(text: &str) -> String {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let port = text.strip_prefix(':').unwrap_or(text);
    if digits::<u16>(port).is_some() {
        return format!(
            "is a port without an address: write 127.0.0.1:{port}, or localhost:{port} for IPv6 too"
        );
    }
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => format!("has no port: write {ip}:25"),
        // `::1:25` is one IPv6 address to a parser, and an address with a port to a reader.
        Ok(IpAddr::V6(_)) => "has no port that could be told from the address: write [::1]:25".to_string(),
        Err(_) if text.eq_ignore_ascii_case("localhost") => "has no port: write localhost:25".to_string(),
        Err(_) => "is not an address with a port: write 127.0.0.1:25, [::1]:25 or localhost:25".to_string(),
    }
}

/// One entry of `MAILSHIM_LISTEN`: an address, or `localhost:25` for both families.
pub(crate) fn listen_entry(text: &str) -> Result<Vec<LoopbackAddr>, String> {
    match text.rsplit_once(':') {
        Some((name, port)) if name.eq_ignore_ascii_case("localhost") => {
            [format!("127.0.0.1:{port}"), format!("[::1]:{port}")]
                .iter()
                .map(|text| LoopbackAddr::parse(text))
                .collect()
        }
        _ => Ok(vec![LoopbackAddr::parse(text)?]),
    }
}

/// `MAILSHIM_HTTP_LISTEN`: any address with a port, or `off`.
pub(crate) fn http_listen(text: &str) -> Result<Option<SocketAddr>, String> {
    if text.eq_ignore_ascii_case("off") {
        return Ok(None);
    }
    let problem = "is not an address with a port: write 127.0.0.1:9025, 0.0.0.0:9025 for a scraper, or off";
    text.parse().map(Some).map_err(|_| problem.to_string())
}

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// At least one, none twice.
    pub addresses: Vec<LoopbackAddr>,
    /// Nothing was set: a host without IPv6 is fine.
    pub is_default: bool,
}

/// A host, by name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A DNS name, or an address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

impl HostPort {
    /// Reads `smtp.office365.com:587`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, None).ok_or_else(|| {
            "is not host:port, such as smtp.office365.com:587 (no scheme, no path)".to_string()
        })
    }

    /// The same with a port to fall back on, without words.
    pub(crate) fn read(text: &str, default_port: Option<u16>) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // The last colon of a bracketed address without a port stands inside the brackets.
            Some((host, port)) if !port.ends_with(']') => (host, digits(port)?),
            _ => (text, default_port?),
        };
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.to_string(),
            None if host.parse::<Ipv4Addr>().is_ok() || is_dns_name(host, 1) => host.to_string(),
            None => return None,
        };
        (port != 0).then_some(Self { host, port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// The token service: the origin of an https URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Authority(HostPort);

impl Authority {
    const PORT: u16 = 443;

    /// Reads `https://login.microsoftonline.com`, with or without a final slash (AKS sets it with one).
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let scheme = "https://";
        text.get(..scheme.len())
            .filter(|start| start.eq_ignore_ascii_case(scheme))
            .and_then(|_| HostPort::read(text[scheme.len()..].trim_end_matches('/'), Some(Self::PORT)))
            .map(Self)
            .ok_or_else(|| {
                "is not an https URL of a host alone, such as https://login.microsoftonline.com (no http, no path: \
                 the tenant goes into MAILSHIM_TENANT_ID)"
                    .to_string()
            })
    }

    /// Where to connect; the host is also the name to verify.
    pub const fn host_port(&self) -> &HostPort {
        &self.0
    }
}

impl fmt::Display for Authority {
    /// As a URL without a final slash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        write!(f, "https://{}", text.strip_suffix(":443").unwrap_or(&text))
    }
}

/// An address of Office 365 as RFC 5321's `Dot-string "@" Domain`: ASCII, nothing to quote, no control character that
/// could end a field of XOAUTH2 or a command line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mailbox {
    address: String,
    at: usize,
}

impl Mailbox {
    /// Reads `noreply@contoso.com`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.rsplit_once('@') {
            Some((local_part, domain)) if is_dot_string(local_part) && is_dns_name(domain, 2) => {
                Ok(Self { address: text.to_string(), at: local_part.len() })
            }
            _ => Err("is not the plain address of a mailbox, such as noreply@contoso.com".to_string()),
        }
    }

    /// What stands after the `@`.
    pub fn domain(&self) -> &str {
        &self.address[self.at + 1..]
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.address)
    }
}

/// RFC 5321 section 4.1.2, with the local part's limit of section 4.5.3.1.1.
fn is_dot_string(text: &str) -> bool {
    let is_atext = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    text.len() <= 64 && text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// Letters, digits and hyphens, in at least so many labels. Exchange answers 501 to an EHLO name with `_`, `..` or
/// a final dot; a last label of digits would be an address.
pub(crate) fn is_dns_name(text: &str, least_labels: usize) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number =
        text.rsplit('.').next().is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    text.len() <= 253
        && !last_is_number
        && text.split('.').count() >= least_labels
        && text.split('.').all(is_label)
}

/// A name fit for EHLO.
pub(crate) fn hostname(text: &str) -> Result<String, String> {
    if is_dns_name(text, 2) {
        Ok(text.to_string())
    } else {
        Err("is not a full host name that Office 365 takes: letters, digits and hyphens in two or more labels, \
             such as app.contoso.com"
            .to_string())
    }
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

/// A number written in digits alone (Rust's own parser takes `+5` too).
pub(crate) fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Result<String, String> {
        let addresses = listen_entry(text)?;
        Ok(addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn loopback_is_all_that_can_be_listened_on() {
        for (text, expected) in [
            ("127.0.0.1:25", "127.0.0.1:25"),
            ("127.8.9.10:2525", "127.8.9.10:2525"),
            ("[::1]:25", "[::1]:25"),
            ("[::ffff:127.0.0.1]:25", "127.0.0.1:25"),
            ("localhost:25", "127.0.0.1:25 [::1]:25"),
            ("LocalHost:2525", "127.0.0.1:2525 [::1]:2525"),
        ] {
            assert_eq!(entries(text).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "0.0.0.0:25",
            "[::]:25",
            "10.0.0.1:25",
            "128.0.0.1:25",
            "[fe80::1]:25",
            "[::ffff:10.0.0.1]:25",
            "[::2]:25",
        ] {
            let problem = entries(text).unwrap_err();
            assert!(
                problem.contains("network namespace") && problem.contains("127.0.0.1:25"),
                "{text}: {problem}"
            );
        }
    }

    #[test]
    fn an_address_that_is_none_says_what_to_write() {
        for (text, hint) in [
            ("25", "port without an address: write 127.0.0.1:25"),
            (":2525", "port without an address: write 127.0.0.1:2525"),
            ("127.0.0.1", "has no port: write 127.0.0.1:25"),
            ("localhost", "has no port: write localhost:25"),
            ("::1", "write [::1]:25"),
            ("[::1]", "write [::1]:25"),
            ("::1:25", "write [::1]:25"),
            ("localhost:smtp", "is not an address with a port"),
            ("127.0.0.1:99999", "is not an address with a port"),
            ("mail.contoso.com:25", "is not an address with a port"),
            ("127.1:25", "is not an address with a port"),
        ] {
            let problem = entries(text).unwrap_err();
            assert!(problem.contains(hint), "{text}: {problem}");
        }
    }

    #[test]
    fn host_and_port() {
        for text in ["smtp.office365.com:587", "sim:2525", "127.0.0.1:587", "[::1]:587"] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HostPort::parse("[::1]:587").unwrap().host, "::1");
        for text in [
            "smtp.office365.com",
            "smtp.office365.com:",
            "smtp.office365.com:0",
            "smtp.office365.com:+587",
            "smtp.office365.com:65536",
            "smtp://smtp.office365.com:587",
            "user:secret@smtp.office365.com:587",
            "smtp.office365.com.:587",
            ":587",
            "::1:587",
            "[::1]",
            "300.0.0.1:587",
            "a b:587",
        ] {
            assert!(HostPort::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_authority_is_https_and_a_host_alone() {
        for (text, url) in [
            ("https://login.microsoftonline.com", "https://login.microsoftonline.com"),
            ("https://login.microsoftonline.com/", "https://login.microsoftonline.com"),
            ("HTTPS://login.microsoftonline.us:443/", "https://login.microsoftonline.us"),
            ("https://localhost:8443", "https://localhost:8443"),
            ("https://[::1]:8443/", "https://[::1]:8443"),
            ("https://[::1]", "https://[::1]"),
        ] {
            assert_eq!(Authority::parse(text).unwrap().to_string(), url);
        }
        for text in [
            "http://login.microsoftonline.com",
            "login.microsoftonline.com",
            "https://",
            "https://login.microsoftonline.com/common",
            "https://user:secret@login.microsoftonline.com",
            "https://login.microsoftonline.com?x",
            "https://login.microsoftonline.com#x",
            "https:/é",
        ] {
            assert!(Authority::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn mailboxes() {
        let mailbox = Mailbox::parse("no-reply+app@mail.contoso.com").unwrap();
        assert_eq!(
            (mailbox.domain(), mailbox.to_string().as_str()),
            ("mail.contoso.com", "no-reply+app@mail.contoso.com")
        );
        let long = format!("{}@contoso.com", "a".repeat(65));
        for text in [
            "",
            "noreply",
            "@contoso.com",
            "noreply@",
            "noreply@localhost",
            "noreply@10.0.0.1",
            "<noreply@contoso.com>",
            "No Reply <noreply@contoso.com>",
            "a..b@contoso.com",
            "a\u{1}b@contoso.com",
            "a\r\nb@contoso.com",
            "a@b@contoso.com",
            "\"a b\"@contoso.com",
            "nö@contoso.com",
            "a@contoso..com",
            "a@con_toso.com",
            &long,
        ] {
            assert!(Mailbox::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn host_names() {
        for text in ["contoso.com", "app-1.eu.contoso.com", "a.b1"] {
            assert!(hostname(text).is_ok(), "{text}");
        }
        let long = format!("{}.com", "a.".repeat(130));
        for text in [
            "",
            "localhost",
            "MacBook..",
            "a_b.com",
            "-a.com",
            "a-.com",
            "contoso.com.",
            "1.2.3.4",
            "ä.com",
            &long,
        ] {
            assert!(hostname(text).is_err(), "{text}");
        }
    }

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
