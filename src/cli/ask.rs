//! Asking the running shim over its own HTTP, for the commands that tell what it says.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The variable that says where.
pub(super) const HTTP_LISTEN: &str = "MAILSHIM_HTTP_LISTEN";
/// The most that is read of an answer: the status page's values are 40 KB at their largest.
pub(super) const ANSWER: u64 = 256 * 1024;

/// An answer's status line, its status, and its body.
pub(super) struct Answer {
    /// The first line.
    pub line: String,
    /// The status, if it is HTTP.
    pub status: Option<u16>,
    /// The body.
    pub body: String,
}

/// Where to ask an endpoint that is bound to `address`: a wildcard is asked on loopback.
pub(super) fn askable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// One GET. The bound holds for each step alone: three short ones at most.
///
/// # Errors
/// A sentence that names the address and the variable.
pub(super) fn get(address: SocketAddr, path: &str, accept: &str, bound: Duration) -> Result<Answer, String> {
    let ask = || {
        let mut stream = connect(address, bound)?;
        // 1.0: the answer is not chunked and ends with the connection.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\nAccept: {accept}\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().map_err(|error: io::Error| {
        format!("http://{address}{path} does not answer: {error} ({HTTP_LISTEN})")
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let line = head.lines().next().unwrap_or_default().to_string();
    let mut words = line.split_ascii_whitespace();
    let is_http = words.next().is_some_and(|version| version.starts_with("HTTP/1."));
    let status = words.next().filter(|_| is_http).and_then(|status| status.parse().ok());
    Ok(Answer { status, line, body: body.to_string() })
}

/// A connection whose reads and writes end in time.
///
/// # Errors
/// The operating system's.
pub(super) fn connect(address: SocketAddr, bound: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, bound)?;
    stream.set_read_timeout(Some(bound))?;
    stream.set_write_timeout(Some(bound))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_asked_on_loopback() {
        for (bound, asked) in
            [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.7:80", "10.0.0.7:80")]
        {
            assert_eq!(askable(bound.parse().unwrap()).to_string(), asked);
        }
    }
}
