//! The token endpoint: `POST /{tenant}/oauth2/v2.0/token` over HTTPS, and the discovery document that names it. [`grant`] has one function per grant type. And
//! managed identity's endpoints, over plain HTTP.

mod grant;
mod assertion;
mod delegated;
mod managed;

use std::convert::Infallible;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::fault::Fault;
use crate::record::TokenRequest;
use crate::tenant::Tenant;
use grant::{Form, Refused};

pub(crate) use assertion::{Issuer, Seen};
pub(crate) use delegated::Delegated;
pub(crate) use managed::APP_SERVICE;

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// No honest token request is larger (a client assertion is some 2 KB).
const MAX_REQUEST: usize = 64 * 1024;

/// Serves one HTTPS connection.
pub(crate) async fn serve(tcp: TcpStream, tenant: Arc<Tenant>, tls: Arc<ServerConfig>) {
    let _ = tcp.set_nodelay(true);
    if tenant.faults.is(&Fault::TokenReset) {
        let _ = tcp.set_zero_linger();
        return;
    }
    // A failed handshake is the client's right: it may be testing a wrong certificate.
    let Ok(stream) = TlsAcceptor::from(tls).accept(tcp).await else {
        return;
    };
    let service = service_fn(move |request| respond(request, tenant.clone(), Entrance::Entra));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Serves one connection of managed identity's endpoint.
pub(crate) async fn serve_local(tcp: TcpStream, tenant: Arc<Tenant>, _: Arc<ServerConfig>) {
    let _ = tcp.set_nodelay(true);
    let service = service_fn(move |request| respond(request, tenant.clone(), Entrance::Local));
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(tcp), service).await;
}

/// Where a request came in.
#[derive(Clone, Copy, PartialEq)]
enum Entrance {
    Entra,
    Local,
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct Dropped;

impl std::fmt::Display for Dropped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dropped on purpose")
    }
}

impl std::error::Error for Dropped {}

async fn respond(request: Request<Incoming>, tenant: Arc<Tenant>, door: Entrance) -> Result<Answer, Dropped> {
    let at = Instant::now();
    let target = format!("{} {}", request.method(), request.uri());
    tenant.record.count(|stats| stats.token_requests += 1);
    let (head, body) = request.into_parts();
    let read = Limited::new(body, MAX_REQUEST).collect().await;
    let body = read.map(|body| body.to_bytes()).map_err(|_| Dropped)?;
    let violation = |rule: &str| tenant.record.violation(format!("token request {target}: {rule}"));
    if door == Entrance::Entra && head.uri.query().is_some() {
        violation("a query: parameters belong in the body");
    }
    if !head.headers.contains_key(hyper::header::HOST) {
        violation("no Host (RFC 9112 §3.2)");
    }
    let form: Form = form_urlencoded::parse(&body).into_owned().collect();
    let form_type =
        |v: &hyper::header::HeaderValue| v.as_bytes().starts_with(b"application/x-www-form-urlencoded");
    if head.method == Method::POST && !head.headers.get(CONTENT_TYPE).is_some_and(form_type) {
        violation("no application/x-www-form-urlencoded");
    }
    if !tenant.settings.latency.is_zero() {
        tokio::time::sleep(tenant.settings.latency).await;
    }
    let answer = match tenant.faults.take(Fault::is_token) {
        Some(fault) => faulty(fault, &tenant, &head, &form, door).await,
        None => Ok(ordinary(&tenant, &head, &form, door, None)),
    };
    let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
    let fields = form.into_iter().map(|(name, value)| {
        let secret =
            ["client_secret", "client_assertion", "refresh_token", "password", "device_code", "assertion"];
        let value = if secret.contains(&name.as_str()) { "[…]".to_owned() } else { value };
        (name, value)
    });
    tenant.record.token_request(TokenRequest { target, fields: fields.collect(), status, at });
    answer
}

fn reply(status: u16, kind: &str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()).boxed());
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, kind.parse().expect("a media type"));
    answer
}

const JSON: &str = "application/json; charset=utf-8";

/// Entra's error JSON (OFFICE365.md §6.5).
fn refusal(tenant: &Tenant, refused: &Refused) -> Answer {
    let now = OffsetDateTime::now_utc();
    let stamp = now
        .format(&format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z"))
        .unwrap_or_default();
    let (trace, correlation) = (tenant.uuid(), tenant.uuid());
    let description = format!(
        "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}",
        refused.code, refused.description
    );
    let body = json!({
        "error": refused.error,
        "error_description": description,
        "error_codes": [refused.code],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.com/error?code={}", refused.code),
    });
    reply(refused.status, JSON, body.to_string())
}

/// What the endpoint answers when nothing goes wrong on its side. `broken`: a fault of the token itself.
fn ordinary(
    tenant: &Tenant,
    head: &hyper::http::request::Parts,
    form: &Form,
    door: Entrance,
    broken: Option<&Fault>,
) -> Answer {
    if door == Entrance::Local {
        return managed::answer(tenant, head, broken);
    }
    let segments: Vec<&str> = head.uri.path().trim_start_matches('/').split('/').collect();
    if let [directory, "v2.0", ".well-known", "openid-configuration"] = segments[..] {
        return configuration(tenant, head, directory);
    }
    let [directory, "oauth2", "v2.0", endpoint @ ("token" | "devicecode")] = segments[..] else {
        tenant.record.violation(format!("token request to {}", head.uri.path()));
        return reply(404, "text/html", "<html>Not found</html>");
    };
    if head.method != Method::POST {
        tenant.record.violation(format!("token request with {}", head.method));
        return refusal(
            tenant,
            &Refused::new(400, "invalid_request", 900_561, "The endpoint only accepts POST requests."),
        );
    }
    if endpoint == "devicecode" {
        let code = grant::known_tenant(tenant, directory)
            .and_then(|credentials| delegated::device_code(tenant, &credentials, form));
        return match code {
            Err(refused) => refusal(tenant, &refused),
            Ok(code) => reply(200, JSON, code.to_string()),
        };
    }
    match grant::decide(tenant, directory, form) {
        Err(refused) => refusal(tenant, &refused),
        Ok(granted) => {
            let lifetime = match broken {
                Some(Fault::TokenLifetime(lifetime)) => *lifetime,
                _ => tenant.settings.token_lifetime,
            };
            let token = tenant.issue_token(lifetime, broken);
            let seconds = lifetime.as_secs();
            let mut body = json!({
                "token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token,
            });
            if let Some(token) = granted.refresh_token {
                body["refresh_token"] = token.into();
                body["scope"] = tenant.settings.delegated_scope.as_str().into();
            }
            let mut answer = reply(200, JSON, body.to_string());
            answer.headers_mut().insert("cache-control", "no-store, no-cache".parse().expect("a header"));
            answer
        }
    }
}

/// OpenID Connect Discovery 1.0 §4, as far as clients of other makers read it.
fn configuration(tenant: &Tenant, head: &hyper::http::request::Parts, directory: &str) -> Answer {
    if head.method != Method::GET {
        return reply(405, "text/html", "<html>Method not allowed</html>");
    }
    if let Err(refused) = grant::known_tenant(tenant, directory) {
        return refusal(tenant, &refused);
    }
    let base = format!("{}/{directory}", tenant.authority.get().map(String::as_str).unwrap_or_default());
    let body = json!({
        "issuer": format!("{base}/v2.0"),
        "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/oauth2/v2.0/devicecode"),
    });
    reply(200, JSON, body.to_string())
}

async fn faulty(
    fault: Fault,
    tenant: &Tenant,
    head: &hyper::http::request::Parts,
    form: &Form,
    door: Entrance,
) -> Result<Answer, Dropped> {
    Ok(match fault {
        Fault::TokenError { status, error, code, description } => {
            refusal(tenant, &Refused { status, error, code, description })
        }
        Fault::TokenRetryAfter { status, seconds } => {
            let refused = Refused::new(
                status,
                "temporarily_unavailable",
                90_033,
                "A transient error has occurred. Please try again.",
            );
            let mut answer = refusal(tenant, &refused);
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
            answer
        }
        Fault::Token5xx(status) => {
            reply(status, "text/html", "<html><body>Our services aren't available right now</body></html>")
        }
        Fault::TokenGarbage => reply(200, JSON, "<html>{\"access_token\": this is no JSON"),
        Fault::TokenMissing => reply(200, JSON, r#"{"token_type":"Bearer","expires_in":3599}"#),
        Fault::TokenStall => std::future::pending().await,
        Fault::TokenDelay(delay) => {
            tokio::time::sleep(delay).await;
            ordinary(tenant, head, form, door, None)
        }
        Fault::TokenEndless => {
            let mut answer = Response::new(Endless.boxed());
            answer.headers_mut().insert(CONTENT_TYPE, JSON.parse().expect("a media type"));
            answer
        }
        Fault::TokenHugeHeader => {
            let mut answer = reply(200, JSON, "{}");
            answer.headers_mut().insert("x-huge", "x".repeat(1 << 20).parse().expect("a header"));
            answer
        }
        Fault::TokenDrop => return Err(Dropped),
        Fault::TokenDrip => {
            let (head, body) = ordinary(tenant, head, form, door, None).into_parts();
            let octets = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Response::from_parts(head, Drip { octets, pause: None }.boxed())
        }
        Fault::TokenTwice => {
            let (head, body) = ordinary(tenant, head, form, door, None).into_parts();
            let octets = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Response::from_parts(head, Full::new([&octets[..], &octets].concat().into()).boxed())
        }
        Fault::TokenRedirect => {
            let mut answer = reply(302, "text/html", "");
            answer.headers_mut().insert(LOCATION, "/elsewhere/token".parse().expect("a header"));
            answer.headers_mut().insert(CONNECTION, "close".parse().expect("a header"));
            answer
        }
        broken => ordinary(tenant, head, form, door, Some(&broken)),
    })
}

/// A body that comes an octet at a time.
struct Drip {
    octets: Bytes,
    pause: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
        }
        self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(100))));
        let next = (!self.octets.is_empty()).then(|| self.octets.split_to(1));
        Poll::Ready(next.map(|octet| Ok(Frame::data(octet))))
    }
}

/// A JSON string that never ends.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // One turn of the runtime in between: this thread serves the SMTP side too.
        std::task::ready!(tokio::task::coop::poll_proceed(context)).made_progress();
        static FILL: [u8; 16_384] = [b' '; 16_384];
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&FILL)))))
    }
}
