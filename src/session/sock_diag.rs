//! The kernel's answer to "what is this TCP socket": sock_diag(7) over netlink, octet by octet. Pure; [`super::peer`] asks.
//!
//! One request for one socket, named by both its addresses: no list is ever asked for, so that thousands of sockets cost
//! nothing. By hand, since netlink-packet-sock-diag would bring six crates for these two structures.

use std::net::{IpAddr, SocketAddr};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLM_F_REQUEST`.
const IS_REQUEST: u16 = 1;
const ENOENT: i32 = 2;
const IPPROTO_TCP: u8 = 6;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// `struct inet_diag_req_v2`, whose socket's id begins behind 8 octets.
const REQUEST: usize = HEADER + 56;
/// Up to the inode, the last field of `struct inet_diag_msg`.
const MESSAGE: usize = HEADER + 72;

/// What is known of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its state, as the kernel counts them, and its inode; 0 where no process holds it any more.
    Socket {
        /// `TCP_ESTABLISHED` is 1, `TCP_FIN_WAIT2` 5.
        state: u8,
        /// Names it among open files.
        inode: u32,
    },
    /// There is none.
    NoSocket,
    /// The kernel does not say.
    Unknown,
}

/// The request for the socket that has the address `own` and is connected to `other`.
pub fn request(own: SocketAddr, other: SocketAddr) -> [u8; REQUEST] {
    let mut octets = [0; REQUEST];
    let mut put = |at: usize, value: &[u8]| octets[at..at + value.len()].copy_from_slice(value);
    put(0, &(REQUEST as u32).to_ne_bytes());
    put(4, &BY_FAMILY.to_ne_bytes());
    put(6, &IS_REQUEST.to_ne_bytes());
    // AF_INET6 and AF_INET.
    put(HEADER, &[if own.is_ipv6() { 10 } else { 2 }, IPPROTO_TCP]);
    // Every state.
    put(HEADER + 4, &u32::MAX.to_ne_bytes());
    put(HEADER + 8, &own.port().to_be_bytes());
    put(HEADER + 10, &other.port().to_be_bytes());
    for (at, address) in [(HEADER + 12, own.ip()), (HEADER + 28, other.ip())] {
        match address {
            IpAddr::V4(address) => put(at, &address.octets()),
            IpAddr::V6(address) => put(at, &address.octets()),
        }
    }
    // INET_DIAG_NOCOOKIE.
    put(HEADER + 48, &[0xff; 8]);
    octets
}

/// Reads what came.
pub fn answer(octets: &[u8]) -> Answer {
    let kind = octets.get(4..6).and_then(|kind| Some(u16::from_ne_bytes(kind.try_into().ok()?)));
    match kind {
        Some(BY_FAMILY) if octets.len() >= MESSAGE => {
            let inode: [u8; 4] = octets[MESSAGE - 4..MESSAGE].try_into().unwrap_or_default();
            Answer::Socket { state: octets[HEADER + 1], inode: u32::from_ne_bytes(inode) }
        }
        Some(ERROR) => {
            let error = octets.get(HEADER..HEADER + 4).and_then(|error| error.try_into().ok());
            match error.map(i32::from_ne_bytes) {
                Some(error) if error == -ENOENT => Answer::NoSocket,
                _ => Answer::Unknown,
            }
        }
        _ => Answer::Unknown,
    }
}

/// The same from a line of /proc/net/tcp or /proc/net/tcp6, if it is about that socket.
pub fn of_line(line: &str, own: SocketAddr, other: SocketAddr) -> Option<Answer> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    if fields.next() != Some(&shown(own)) || fields.next() != Some(&shown(other)) {
        return None;
    }
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(5)?.parse().ok()?;
    Some(Answer::Socket { state, inode })
}

/// An address as those files write it: words of 32 bits in the machine's own order.
fn shown(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = u32::from_ne_bytes(word.try_into().unwrap_or_default());
        format!("{word:08X}")
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_proc_is_read() {
        let (own, other): (SocketAddr, SocketAddr) =
            ("127.0.0.1:54321".parse().unwrap(), "127.0.0.1:25".parse().unwrap());
        let line = "   3: 0100007F:D431 0100007F:0019 05 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        if cfg!(target_endian = "little") {
            assert_eq!(of_line(line, own, other), Some(Answer::Socket { state: 5, inode: 4711 }));
        }
        assert_eq!(of_line(line, other, own), None);
        assert_eq!(of_line("  sl  local_address rem_address   st", own, other), None);
        let six: SocketAddr = "[::1]:25".parse().unwrap();
        assert!(shown(six).ends_with(":0019") && shown(six).len() == 37);
    }

    #[test]
    fn whatever_comes_is_an_answer() {
        for length in 0..200 {
            for octet in [0, 2, 20, 255] {
                let _ = answer(&vec![octet; length]);
            }
        }
        assert_eq!(answer(&[]), Answer::Unknown);
    }
}
