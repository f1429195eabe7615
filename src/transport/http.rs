//! One exchange with the token service over HTTPS, or with the platform's own endpoint on this machine: a connection, a
//! request, an answer. No redirect is followed, nothing is kept open, and everything that the server sends is bounded.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, CONTENT_TYPE, DATE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::deadlines::Deadlines;
use crate::names::{HostPort, LocalUrl};
use crate::outcome::{Cause, Fault, TokenFault};
use crate::secret::Secret;
use crate::transport::answer::Answer;
use crate::transport::dial::Dialer;
use crate::transport::tls;
use crate::transport::watch::{Seen, Watcher};
use crate::wire::HyperIo;

/// The largest body; a token response has 2 to 5 KB.
const MAX_BODY: usize = 64 * 1024;

/// The largest head of a response, in octets, and its fields; Entra's cookies and policies take 2 KB.
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 64;

/// The port that the Host field leaves out.
const HTTPS: u16 = 443;

const AGENT: &str = concat!("mailshim/", env!("CARGO_PKG_VERSION"));

/// Makes token requests.
#[derive(Clone)]
pub struct Http {
    dialer: Dialer,
    tls: Arc<ClientConfig>,
    handshake_within: Duration,
    whole_within: Duration,
}

impl Http {
    /// Requests over this dialer and this TLS configuration, each as a whole within `deadlines.token`.
    pub const fn new(dialer: Dialer, tls: Arc<ClientConfig>, deadlines: &Deadlines) -> Self {
        Self { dialer, tls, handshake_within: deadlines.tls, whole_within: deadlines.token }
    }

    /// Posts a form, `application/x-www-form-urlencoded`, to this request target over TLS.
    ///
    /// # Errors
    /// `NotReached`, `Unreachable`, `Proxy`, `TimedOut`, or `Garbage` for an answer that is no HTTP or exceeds a bound. Any status is an answer.
    pub async fn post(
        &self,
        host: &str,
        port: u16,
        target: &str,
        form: &Secret<String>,
    ) -> Result<Answer, TokenFault> {
        let request = form_post(host, port, target, form)?;
        self.secured(host, port, request, self.whole_within).await
    }

    /// Posts JSON to this request target over TLS, within this time; the answer's status.
    ///
    /// # Errors
    /// As for [`Http::post`].
    pub async fn post_json(
        &self,
        to: &HostPort,
        target: &Secret<String>,
        body: &Secret<String>,
        within: Duration,
    ) -> Result<u16, TokenFault> {
        let request = post(&to.host, to.port, target.expose(), "application/json", body)?;
        Ok(self.secured(&to.host, to.port, request, within).await?.status)
    }

    async fn secured(
        &self,
        host: &str,
        port: u16,
        request: Request,
        within: Duration,
    ) -> Result<Answer, TokenFault> {
        let whole = async {
            let unreachable = |fault| unreachable(host, port, fault);
            let tcp = self.dialer.connect(host, port).await.map_err(unreachable)?;
            let tls =
                tls::handshake(&self.tls, host, tcp, self.handshake_within).await.map_err(unreachable)?;
            self.dialer.watcher().see(Seen::Secured(tls.get_ref().1.protocol_version()));
            exchange(tls, request, self.dialer.watcher()).await
        };
        timeout(within, whole).await.map_err(|_| TokenFault::TimedOut(within))?
    }

    /// Asks managed identity's endpoint for this path and query, with this field, without TLS: `url` cannot leave this machine. Not by the dialer, which may
    /// know a proxy: what is asked here is never somebody else's to see.
    ///
    /// # Errors
    /// As for [`Http::post`].
    pub async fn get_local(
        &self,
        url: &LocalUrl,
        target: &str,
        header: &(&'static str, Secret<String>),
    ) -> Result<Answer, TokenFault> {
        let within = self.whole_within;
        let whole = async {
            exchange(connect_local(url).await?, local_get(url, target, header)?, self.dialer.watcher()).await
        };
        timeout(within, whole).await.map_err(|_| TokenFault::TimedOut(within))?
    }
}

async fn connect_local(url: &LocalUrl) -> Result<TcpStream, TokenFault> {
    let mut failures = Vec::new();
    for ip in url.addresses() {
        match TcpStream::connect((*ip, url.port())).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push(format!("{ip}: {error}")),
        }
    }
    Err(TokenFault::Unreachable(format!(
        "managed identity's endpoint at {}: connecting: {}",
        url.authority(),
        failures.join(", ")
    )))
}

fn unreachable(host: &str, port: u16, fault: Fault) -> TokenFault {
    match fault.cause() {
        Cause::Proxy(fault) => TokenFault::Proxy(fault.clone()),
        _ => TokenFault::NotReached { host: host.to_string(), port, fault: Box::new(fault) },
    }
}

type Request = hyper::Request<Full<Bytes>>;

fn form_post(host: &str, port: u16, target: &str, form: &Secret<String>) -> Result<Request, TokenFault> {
    post(host, port, target, "application/x-www-form-urlencoded", form)
}

fn post(
    host: &str,
    port: u16,
    target: &str,
    content_type: &'static str,
    body: &Secret<String>,
) -> Result<Request, TokenFault> {
    let authority = if port == HTTPS { host.to_string() } else { format!("{host}:{port}") };
    hyper::Request::post(target)
        .header(HOST, authority)
        .header(CONTENT_TYPE, content_type)
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(body.expose().clone())))
        .map_err(|error| TokenFault::Unreachable(format!("{host} makes no HTTP request: {error}")))
}

fn local_get(
    url: &LocalUrl,
    target: &str,
    (name, value): &(&'static str, Secret<String>),
) -> Result<Request, TokenFault> {
    hyper::Request::get(target)
        .header(HOST, url.authority())
        .header(*name, value.expose())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, AGENT)
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::new()))
        .map_err(|error| TokenFault::Unreachable(format!("{url} makes no HTTP request: {error}")))
}

async fn exchange<IO>(io: IO, request: Request, watcher: &Watcher) -> Result<Answer, TokenFault>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .handshake(HyperIo(io))
        .await
        .map_err(|error| broken(&error))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        if let Some(Ok(date)) = response.headers().get(DATE).map(HeaderValue::to_str) {
            watcher.see(Seen::Date(date));
        }
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(ToString::to_string);
        let body =
            Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| match error
                .downcast::<hyper::Error>(
            ) {
                Ok(error) => broken(&error),
                Err(error) if error.is::<LengthLimitError>() => TokenFault::Garbage(format!(
                    "the token service's answer is larger than {MAX_BODY} octets"
                )),
                Err(error) => TokenFault::Garbage(error.to_string()),
            })?;
        Ok(Answer { status, retry_after, body: body.to_bytes().to_vec() })
    };
    // The connection moves the bytes and says its errors through the answer, which ends when the connection does.
    let moving = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answer => answer,
        () = moving => unreachable!("pending"),
    }
}

fn broken(error: &hyper::Error) -> TokenFault {
    if error.is_parse() {
        TokenFault::Garbage(format!("the token service's answer is not HTTP that we accept: {error}"))
    } else {
        TokenFault::Unreachable(format!("the connection to the token service broke: {error}"))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
