//! From a host name to a TCP connection: the one dial path, for SMTP and for the token request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::deadlines::Deadlines;
use crate::outcome::{Cause, Fault, ProxyReason, Stage};
use crate::task;
use crate::transport::proxy::EgressProxy;
use crate::transport::resolve::Resolver;
use crate::transport::watch::{Seen, Watcher};
use crate::wire::BoxedWire;

/// The wait before the next address is tried beside the one under way (RFC 8305 section 5: 250 ms).
const NEXT_ATTEMPT: Duration = Duration::from_millis(250);

/// Addresses of one host that are tried; Exchange Online gives about eight of each family.
const MAX_ADDRESSES: usize = 8;

/// The longest list of failed addresses that goes into a fault, in octets.
const MAX_FAILURES_TEXT: usize = 300;

/// Makes the other end's wire.
type Wires = dyn Fn() -> BoxedWire + Send + Sync;

/// Resolves and connects. Clones share their lookups.
#[derive(Clone)]
pub struct Dialer {
    shared: Arc<Shared>,
    watcher: Watcher,
}

struct Shared {
    /// Instead of all else.
    wires: Option<Box<Wires>>,
    proxy: Option<EgressProxy>,
    connect_within: Duration,
    resolver: Resolver,
}

impl Dialer {
    /// A dialer that waits as long as `deadlines.resolve` and `deadlines.connect` say, through the proxy if there is one.
    pub fn new(deadlines: &Deadlines, proxy: Option<EgressProxy>) -> Self {
        Self::with_resolver(deadlines, proxy, Resolver::new(deadlines))
    }

    /// A dialer that takes each wire from `wires`: for a peer in the same runtime, where a paused clock may be used,
    /// which does not wait for sockets.
    pub fn from_wires(deadlines: &Deadlines, wires: impl Fn() -> BoxedWire + Send + Sync + 'static) -> Self {
        let mut dialer = Self::new(deadlines, None);
        if let Some(shared) = Arc::get_mut(&mut dialer.shared) {
            shared.wires = Some(Box::new(wires));
        }
        dialer
    }

    fn with_resolver(deadlines: &Deadlines, proxy: Option<EgressProxy>, resolver: Resolver) -> Self {
        Self {
            shared: Arc::new(Shared { wires: None, proxy, connect_within: deadlines.connect, resolver }),
            watcher: Watcher::default(),
        }
    }

    /// The same, with somebody who is told what is seen.
    #[must_use]
    pub fn watched_by(&self, watcher: Watcher) -> Self {
        Self { shared: Arc::clone(&self.shared), watcher }
    }

    /// Who is told what is seen.
    pub const fn watcher(&self) -> &Watcher {
        &self.watcher
    }

    /// A connection to `host` (a name, or an address without brackets): direct, or a tunnel through the proxy.
    ///
    /// # Errors
    /// A fault of stage `Resolve` or `Connect`: `TimedOut`, `Proxy`, or `Io` with a sentence that names what was tried.
    pub async fn connect(&self, host: &str, port: u16) -> Result<BoxedWire, Fault> {
        if let Some(wires) = &self.shared.wires {
            return Ok(wires());
        }
        let Some(proxy) = self.shared.proxy.as_ref().filter(|proxy| !proxy.exceptions.hold(host)) else {
            return Ok(Box::new(self.connect_directly(host, port).await?));
        };
        // An operator's own name for the proxy may need the search domains.
        let socket = self.tcp(&proxy.host, proxy.port).await;
        let socket = socket.map_err(|fault| proxy.failed(ProxyReason::NotReached(Box::new(fault))))?;
        let within = self.shared.connect_within;
        let tunnel = timeout(within, proxy.tunnel(socket, host, port)).await;
        let tunnel = tunnel
            .unwrap_or_else(|_| Err(proxy.failed(ProxyReason::TimedOut(format!("{host}:{port}"), within))))?;
        self.watcher.see(Seen::Tunnel);
        Ok(tunnel)
    }

    /// A TCP connection past any proxy, with Nagle's delay off.
    ///
    /// # Errors
    /// As those of [`Dialer::connect`].
    pub async fn connect_directly(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        self.tcp(&format!("{}.", host.trim_end_matches('.')), port).await
    }

    /// The same, to a host of the operator's own: its name may need the search domains of the container.
    ///
    /// # Errors
    /// As those of [`Dialer::connect`].
    pub async fn connect_by_search(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        self.tcp(host, port).await
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, Fault> {
        let addresses = self.shared.resolver.addresses(&host.to_ascii_lowercase()).await?;
        self.watcher.see(Seen::Addresses(host.trim_end_matches('.'), &addresses));
        let addresses = in_turn(&addresses).into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        let within = self.shared.connect_within;
        timeout(within, first_to_answer(addresses, &self.watcher))
            .await
            .map_err(|_| fault(Stage::Connect, Cause::TimedOut(within)))?
            .map_err(|failures| fault(Stage::Connect, Cause::Io(failures)))
    }
}

/// The families in turn (RFC 8305 section 4), beginning with the one that getaddrinfo put first: RFC 6724's order puts
/// IPv6 last on a host that has no route for it.
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut these, mut those): (Vec<_>, Vec<_>) =
        addresses.iter().copied().partition(|ip| ip.is_ipv6() == first_is_v6);
    these.reverse();
    those.reverse();
    let mut turns = Vec::new();
    while turns.len() < MAX_ADDRESSES && !(these.is_empty() && those.is_empty()) {
        turns.extend(these.pop());
        turns.extend(those.pop());
    }
    turns.truncate(MAX_ADDRESSES);
    turns
}

/// Tries the addresses, each 250 ms after the one before or as soon as one fails; the first connection wins, and the
/// other attempts end when the set of them is dropped.
async fn first_to_answer(addresses: Vec<SocketAddr>, watcher: &Watcher) -> Result<TcpStream, String> {
    let mut failures = Vec::new();
    let mut attempts = JoinSet::new();
    let mut addresses = addresses.into_iter();
    loop {
        if let Some(address) = addresses.next() {
            watcher.see(Seen::Trying(address));
            attempts.spawn(task::boxed(async move { (address, TcpStream::connect(address).await) }));
        }
        tokio::select! {
            attempt = attempts.join_next() => match attempt {
                Some(Ok((address, Ok(stream)))) => {
                    watcher.see(Seen::Tried(address, Ok(())));
                    // Commands are small and each waits for its reply: Nagle would cost 40 ms a turn.
                    stream.set_nodelay(true).map_err(|error| error.to_string())?;
                    return Ok(stream);
                }
                Some(Ok((address, Err(error)))) => {
                    watcher.see(Seen::Tried(address, Err(&error.to_string())));
                    failures.push(format!("{address}: {error}"));
                }
                Some(Err(broken)) => failures.push(broken.to_string()),
                None => return Err(sentence(&failures)),
            },
            () = sleep(NEXT_ATTEMPT), if addresses.len() > 0 => {}
        }
    }
}

fn sentence(failures: &[String]) -> String {
    let mut text = String::new();
    for (index, failure) in failures.iter().enumerate() {
        if text.len() + failure.len() > MAX_FAILURES_TEXT {
            text.push_str(&format!("; and {} more", failures.len() - index));
            break;
        }
        if index > 0 {
            text.push_str("; ");
        }
        text.push_str(failure);
    }
    text
}

fn fault(stage: Stage, cause: Cause) -> Fault {
    Fault::new(stage, cause)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn short() -> Deadlines {
        Deadlines {
            resolve: Duration::from_millis(50),
            connect: Duration::from_secs(5),
            ..Deadlines::default()
        }
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn families_take_turns_and_the_number_of_addresses_is_bounded() {
        let got = in_turn(&ips(&["::1", "::2", "::3", "10.0.0.1"]));
        assert_eq!(got, ips(&["::1", "10.0.0.1", "::2", "::3"]));
        let got = in_turn(&ips(&["10.0.0.1", "10.0.0.2", "::1"]));
        assert_eq!(got, ips(&["10.0.0.1", "::1", "10.0.0.2"]));
        assert_eq!(in_turn(&vec!["10.0.0.1".parse().unwrap(); 40]).len(), MAX_ADDRESSES);
    }

    #[test]
    fn failures_are_shortened() {
        let text = sentence(&vec!["192.0.2.1:587: Connection refused (os error 111)".to_string(); 8]);
        assert!(text.ends_with("; and 2 more"), "{text}");
        assert!(text.len() < MAX_FAILURES_TEXT + 20);
    }

    #[tokio::test]
    async fn a_refused_port_is_a_fault_that_names_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let fault = Dialer::new(&short(), None).connect_directly("127.0.0.1", port).await.unwrap_err();
        assert_eq!(fault.stage(), Stage::Connect);
        let Cause::Io(text) = fault.cause() else { panic!("{fault:?}") };
        assert!(text.starts_with(&format!("127.0.0.1:{port}: Connection refused")), "{text}");
    }

    #[tokio::test]
    async fn where_one_family_refuses_the_other_is_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer =
            Dialer::with_resolver(&short(), None, Resolver::by(&short(), |_| Ok(ips(&["::1", "127.0.0.1"]))));
        let stream = dialer.connect_directly("smtp.test", port).await.unwrap();
        assert!(stream.peer_addr().unwrap().is_ipv4());
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn localhost_needs_no_name_server() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Dialer::new(&short(), None).connect_directly("LocalHost.", port).await.unwrap();
    }
}
