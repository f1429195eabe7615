//! From a host name to its addresses.
//!
//! Names are looked up as absolute ones (`smtp.office365.com.`): with Kubernetes' `ndots:5` the resolver would try every
//! search domain first, which is slow, and lets whoever can create a name under a search domain answer for Office 365's.
//! Nothing is cached beyond the look-up: Exchange Online's addresses change by the minute.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::deadlines::Deadlines;
use crate::outcome::{Cause, Fault, Stage};
use crate::single_flight::{Flight, take_off};
use crate::task;

/// A look-up's end: the addresses, or why there are none.
type Found = Result<Vec<IpAddr>, String>;

/// Blocks; runs in the blocking pool.
type Resolve = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks names up.
pub struct Resolver {
    within: Duration,
    resolve: Arc<Resolve>,
    lookups: Arc<Lookups>,
}

/// The look-ups under way. A name server that hangs blocks a thread for up to 30 s: one thread a host, however many
/// wait, or the blocking pool would be full of them.
#[derive(Default)]
struct Lookups(Mutex<HashMap<String, Flight<Found>>>);

impl Lookups {
    fn by_host(&self) -> MutexGuard<'_, HashMap<String, Flight<Found>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver {
    /// A resolver that waits as long as `deadlines.resolve` says.
    pub fn new(deadlines: &Deadlines) -> Self {
        Self::by(deadlines, resolve)
    }

    /// The same, with somebody else who knows the addresses.
    pub(super) fn by(
        deadlines: &Deadlines,
        resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        Self { within: deadlines.resolve, resolve: Arc::new(resolve), lookups: Arc::default() }
    }

    /// The addresses of a lower-case name; with a trailing dot it is absolute. An address is its own.
    ///
    /// # Errors
    /// A fault of stage `Resolve`: `TimedOut`, or `Io` with a sentence that names the host.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Fault> {
        if let Ok(ip) = host.trim_end_matches('.').parse() {
            return Ok(vec![ip]);
        }
        let fault = |cause| Fault::new(Stage::Resolve, cause);
        let found = timeout(self.within, self.lookup(host).landed()).await;
        let found = found.map_err(|_| fault(Cause::TimedOut(self.within)))?;
        found.unwrap_or_else(|| Err("the lookup ended without a result".to_string())).map_err(|reason| {
            fault(Cause::Io(format!("cannot resolve {}: {reason}", host.trim_end_matches('.'))))
        })
    }

    /// Joins the look-up under way, or starts one.
    fn lookup(&self, host: &str) -> Flight<Found> {
        let mut lookups = self.lookups.by_host();
        if let Some(lookup) = lookups.get(host).filter(|lookup| lookup.is_under_way()) {
            return lookup.clone();
        }
        let (landing, lookup) = take_off();
        lookups.insert(host.to_string(), lookup.clone());
        let (resolve, lookups) = (Arc::clone(&self.resolve), Arc::clone(&self.lookups));
        let host = host.to_string();
        task::start_blocking(move || {
            let found = match resolve(&host) {
                Ok(addresses) if addresses.is_empty() => Err("no addresses".to_string()),
                other => other.map_err(|error| error.to_string()),
            };
            lookups.by_host().remove(&host);
            landing.land(found);
        });
        lookup
    }
}

/// The addresses of a lower-case name; with a trailing dot it is absolute. Blocks.
fn resolve(wanted: &str) -> io::Result<Vec<IpAddr>> {
    let name = wanted.trim_end_matches('.');
    if name == "localhost" {
        return Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]);
    }
    // glibc does not find `name.` in the hosts file (measured on 2.36), where Docker's extra_hosts and Kubernetes'
    // hostAliases put theirs; so it is read here first. No file is no entry: a scratch image has none.
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let listed = in_hosts_file(&hosts, name);
    if !listed.is_empty() {
        return Ok(listed);
    }
    Ok((wanted, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// hosts(5): an address, then its names; `#` begins a comment.
fn in_hosts_file(hosts: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in hosts.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        if let Some(Ok(ip)) = words.next().map(str::parse)
            && words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name))
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use tokio::task::JoinSet;

    use super::*;

    fn short() -> Deadlines {
        Deadlines { resolve: Duration::from_millis(50), ..Deadlines::default() }
    }

    fn ips(list: &[&str]) -> Vec<IpAddr> {
        list.iter().map(|ip| ip.parse().unwrap()).collect()
    }

    #[test]
    fn the_hosts_file_is_read_as_hosts_5_says() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.9 smtp.test\n10.0.0.1\tother Smtp.Test # smtp.example\n\
                     fd00::1 smtp.test.\nbroken smtp.test\n10.0.0.1 smtp.test\n";
        assert_eq!(in_hosts_file(hosts, "smtp.test"), ips(&["10.0.0.1", "fd00::1"]));
        assert_eq!(in_hosts_file(hosts, "smtp.example"), ips(&[]));
        assert_eq!(in_hosts_file(hosts, "test"), ips(&[]));
    }

    #[tokio::test]
    async fn a_name_server_that_hangs_costs_one_thread_and_each_waiter_its_own_deadline() {
        let (release, hang) = mpsc::channel::<()>();
        let (hang, lookups) = (Mutex::new(hang), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&lookups);
        let resolver = Resolver::by(&short(), move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = hang.lock().unwrap().recv();
            Err(io::Error::other("no such name"))
        });
        let resolver = Arc::new(resolver);
        let mut waiters = JoinSet::new();
        for _ in 0..50 {
            let resolver = Arc::clone(&resolver);
            waiters.spawn(async move { resolver.addresses("smtp.test.").await.unwrap_err() });
        }
        while let Some(fault) = waiters.join_next().await {
            let fault = fault.unwrap();
            assert_eq!(
                (fault.stage(), fault.cause()),
                (Stage::Resolve, &Cause::TimedOut(Duration::from_millis(50)))
            );
        }
        let late = Arc::clone(&resolver);
        let late = tokio::spawn(async move { late.addresses("smtp.test.").await.unwrap_err() });
        tokio::task::yield_now().await;
        release.send(()).unwrap();
        let fault = late.await.unwrap();
        assert_eq!(*fault.cause(), Cause::Io("cannot resolve smtp.test: no such name".to_string()));
        assert_eq!(lookups.load(Ordering::SeqCst), 1);
        assert!(resolver.lookups.by_host().is_empty());
    }

    #[tokio::test]
    async fn a_resolver_that_panics_leaves_no_lookup_behind() {
        let first = AtomicUsize::new(0);
        // With RUST_BACKTRACE set, the panic's report alone takes longer than the short deadline.
        let patient = Deadlines { resolve: Duration::from_secs(60), ..short() };
        let resolver = Resolver::by(&patient, move |_| {
            assert!(first.fetch_add(1, Ordering::SeqCst) > 0, "on purpose");
            Ok(Vec::new())
        });
        let mut causes = Vec::new();
        for _ in 0..2 {
            causes.push(resolver.addresses("smtp.test.").await.unwrap_err().cause().clone());
        }
        assert_eq!(
            causes,
            [
                Cause::Io("cannot resolve smtp.test: the lookup ended without a result".to_string()),
                Cause::Io("cannot resolve smtp.test: no addresses".to_string()),
            ]
        );
    }
}
