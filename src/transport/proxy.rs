//! The egress proxy: HTTP CONNECT (RFC 9110 section 9.3.6) or SOCKS5 (RFC 1928, 1929), for SMTP and for tokens. The
//! name is resolved by the proxy, and TLS is verified end to end: the proxy sees ciphertext.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::header::{HOST, PROXY_AUTHORIZATION};
use hyper::{Method, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_socks::tcp::Socks5Stream;

use crate::outcome::{Cause, Fault, ProxyFault, ProxyReason, Stage};
use crate::secret::Secret;
use crate::wire::{BoxedWire, HyperIo};

/// How the proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `http://`: CONNECT.
    Connect,
    /// `socks5h://`.
    Socks5,
}

/// A user name and a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Decoded.
    pub username: Secret<String>,
    /// Decoded.
    pub password: Secret<String>,
}

/// The egress proxy, `MAILSHIM_EGRESS_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressProxy {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What it asks for.
    pub login: Option<Login>,
    /// `NO_PROXY`.
    pub exceptions: Exceptions,
}

/// The hosts that are reached without the proxy: names with all that is below them, addresses, or `*` for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exceptions(Vec<String>);

impl Exceptions {
    /// Reads `NO_PROXY` as curl does: a list of names at commas; a leading dot says nothing.
    pub fn parse(list: &str) -> Self {
        let names =
            list.split([',', ' ']).map(|name| name.trim().trim_start_matches('.').to_ascii_lowercase());
        Self(names.filter(|name| !name.is_empty()).collect())
    }

    /// Whether `host` is reached directly.
    pub fn hold(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let is_address = host.parse::<IpAddr>().is_ok();
        self.0.iter().any(|name| {
            name == "*"
                || *name == host
                || (!is_address && host.strip_suffix(name.as_str()).is_some_and(|above| above.ends_with('.')))
        })
    }
}

impl EgressProxy {
    /// A tunnel to `host` through `socket`, a connection to the proxy.
    ///
    /// # Errors
    /// A fault of stage `Connect` with the proxy's reason.
    pub async fn tunnel(&self, socket: TcpStream, host: &str, port: u16) -> Result<BoxedWire, Fault> {
        match self.protocol {
            Protocol::Connect => self.connect(socket, host, port).await,
            Protocol::Socks5 => self.socks5(socket, host, port).await,
        }
    }

    async fn connect(&self, socket: TcpStream, host: &str, port: u16) -> Result<BoxedWire, Fault> {
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = Request::builder().method(Method::CONNECT).uri(&authority).header(HOST, &authority);
        if let Some(Login { username, password }) = &self.login {
            let login = STANDARD.encode(format!("{}:{}", username.expose(), password.expose()));
            request = request.header(PROXY_AUTHORIZATION, format!("Basic {login}"));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.broken(error))?;
        let (mut sender, connection) =
            http1::handshake(HyperIo(socket)).await.map_err(|error| self.broken(error))?;
        let connection = connection.with_upgrades();
        let upgraded = async {
            let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
            match response.status() {
                status if status.is_success() => {
                    hyper::upgrade::on(response).await.map_err(|error| self.broken(error))
                }
                // tinyproxy says 407 where a login is missing and 401 where it is wrong.
                status @ (StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::UNAUTHORIZED) => {
                    Err(self.failed(ProxyReason::LoginWanted(status.as_u16())))
                }
                status @ (StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED) => {
                    Err(self.failed(ProxyReason::NotAllowed(status.as_u16(), authority)))
                }
                status => Err(self.failed(ProxyReason::Status(status.as_u16(), authority))),
            }
        };
        // The connection moves the octets until it has handed itself over.
        let moving = async {
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        let upgraded = tokio::select! {
            upgraded = upgraded => upgraded?,
            () = moving => unreachable!("pending"),
        };
        let parts = upgraded
            .downcast::<HyperIo<TcpStream>>()
            .map_err(|_| self.broken("the tunnel is not what was opened"))?;
        // The server's banner may come in one segment with the proxy's 200: dropped, it would be waited for in vain.
        Ok(Box::new(Prefixed { prefix: parts.read_buf, io: parts.io.0 }))
    }

    async fn socks5(&self, socket: TcpStream, host: &str, port: u16) -> Result<BoxedWire, Fault> {
        use tokio_socks::Error::{
            AuthorizationRequired, ConnectionNotAllowedByRuleset, NoAcceptableAuthMethods,
            PasswordAuthFailure,
        };
        let stream = match &self.login {
            Some(Login { username, password }) => {
                let (username, password) = (username.expose(), password.expose());
                Socks5Stream::connect_with_password_and_socket(socket, (host, port), username, password).await
            }
            None => Socks5Stream::connect_with_socket(socket, (host, port)).await,
        };
        let stream = stream.map_err(|error| {
            let is_refusal = matches!(
                error,
                AuthorizationRequired
                    | PasswordAuthFailure(_)
                    | NoAcceptableAuthMethods
                    | ConnectionNotAllowedByRuleset
            );
            let (words, destination) = (error.to_string(), format!("{host}:{port}"));
            self.failed(ProxyReason::Socks { words, destination, is_refusal })
        })?;
        Ok(Box::new(stream.into_inner()))
    }

    /// The fault, without the proxy's password.
    pub(super) fn failed(&self, reason: ProxyReason) -> Fault {
        let proxy = format!("{}:{}", self.host, self.port);
        Fault::new(Stage::Connect, Cause::Proxy(ProxyFault { proxy, reason }))
    }

    fn broken(&self, words: impl std::fmt::Display) -> Fault {
        self.failed(ProxyReason::Broken(words.to_string()))
    }
}

/// A connection of which some octets have been read already.
struct Prefixed {
    prefix: Bytes,
    io: TcpStream,
}

impl AsyncRead for Prefixed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buffer);
        }
        let octets = self.prefix.len().min(buffer.remaining());
        buffer.put_slice(&self.prefix[..octets]);
        self.prefix.advance(octets);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prefixed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    fn proxy(protocol: Protocol, port: u16, login: Option<(&str, &str)>) -> EgressProxy {
        let login = login.map(|(username, password)| Login {
            username: Secret::new(username.to_string()),
            password: Secret::new(password.to_string()),
        });
        EgressProxy { protocol, host: "127.0.0.1".into(), port, login, exceptions: Exceptions::default() }
    }

    /// A proxy that reads one request head and then says `answer` in pieces of `piece` octets.
    async fn connect_with(answer: &'static str, piece: usize) -> (String, Result<BoxedWire, Fault>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.unwrap());
            }
            for part in answer.as_bytes().chunks(piece) {
                socket.write_all(part).await.unwrap();
                socket.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            (String::from_utf8(request).unwrap(), socket)
        };
        let client = async {
            let socket = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            socket.set_nodelay(true).unwrap();
            proxy(Protocol::Connect, port, Some(("user", "p w")))
                .tunnel(socket, "smtp.office365.com", 587)
                .await
        };
        let ((request, _socket), tunnel) = tokio::join!(server, client);
        (request, tunnel)
    }

    #[tokio::test]
    async fn the_banner_behind_the_200_is_not_lost() {
        const ANSWER: &str = "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n220 banner\r\n";
        for piece in [usize::MAX, 7, 1] {
            let (request, tunnel) = connect_with(ANSWER, piece).await;
            assert!(request.starts_with("CONNECT smtp.office365.com:587 HTTP/1.1\r\n"), "{request}");
            assert!(
                request.to_ascii_lowercase().contains("proxy-authorization: basic dxnlcjpwihc="),
                "{request}"
            );
            let mut banner = [0; 12];
            tunnel.unwrap().read_exact(&mut banner).await.unwrap();
            assert_eq!(&banner, b"220 banner\r\n");
        }
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        for (answer, words, is_set_up) in [
            ("HTTP/1.1 407 Auth\r\nContent-Length: 0\r\n\r\n", "407: it wants a user name", true),
            ("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n", "401: it wants a user name", true),
            (
                "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
                "does not allow CONNECT to smtp.office365.com:587",
                true,
            ),
            ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", "did not reach", false),
            ("220 an SMTP server\r\n", "", false),
        ] {
            let (_, tunnel) = connect_with(answer, usize::MAX).await;
            let fault = tunnel.err().unwrap_or_else(|| panic!("{answer}"));
            assert_eq!(fault.stage(), Stage::Connect);
            let Cause::Proxy(proxy) = fault.cause() else { panic!("{answer}") };
            let said = fault.to_string();
            assert!(said.contains(words) && said.contains("127.0.0.1:"), "{said}");
            assert!(!said.contains("p w") && !said.contains("dXNlcjpwIHc="), "{said}");
            assert_eq!(proxy.is_set_up(), is_set_up, "{said}");
        }
    }

    #[test]
    fn no_proxy_is_read_as_curl_reads_it() {
        let exceptions = Exceptions::parse("localhost, .contoso.com,office365.example 10.0.0.1");
        for host in
            ["localhost", "contoso.com", "a.contoso.com", "A.Contoso.COM.", "x.office365.example", "10.0.0.1"]
        {
            assert!(exceptions.hold(host), "{host}");
        }
        for host in ["smtp.office365.com", "notcontoso.com", "10.0.0.2", "1.10.0.0.1.x"] {
            assert!(!exceptions.hold(host), "{host}");
        }
        assert!(Exceptions::parse("*").hold("anything"));
        assert!(!Exceptions::parse("").hold("anything"));
    }
}
