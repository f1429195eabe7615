//! `/livez`, `/readyz` and `/metrics`: GET and HEAD, nothing is changed, and nothing is logged.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::metrics::{CONTENT_TYPE as OPENMETRICS, metrics};
use super::readiness::{NotReady, readiness};
use crate::message::Budget;
use crate::wire::HyperIo;

/// Requests at once; more wait in the socket's backlog.
const MAX_CONNECTIONS: usize = 8;
/// A whole connection: one request and its answer.
const WITHIN: Duration = Duration::from_secs(10);
/// A request's head, in octets.
const MAX_HEAD: usize = 8 * 1024;

/// Serves for as long as it is polled.
pub async fn serve(listener: TcpListener, budget: Budget) {
    // What the reason says is for the operator of this namespace, not for a network.
    let tells_why = listener.local_addr().is_ok_and(is_loopback);
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((socket, _)) => {
                let budget = budget.clone();
                tokio::spawn(async move {
                    let _ = timeout(WITHIN, connection(socket, tells_why, &budget)).await;
                    drop(permit);
                });
            }
            // Out of descriptors, usually.
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

async fn connection(socket: TcpStream, tells_why: bool, budget: &Budget) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(request.method(), request.uri().path(), tells_why, budget))
    });
    let _ = http1::Builder::new()
        .keep_alive(false)
        .max_buf_size(MAX_HEAD)
        .serve_connection(HyperIo(socket), service)
        .await;
}

/// The answer to a request.
fn answer(method: &Method, path: &str, tells_why: bool, budget: &Budget) -> Response<Full<Bytes>> {
    const TEXT: &str = "text/plain; charset=utf-8";
    let (status, content_type, body) = if method != Method::GET && method != Method::HEAD {
        (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET and HEAD only\n".to_string())
    } else {
        match path {
            "/livez" => (StatusCode::OK, TEXT, "alive\n".to_string()),
            "/readyz" => match readiness() {
                Ok(()) => (StatusCode::OK, TEXT, "ready\n".to_string()),
                Err(NotReady(why)) if tells_why => {
                    (StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {why}\n"))
                }
                Err(_) => {
                    (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready: the log says why\n".to_string())
                }
            },
            "/metrics" => (StatusCode::OK, OPENMETRICS, metrics().render(budget.used())),
            _ => (StatusCode::NOT_FOUND, TEXT, "/livez, /readyz, /metrics\n".to_string()),
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    headers.insert(CONNECTION, hyper::header::HeaderValue::from_static("close"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
    }
    response
}
