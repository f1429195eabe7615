//! The loopback sockets: binding them, and accepting the app's connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::connection::Sessions;
use super::places::{Place, Places};
use super::replies::too_many;
use super::step::Ending;
use crate::names::{Listen, LoopbackAddr};
use crate::redact::without_error_numbers;
use crate::smtp::reply::Reply;
use crate::telemetry;

/// Binds every address that the app may use.
///
/// # Errors
/// A sentence that says how to go on.
pub async fn bind(listen: &Listen) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in &listen.addresses {
        match TcpListener::bind(address.get()).await {
            Ok(listener) => listeners.push(listener),
            // Nobody asked for IPv6; a host without it is fine.
            Err(error) if listen.is_default && address.get().is_ipv6() && is_no_ipv6(&error) => {}
            Err(error) => return Err(why_not_bound(address.get(), &error)),
        }
    }
    Ok(listeners)
}

fn is_no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no ErrorKind of its own.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97)
}

fn why_not_bound(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 are reserved here: give the container the capability NET_BIND_SERVICE, or the sysctl \
             net.ipv4.ip_unprivileged_port_start={port}, or set MAILSHIM_LISTEN=127.0.0.1:2525 and the app to port 2525"
        ),
        io::ErrorKind::AddrInUse => format!(
            "another program listens there, maybe a mail server of the image or a second mailshim: stop it (ss -ltnp \
             shows it), or set MAILSHIM_LISTEN to another port than {port}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have that address: leave it out of MAILSHIM_LISTEN".to_string()
        }
        _ => "check MAILSHIM_LISTEN".to_string(),
    };
    format!("cannot listen on {address} ({}): {fix}", without_error_numbers(&error.to_string()))
}

/// Accepts for as long as it is polled; the sessions live on without it.
pub async fn accept(listener: TcpListener, sessions: Sessions, places: Arc<Places>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => match places.enter() {
                // The listener is bound to loopback; this holds even if that were ever to break.
                _ if LoopbackAddr::new(peer).is_none() => telemetry::peer_refused(peer),
                // Without a task: nothing more is said to it.
                _ if !sessions.delivery.is_open() => not_yet(&socket),
                // A panic ends this one task: it must not cost the other sessions their mail.
                Some(place) => drop(tokio::spawn(serve(sessions.clone(), socket, place))),
                None => refuse(&socket),
            },
            Err(error) => {
                // Out of descriptors, usually: trying again at once would only burn the processor.
                telemetry::accept_failed(&error);
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn serve(sessions: Sessions, socket: TcpStream, place: Place) {
    // Replies are small and waited for.
    let _ = socket.set_nodelay(true);
    tell(sessions.serve_at(Box::new(socket), place).await);
}

/// Tells how a session ended, and what that says about the app's set-up.
fn tell(ending: Ending) {
    telemetry::session_ended(ending.name());
    match ending {
        Ending::Http => telemetry::http_request_came(),
        Ending::TlsHello => telemetry::tls_hello_came(),
        Ending::TooManyErrors => telemetry::too_many_refused_commands(),
        Ending::OutOfStep => telemetry::bdat_unreadable(),
        Ending::NoPlace => telemetry::too_many_sessions(),
        Ending::Quit
        | Ending::HungUp
        | Ending::Idle
        | Ending::Cut
        | Ending::MadeRoom
        | Ending::ShuttingDown => {}
    }
}

/// Another process still has the spool, as in a rolling update: an app that tries again in a moment is served then.
fn not_yet(socket: &TcpStream) {
    let reply = Reply::new(
        421,
        "4.3.2 Another mailshim still has the spool (MAILSHIM_SPOOL_DIR), try again in a moment",
    );
    let _ = socket.try_write(&reply.encode());
}

/// The newcomer's place is taken too.
fn refuse(socket: &TcpStream) {
    telemetry::too_many_sessions();
    let _ = socket.try_write(&too_many().encode());
}
