//! The app's end of a connection. `close()` and a half-close both send a FIN, and only the kernel knows which it was:
//! whether a process still holds the other socket.

use std::fs::File;
use std::future::{pending, ready};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::net::netlink::{SOCK_DIAG, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use tokio::io::DuplexStream;
use tokio::net::TcpStream;

use super::sock_diag::{Answer, answer, of_line, request};
use crate::message::Awaited;
use crate::task;
use crate::wire::Wire;

/// Lines of /proc/net/tcp that are read at most.
const MAX_LINES: usize = 100_000;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const ESTABLISHED: u8 = 1;

/// What the app's end of the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A process holds it and may write.
    Open,
    /// A process holds it; it has said that it writes no more, and reads.
    HalfClosed,
    /// Nobody holds it.
    Gone,
    /// There is no telling.
    Unknown,
}

/// The app's connection, of which more is asked than octets.
pub trait AppWire: Wire {
    /// What the other end is now.
    fn peer(&self) -> Awaited<'_, Peer>;
    /// Ends when the other end has sent a FIN or a reset, whatever is unread before it.
    fn closed(&self) -> Awaited<'_, ()>;
    /// Whether what was written last was refused: nobody will read it.
    fn has_failed(&self) -> bool;
}

/// Any of them.
pub type BoxedAppWire = Box<dyn AppWire>;

impl AppWire for TcpStream {
    fn peer(&self) -> Awaited<'_, Peer> {
        match (self.peer_addr(), self.local_addr()) {
            (Ok(theirs), Ok(ours)) => Box::pin(look(theirs, ours)),
            // Reset: the kernel has forgotten both.
            _ => Box::pin(ready(Peer::Gone)),
        }
    }

    fn closed(&self) -> Awaited<'_, ()> {
        // Readable it may be for long; of what PRIORITY waits for only the end comes.
        Box::pin(async { drop(self.ready(tokio::io::Interest::PRIORITY).await) })
    }

    fn has_failed(&self) -> bool {
        !matches!(self.take_error(), Ok(None))
    }
}

/// A pipe inside the process; whoever drops its end is gone.
impl AppWire for DuplexStream {
    fn peer(&self) -> Awaited<'_, Peer> {
        Box::pin(ready(Peer::Unknown))
    }

    fn closed(&self) -> Awaited<'_, ()> {
        Box::pin(pending())
    }

    fn has_failed(&self) -> bool {
        false
    }
}

/// Looks the other end of a loopback connection up.
async fn look(theirs: SocketAddr, ours: SocketAddr) -> Peer {
    let mut found = ask(theirs, ours);
    if found == Answer::Unknown {
        // It takes 10 ms and more, and stops nobody there.
        found = task::blocking(move || in_proc(theirs, ours)).await.unwrap_or(Answer::Unknown);
    }
    match found {
        Answer::NoSocket | Answer::Socket { inode: 0, .. } => Peer::Gone,
        Answer::Socket { state: FIN_WAIT2, .. } => Peer::HalfClosed,
        Answer::Socket { state: ESTABLISHED | FIN_WAIT1, .. } => Peer::Open,
        Answer::Socket { .. } => Peer::Gone,
        Answer::Unknown => Peer::Unknown,
    }
}

/// Asks the kernel: some microseconds, and the answer is there when the question has been sent.
fn ask(theirs: SocketAddr, ours: SocketAddr) -> Answer {
    static REFUSED: AtomicBool = AtomicBool::new(false);
    if REFUSED.load(Ordering::Relaxed) {
        return Answer::Unknown;
    }
    let ask = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(SOCK_DIAG))?;
        sendto(&socket, &request(theirs, ours), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut octets = [0; 512];
        let (_, length) = recv(&socket, &mut octets[..], RecvFlags::DONTWAIT)?;
        Ok::<_, rustix::io::Errno>(answer(&octets[..length.min(512)]))
    };
    ask().unwrap_or_else(|error| {
        // Neither passes while the process lives: a sandbox, or a kernel without it.
        let for_good =
            [rustix::io::Errno::AFNOSUPPORT, rustix::io::Errno::PROTONOSUPPORT, rustix::io::Errno::PERM];
        REFUSED.fetch_or(for_good.contains(&error), Ordering::Relaxed);
        Answer::Unknown
    })
}

/// The same from /proc. Where our own end is not listed, the list is not that of our network.
fn in_proc(theirs: SocketAddr, ours: SocketAddr) -> Answer {
    let path = if theirs.is_ipv6() { "/proc/self/net/tcp6" } else { "/proc/self/net/tcp" };
    let Ok(file) = File::open(path) else { return Answer::Unknown };
    let mut is_ours = false;
    for line in BufReader::new(file).lines().take(MAX_LINES) {
        let Ok(line) = line else { return Answer::Unknown };
        if let Some(found) = of_line(&line, theirs, ours) {
            return found;
        }
        is_ours |= of_line(&line, ours, theirs).is_some();
    }
    if is_ours { Answer::NoSocket } else { Answer::Unknown }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener};

    use super::*;

    /// What either look says of the app's end.
    fn both(theirs: SocketAddr, ours: SocketAddr) -> [Answer; 2] {
        [ask(theirs, ours), in_proc(theirs, ours)]
    }

    #[test]
    fn both_looks_tell_a_half_close_from_a_close() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut app = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (ours, theirs) = listener.accept().unwrap();
            let here = ours.local_addr().unwrap();
            app.write_all(b"unread").unwrap();
            for found in both(theirs, here) {
                assert!(matches!(found, Answer::Socket { state: ESTABLISHED, inode: 1.. }), "{found:?}");
            }
            app.shutdown(Shutdown::Write).unwrap();
            // FIN_WAIT1 until our side has acknowledged it.
            let fin_wait_2 = |found| matches!(found, Answer::Socket { state: FIN_WAIT2, .. });
            let acknowledged = (0..1000).any(|_| {
                std::thread::sleep(std::time::Duration::from_millis(5));
                fin_wait_2(ask(theirs, here))
            });
            assert!(acknowledged, "{address}");
            for found in both(theirs, here) {
                assert!(matches!(found, Answer::Socket { state: FIN_WAIT2, inode: 1.. }), "{found:?}");
            }
            drop(app);
            for found in both(theirs, here) {
                assert!(matches!(found, Answer::NoSocket | Answer::Socket { inode: 0, .. }), "{found:?}");
            }
        }
    }
}
