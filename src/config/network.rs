//! Sockets and TLS: the upstream, the egress proxy, extra roots, the certificate that a connector knows us by, and the
//! HTTP listener.

use std::net::SocketAddr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::environment::Reader;
use super::value;
use crate::alert::AlertOptions;
use crate::names::{self, HostPort};
use crate::secret::{Secret, bare};
use crate::transport::proxy::{EgressProxy, Exceptions, Login, Protocol};
use crate::transport::tls::ConnectorCertificate;

/// `MAILSHIM_HTTP_LISTEN`: `None` inside for nowhere.
pub(super) fn http_listen(reader: &mut Reader) -> Option<Option<SocketAddr>> {
    reader.value("MAILSHIM_HTTP_LISTEN", names::http_listen)
}

/// `MAILSHIM_ALERT_URL`.
pub(super) fn alerts(reader: &mut Reader) -> Option<AlertOptions> {
    const NAME: &str = "MAILSHIM_ALERT_URL";
    let url = reader.secret(NAME)?;
    let text = bare(reader.text(NAME)?).to_string();
    // The value is a secret, which is never said back.
    AlertOptions::new(url, &text).map_err(|problem| reader.refuse_value(NAME, &text, &problem)).ok()
}

/// `MAILSHIM_UPSTREAM`.
pub(super) fn upstream(reader: &mut Reader) -> Option<HostPort> {
    let upstream = reader.value("MAILSHIM_UPSTREAM", HostPort::parse)?;
    if upstream.port == 465 {
        reader.warn(
            "MAILSHIM_UPSTREAM: port 465 begins with TLS, which Office 365 does not offer and mailshim does \
             not speak; use 587",
        );
    }
    Some(upstream)
}

/// `MAILSHIM_CA_FILE`: its contents are judged when TLS is set up.
pub(super) fn ca_file(reader: &mut Reader) -> Option<PathBuf> {
    reader.value("MAILSHIM_CA_FILE", value::readable_file)
}

const PROXY: &str = "MAILSHIM_EGRESS_PROXY";

/// `MAILSHIM_EGRESS_PROXY` with `NO_PROXY`.
pub(super) fn egress_proxy(reader: &mut Reader) -> Option<EgressProxy> {
    let exceptions = Exceptions::parse(reader.text("NO_PROXY").unwrap_or_default());
    match parse(reader.text(PROXY)?.trim()) {
        Ok((protocol, address, login)) => {
            Some(EgressProxy { protocol, host: address.host, port: address.port, login, exceptions })
        }
        // Never the value: it may hold a password.
        Err(problem) => {
            reader.refuse(PROXY, problem);
            None
        }
    }
}

fn parse(text: &str) -> Result<(Protocol, HostPort, Option<Login>), String> {
    const FORM: &str = "write http://proxy.example:3128 or socks5h://proxy.example:1080, with user:password@ before \
                        the host where the proxy asks for it (percent-encoded)";
    let (scheme, rest) = text.split_once("://").ok_or_else(|| format!("is not a URL: {FORM}"))?;
    let protocol = match scheme.to_ascii_lowercase().as_str() {
        "http" => Protocol::Connect,
        "socks5h" => Protocol::Socks5,
        "socks5" => {
            return Err("would resolve names here: write socks5h://, the proxy resolves them".to_string());
        }
        "https" => return Err(format!("speaks TLS to the proxy, which is not supported: {FORM}")),
        _ => return Err(format!("has an unknown scheme: {FORM}")),
    };
    let rest = rest.trim_end_matches('/');
    let (login, address) = match rest.rsplit_once('@') {
        Some((login, address)) => (Some(login), address),
        None => (None, rest),
    };
    let address = HostPort::parse(address).map_err(|_| format!("names no host and port: {FORM}"))?;
    let login = match login {
        None => None,
        Some(login) => {
            let (username, password) = login.split_once(':').unwrap_or((login, ""));
            let decoded = |text: &str| {
                let text = percent_decode_str(text).decode_utf8();
                text.map(|text| Secret::new(text.into_owned()))
                    .map_err(|_| "its login is not UTF-8".to_string())
            };
            Some(Login { username: decoded(username)?, password: decoded(password)? })
        }
    };
    Ok((protocol, address, login))
}

/// `MAILSHIM_TLS_CERT_FILE` and `MAILSHIM_TLS_KEY_FILE`, both or neither.
pub(super) fn connector_certificate(reader: &mut Reader) -> Option<ConnectorCertificate> {
    const CERTIFICATE: &str = "MAILSHIM_TLS_CERT_FILE";
    const KEY: &str = "MAILSHIM_TLS_KEY_FILE";
    if reader.is_set(CERTIFICATE) {
        reader.require(KEY, "MAILSHIM_TLS_CERT_FILE is set, and a certificate is of no use without its key");
    }
    if reader.is_set(KEY) {
        reader.require(
            CERTIFICATE,
            "MAILSHIM_TLS_KEY_FILE is set, and a key is of no use without its certificate",
        );
    }
    let chain = reader.value(CERTIFICATE, value::readable_file);
    let key = reader.value(KEY, value::readable_file);
    Some(ConnectorCertificate { chain: chain?, key: key? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_a_url_with_host_and_port() {
        let (protocol, address, login) = parse("http://us%3Aer:p%40ss:w@proxy.example:3128/").unwrap();
        assert_eq!((protocol, address.to_string().as_str()), (Protocol::Connect, "proxy.example:3128"));
        let login = login.unwrap();
        assert_eq!((login.username.expose().as_str(), login.password.expose().as_str()), ("us:er", "p@ss:w"));
        let (protocol, address, login) = parse("SOCKS5H://[::1]:1080").unwrap();
        assert_eq!((protocol, address.to_string().as_str(), login), (Protocol::Socks5, "[::1]:1080", None));
        for (text, words) in [
            ("proxy:3128", "is not a URL"),
            ("socks5://proxy:1080", "socks5h"),
            ("https://proxy:443", "not supported"),
            ("ftp://proxy:1", "unknown scheme"),
            ("http://proxy", "no host and port"),
            ("http://u:p@", "no host and port"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
    }
}
