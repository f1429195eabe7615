//! `/` (the status page), `/livez`, `/readyz` and `/metrics`: GET and HEAD, nothing is changed, and nothing is logged.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::metrics::metrics;
use super::readiness::readiness;
use super::status::{Snapshot, Sources};
use super::{exposition, page, screen};
use crate::message::Budget;
use crate::wire::HyperIo;

/// Connections at once; the oldest makes room for one more.
const MAX_CONNECTIONS: usize = 8;
/// A request's head: whoever is silent keeps nobody else from being answered.
const HEAD_WITHIN: Duration = Duration::from_secs(2);
/// What is left for the answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);
/// A request's head, in octets.
const MAX_HEAD: usize = 8 * 1024;

/// Serves for as long as it is polled.
pub async fn serve(listener: TcpListener, sources: Sources, budget: Budget) {
    let sources = Arc::new(sources);
    let mut open = VecDeque::new();
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                open.retain(|connection: &tokio::task::JoinHandle<()>| !connection.is_finished());
                if open.len() >= MAX_CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    oldest.abort();
                }
                open.push_back(tokio::spawn(connection(socket, peer, Arc::clone(&sources), budget.clone())));
            }
            // Out of descriptors, usually.
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

/// The two ends of a connection.
#[derive(Clone, Copy)]
struct Ends {
    /// It came to a loopback address: in a browser's reach, by any name that resolves to it.
    to_loopback: bool,
    /// And from one: what is said stays in this namespace.
    within: bool,
}

async fn connection(socket: TcpStream, peer: SocketAddr, sources: Arc<Sources>, budget: Budget) {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    let to_loopback = socket.local_addr().is_ok_and(is_loopback);
    let ends = Ends { to_loopback, within: to_loopback && is_loopback(peer) };
    let asked = AtomicBool::new(false);
    let service = service_fn(|request: Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        let answer = answer(&request, ends, &sources, &budget);
        async move { Ok::<_, Infallible>(answer) }
    });
    let serving = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(HyperIo(socket), service);
    tokio::pin!(serving);
    if timeout(HEAD_WITHIN, &mut serving).await.is_err() && asked.load(Ordering::Relaxed) {
        let _ = timeout(ANSWER_WITHIN, serving).await;
    }
}

/// The answer to a request.
fn answer<B>(request: &Request<B>, ends: Ends, sources: &Sources, budget: &Budget) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    const HTML: &str = "text/html; charset=utf-8";
    let (method, path) = (request.method(), request.uri().path());
    let (status, content_type, body) = if method != Method::GET && method != Method::HEAD {
        (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n".to_string())
    } else if (ends.to_loopback || path == "/") && !is_named_as_itself(request) {
        // A page of anybody's can make a browser ask here, by a name that it lets resolve to 127.0.0.1.
        let words = "Host must be localhost or an address here\n";
        (StatusCode::MISDIRECTED_REQUEST, TEXT, words.to_string())
    } else {
        match path {
            "/" => {
                let snapshot = Snapshot::take(sources, budget.used(), ends.within);
                let asks_for = |kind| asks_for(request.headers(), kind);
                if asks_for("application/json") {
                    (StatusCode::OK, "application/json", snapshot.to_json())
                } else if asks_for("text/plain") && !asks_for("text/html") {
                    (StatusCode::OK, TEXT, screen::render(&snapshot))
                } else {
                    (StatusCode::OK, HTML, page::render(&snapshot))
                }
            }
            "/livez" => (StatusCode::OK, TEXT, "alive\n".to_string()),
            "/readyz" => match readiness() {
                Ok(()) => (StatusCode::OK, TEXT, "ready\n".to_string()),
                // What the reason says is for the operator of this namespace, not for a network.
                Err(why) if ends.within => {
                    (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n"))
                }
                Err(_) => {
                    (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready: the log says why\n".to_string())
                }
            },
            "/metrics" => {
                let text = metrics().render(budget.used());
                if asks_for(request.headers(), "application/openmetrics-text") {
                    (StatusCode::OK, exposition::OPENMETRICS, text)
                } else {
                    (StatusCode::OK, exposition::PLAIN, exposition::plain(&text))
                }
            }
            _ => (StatusCode::NOT_FOUND, TEXT, "/, /livez, /readyz, /metrics\n".to_string()),
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // A page of anybody's may neither guess what this is, nor hold it.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    if path == "/" {
        headers.insert(VARY, HeaderValue::from_static("Accept"));
    }
    if content_type == HTML
        && let Ok(policy) = HeaderValue::from_str(&page::POLICY)
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

/// Whether the request names `localhost` or an address: in Host, and in the target where it is absolute (RFC 9112
/// section 3.2.2).
fn is_named_as_itself<B>(request: &Request<B>) -> bool {
    let is_ours = |authority: &Authority| {
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    };
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_some_and(|host| is_ours(&host))
        && hosts.next().is_none()
        && request.uri().authority().is_none_or(is_ours)
}

/// Whether Accept names this type. It is a list of media ranges (RFC 9110 section 12.5.1); a weight of zero means no.
fn asks_for(headers: &HeaderMap, wanted: &str) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    { accepted }.flat_map(|list| list.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case(wanted));
        let weight = { parts }.find_map(|part| part.strip_prefix("q=")).map(str::parse::<f32>);
        is_it && weight != Some(Ok(0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::hostile;
    use super::*;

    fn status(ends: Ends, target: &str, hosts: &[&str]) -> u16 {
        let mut request = Request::builder().uri(target);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        answer(&request.body(()).unwrap(), ends, &hostile(), &Budget::default()).status().as_u16()
    }

    #[test]
    fn on_loopback_only_localhost_and_addresses_are_answered() {
        let loopback = Ends { to_loopback: true, within: true };
        let network = Ends { to_loopback: false, within: false };
        for host in ["localhost", "LocalHost:9025", "127.0.0.1", "127.0.0.1:9025", "[::1]:9025", "10.0.0.7:1"]
        {
            assert_eq!(status(loopback, "/livez", &[host]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9025",
            "localhost.evil.example",
            "mailshim:9025",
            "127.0.0.1.evil",
            "",
        ] {
            assert_eq!(status(loopback, "/livez", &[host]), 421, "{host}");
            assert_eq!(status(loopback, "/metrics", &[host]), 421, "{host}");
            assert_eq!(status(network, "/livez", &[host]), 200, "a scraper names the service: {host}");
            assert_eq!(status(network, "/", &[host]), 421, "{host}");
        }
        assert_eq!(status(loopback, "/livez", &[]), 421);
        assert_eq!(status(loopback, "/livez", &["localhost", "evil.example"]), 421);
        assert_eq!(status(loopback, "http://evil.example/livez", &["localhost"]), 421);
    }

    #[test]
    fn the_reason_stays_on_loopback() {
        use http_body_util::BodyExt as _;
        let reason = |within| {
            let request = Request::builder().uri("/readyz").header(HOST, "127.0.0.1").body(()).unwrap();
            let answer =
                answer(&request, Ends { to_loopback: within, within }, &hostile(), &Budget::default());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let body = runtime.block_on(answer.into_body().collect()).unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        assert!(reason(true).starts_with("not ready: the first sign-in"), "{}", reason(true));
        assert_eq!(reason(false), "not ready: the log says why\n");
    }

    #[test]
    fn the_status_is_what_accept_asks_for_and_a_page_for_a_browser() {
        let kind = |accept: &str| {
            let request = Request::builder().uri("/").header(HOST, "127.0.0.1").header(ACCEPT, accept);
            let ends = Ends { to_loopback: true, within: true };
            let answer = answer(&request.body(()).unwrap(), ends, &hostile(), &Budget::default());
            let policy = answer.headers().contains_key(CONTENT_SECURITY_POLICY);
            (answer.headers()[CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap().to_string(), policy)
        };
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (accept, is) in [
            (browser, "text/html"),
            ("*/*", "text/html"),
            ("application/json", "application/json"),
            ("application/json;q=0, text/html", "text/html"),
            ("text/plain", "text/plain"),
            ("text/plain, text/html", "text/html"),
        ] {
            assert_eq!(kind(accept), (is.to_string(), is == "text/html"), "{accept}");
        }
    }

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        for (accept, is_asked) in [
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                true,
            ),
            ("text/plain, application/openmetrics-text", true),
            ("application/openmetrics-text;q=0", false),
            ("text/plain;version=0.0.4", false),
            ("*/*", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(asks_for(&headers, "application/openmetrics-text"), is_asked, "{accept}");
        }
        assert!(!asks_for(&HeaderMap::new(), "application/openmetrics-text"));
    }
}
