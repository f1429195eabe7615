//! How a starting shim says that it listens: sd_notify(3)'s datagram, `READY=1`, to the socket that `NOTIFY_SOCKET`
//! names. systemd's `Type=notify` understands the same. Trying to connect instead would take a stranger on the port
//! for the shim, and could not tell which port 0 became.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::names::LoopbackAddr;

pub(super) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// systemd leaves names that begin with X_ to others.
const LISTEN: &str = "X_MAILSHIM_LISTEN=";
/// Octets of one datagram; some addresses fit well.
const DATAGRAM: usize = 4096;

/// Tells whoever waits, if anybody, that these addresses are listened on. A failure is the waiter's to notice: it has a
/// deadline.
pub(in crate::cli) fn tell(addresses: &[SocketAddr]) {
    let Some(name) = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()) else { return };
    let name = name.as_encoded_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(name) => UnixAddr::from_abstract_name(name),
        None => str::from_utf8(name).map_err(io::Error::other).and_then(UnixAddr::from_pathname),
    };
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let state = format!("READY=1\n{LISTEN}{}", list.join(","));
    let _ = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
}

/// Where a shim of ours says it.
pub(super) struct Ready {
    socket: UnixDatagram,
    /// For `NOTIFY_SOCKET`.
    pub name: String,
}

impl Ready {
    /// An abstract socket: it needs no file system that can be written to, and goes away with the process.
    pub fn bind() -> io::Result<Self> {
        // Containers that share a network namespace share these names, and each has a process 1.
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("mailshim-exec-{}-{unique}", std::process::id());
        let socket = UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(&name)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, name: format!("@{name}") })
    }

    /// The addresses, as `MAILSHIM_LISTEN` has them, if they have been told since the last call.
    pub fn heard(&self) -> Option<String> {
        let mut datagram = [0; DATAGRAM];
        while let Ok(octets) = self.socket.recv(&mut datagram) {
            if let Some(listen) = str::from_utf8(&datagram[..octets]).ok().and_then(addresses) {
                return Some(listen.to_string());
            }
        }
        None
    }
}

impl AsFd for Ready {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Anybody in the network namespace can send something else.
fn addresses(state: &str) -> Option<&str> {
    let is_ready = state.lines().any(|line| line == "READY=1");
    let list = state.lines().find_map(|line| line.strip_prefix(LISTEN))?;
    (is_ready && list.split(',').all(|address| LoopbackAddr::parse(address).is_ok())).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_addresses_are_believed() {
        let two = "127.0.0.1:25,[::1]:25";
        assert_eq!(addresses(&format!("READY=1\n{LISTEN}{two}")), Some(two));
        for state in ["", "READY=1", "READY=1\nX_MAILSHIM_LISTEN=", "READY=1\nX_MAILSHIM_LISTEN=0.0.0.0:25"] {
            assert_eq!(addresses(state), None, "{state}");
        }
        assert_eq!(addresses("READY=0\nX_MAILSHIM_LISTEN=127.0.0.1:25"), None);
    }
}
