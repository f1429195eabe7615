//! Tells systemd that we listen, for units of `Type=notify`: sd_notify(3)'s datagram to the socket that `NOTIFY_SOCKET`
//! names.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

pub(super) const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Says it, if there is somebody to hear it. A failure is the hearer's to notice: it has a deadline.
pub(super) fn ready(socket: Option<&OsStr>) {
    if let Some(name) = socket.filter(|name| !name.is_empty()) {
        let _ = address(name).and_then(|address| UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address));
    }
}

/// A path, or `@` and an abstract name.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_of_type_notify_hears_it_once() {
        let name = format!("mailshim-notify-{}", std::process::id());
        let systemd = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        systemd.set_nonblocking(true).unwrap();
        ready(Some(OsStr::new("")));
        ready(Some(OsStr::new(&format!("@{name}"))));
        ready(None);
        let mut datagram = [0; 64];
        let octets = systemd.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..octets], b"READY=1");
        assert!(systemd.recv(&mut datagram).is_err());
    }
}
