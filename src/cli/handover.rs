//! What process 1 (`exec`) and the shim that it starts say to each other, once a start.
//!
//! The shim is started with the app's environment and nothing more: between `execve` and its first system call the app,
//! which is the same user, can read `/proc/PID/environ`. It makes itself undumpable, connects to the socket that
//! [`SOCKET`] names, and is given what was kept from the app. On the same connection it says where it listens.
//!
//! The socket's name is no secret, and everybody in the network namespace can connect. So it is the kernel that says who
//! has come (`SO_PEERCRED`), and who debugs it (`TracerPid`): a debugger that attached before the shim was undumpable
//! still reads its memory. No descriptor is inherited and no memfd is made: the same user could open either by
//! `/proc/PID/fd`.
//!
//! ```text
//! shim                        process 1
//!  | ------- connects -------> |  that child? no debugger?
//!  | <-- NAME=VALUE NUL … NUL  |  and no more from this side
//!  | -- 127.0.0.1:25,[::1]:25 LF ->  the app starts
//! ```

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::net::sockopt::socket_peercred;
use rustix::process::Pid;

use crate::names::LoopbackAddr;

/// Names the abstract socket of process 1, in the shim's environment alone. No variable of the configuration: anybody
/// else who sets it gets an error.
pub(super) const SOCKET: &str = "MAILSHIM_EXEC_SOCKET";
/// Octets of the addresses; some addresses fit well.
const LONGEST_LINE: usize = 4096;
/// No environment is longer (`execve` refuses one); a list without an end must not fill the memory.
const LONGEST_LIST: usize = 8 * 1024 * 1024;
/// Connections looked at between two looks at signals and children: others in the network namespace may connect as often
/// as they like, and must not keep process 1 from its work.
const AT_ONCE: usize = 64;

/// What the environment has for us: a variable and its value.
pub(super) type Var = (OsString, OsString);

/// Process 1's side of one start.
pub(super) struct Handover {
    state: State,
    /// For [`SOCKET`].
    pub name: String,
    vars: Vec<u8>,
    bound: Duration,
}

enum State {
    /// The shim has not come.
    Open(UnixListener),
    /// It has its variables; what it has said so far.
    Given(UnixStream, Vec<u8>),
    /// It has said where it listens, or went.
    Over,
}

/// What came of a look at the socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing yet, or nothing any more.
    Nothing,
    /// The shim listens on these addresses, as `MAILSHIM_LISTEN` has them.
    Listening(String),
    /// The shim was not given its variables.
    Refused(String),
}

impl Handover {
    /// Opens the socket for a shim that is yet to be started. Abstract: it needs no file system that can be written to,
    /// and goes away with the process. A write to the shim takes at most `bound`.
    pub fn open(vars: &[Var], bound: Duration) -> io::Result<Self> {
        // Containers that share a network namespace share these names, and each has a process 1.
        let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("mailshim-exec-{}-{unique}", std::process::id());
        let listener = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { state: State::Open(listener), name, vars: encode(vars), bound })
    }

    /// For polling; none once all has been said.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Open(listener) => Some(listener.as_fd()),
            State::Given(stream, _) => Some(stream.as_fd()),
            State::Over => None,
        }
    }

    /// Gives the variables to `shim`, if it has come, and hears what it says. `shim` has not been reaped: its number is
    /// nobody else's.
    pub fn look(&mut self, shim: Option<Pid>) -> Heard {
        if let State::Open(listener) = &self.state {
            let Some(stream) = shim.and_then(|shim| came(listener, shim)) else { return Heard::Nothing };
            // Nobody can connect a second time.
            self.state = State::Over;
            let vars = std::mem::take(&mut self.vars);
            let given = shim.map_or(Ok(()), not_debugged).and_then(|()| give(stream, &vars, self.bound));
            match given {
                Ok(stream) => self.state = State::Given(stream, Vec::new()),
                Err(error) => return Heard::Refused(error.to_string()),
            }
        }
        let State::Given(stream, said) = &mut self.state else { return Heard::Nothing };
        let mut piece = [0; LONGEST_LINE];
        match stream.read(&mut piece) {
            Ok(octets @ 1..) if said.len() + octets <= LONGEST_LINE => {
                said.extend_from_slice(&piece[..octets]);
                if !said.ends_with(b"\n") {
                    return Heard::Nothing;
                }
                let listen = str::from_utf8(said).ok().and_then(addresses).map(str::to_string);
                self.state = State::Over;
                listen.map_or(Heard::Nothing, Heard::Listening)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Heard::Nothing,
            // It went, or says what no shim says. Its own end is told apart from this.
            _ => {
                self.state = State::Over;
                Heard::Nothing
            }
        }
    }
}

/// The connection of this process, if it is among those that wait; the others are closed.
fn came(listener: &UnixListener, shim: Pid) -> Option<UnixStream> {
    let waiting = (0..AT_ONCE).map_while(|_| listener.accept().ok());
    waiting
        .map(|(stream, _)| stream)
        // A process of another namespace of process numbers has none here, and is refused as well.
        .find(|stream| socket_peercred(stream).is_ok_and(|peer| peer.pid == shim))
}

/// Asked after the shim has made itself undumpable: from then on nobody new can attach.
fn not_debugged(shim: Pid) -> io::Result<()> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", shim.as_raw_nonzero()))?;
    match tracer(&status) {
        Some("0") => Ok(()),
        Some(pid) => Err(io::Error::other(format!(
            "process {pid} has attached to it as a debugger and would read the secrets"
        ))),
        None => Err(io::Error::other("/proc does not say whether it is debugged")),
    }
}

fn tracer(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("TracerPid:")).map(str::trim)
}

/// The write is bounded: the app, as the same user, can stop the shim, and must not stop process 1 with it.
fn give(mut stream: UnixStream, vars: &[u8], bound: Duration) -> io::Result<UnixStream> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(bound))?;
    stream.write_all(vars)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// The addresses of a whole line.
fn addresses(line: &str) -> Option<&str> {
    let list = line.strip_suffix('\n')?;
    list.split(',').all(|address| LoopbackAddr::parse(address).is_ok()).then_some(list)
}

/// The shim's side: who started it, if that was `exec`.
pub(super) struct Starter(Option<UnixStream>);

impl Starter {
    /// The variables that are ours to read, and who shall hear that we listen. Undumpable is to be first.
    ///
    /// # Errors
    /// Process 1 does not give them: a sentence's end.
    pub fn meet(environment: impl Iterator<Item = Var>) -> io::Result<(Vec<Var>, Self)> {
        let (ours, mut vars): (Vec<Var>, Vec<Var>) = environment.partition(|(name, _)| name == SOCKET);
        let Some((_, name)) = ours.into_iter().next() else { return Ok((vars, Self(None))) };
        let mut stream = UnixStream::connect_addr(&UnixAddr::from_abstract_name(name.as_bytes())?)?;
        let mut list = Vec::new();
        // Until the end that the list itself has: the connection stays open for our answer.
        let mut piece = [0; 4096];
        while !is_whole(&list) {
            let octets = stream.read(&mut piece)?;
            if octets == 0 || list.len() > LONGEST_LIST {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            list.extend_from_slice(&piece[..octets]);
        }
        vars.extend(decode(&list).ok_or(io::ErrorKind::InvalidData)?);
        Ok((vars, Self(Some(stream))))
    }

    /// Says that these addresses are listened on. A failure is process 1's to notice: it has a deadline.
    pub fn tell_listening(self, addresses: &[SocketAddr]) {
        if let Some(mut stream) = self.0 {
            let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
            let _ = stream.write_all(format!("{}\n", list.join(",")).as_bytes());
        }
    }
}

/// As the kernel keeps an environment, and an empty entry at the end: a list that was cut off is none.
fn encode(vars: &[Var]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, value) in vars {
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            list.extend_from_slice(part);
        }
    }
    list.push(0);
    list
}

/// No entry is empty, so that two NULs stand nowhere but at the end.
fn is_whole(list: &[u8]) -> bool {
    list == b"\0" || list.ends_with(b"\0\0")
}

fn decode(list: &[u8]) -> Option<Vec<Var>> {
    let entries = list.strip_suffix(b"\0").filter(|_| is_whole(list))?;
    let entries = entries.split_inclusive(|octet| *octet == 0).map(|entry| entry.strip_suffix(b"\0"));
    entries
        .map(|entry| {
            let entry = entry?;
            // A name may begin with `=`, as std reads it.
            let at = entry.iter().skip(1).position(|octet| *octet == b'=')? + 1;
            let var = |octets: &[u8]| OsString::from_vec(octets.to_vec());
            Some((var(&entry[..at]), var(&entry[at + 1..])))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::process::parent_id;

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    fn vars() -> Vec<Var> {
        let vars: [(&[u8], &[u8]); 5] =
            [(b"A", b"b"), (b"EMPTY", b""), (b"ODD", b"a=b\n \xff="), (b"=C:", b"x"), (b"LAST", b"")];
        vars.map(|(name, value)| (OsStr::from_bytes(name).into(), OsStr::from_bytes(value).into())).to_vec()
    }

    fn ourselves() -> Pid {
        rustix::process::getpid()
    }

    /// A shim that comes from this process, and what it was given.
    fn come(handover: &Handover) -> std::thread::JoinHandle<io::Result<(Vec<Var>, Starter)>> {
        let environment = [(SOCKET.into(), handover.name.clone().into()), ("PLAIN".into(), "p".into())];
        std::thread::spawn(move || Starter::meet(environment.into_iter()))
    }

    /// Looks until there is something.
    fn look(handover: &mut Handover, shim: Pid, done: impl Fn(&Handover, &Heard) -> bool) -> Heard {
        let end = std::time::Instant::now() + BOUND;
        loop {
            let heard = handover.look(Some(shim));
            if done(handover, &heard) {
                return heard;
            }
            assert!(std::time::Instant::now() < end, "in vain");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_list_comes_through_whole_or_not_at_all() {
        let list = encode(&vars());
        assert_eq!(decode(&list), Some(vars()));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
        for cut in 0..list.len() {
            assert!(!is_whole(&list[..cut]), "{cut}");
            assert_eq!(decode(&list[..cut]), None, "{cut}");
        }
        assert_eq!(decode(b"no name\0\0"), None);
    }

    #[test]
    fn the_child_is_given_its_variables_once_and_says_where_it_listens() {
        let mut handover = Handover::open(&vars(), BOUND).unwrap();
        let shim = come(&handover);
        look(&mut handover, ourselves(), |handover, _| matches!(handover.state, State::Given(..)));
        let (given, starter) = shim.join().unwrap().unwrap();
        assert_eq!(given, [vec![("PLAIN".into(), "p".into())], vars()].concat());
        assert!(come(&handover).join().unwrap().is_err(), "a second time");
        starter.tell_listening(&["127.0.0.1:25".parse().unwrap(), "[::1]:25".parse().unwrap()]);
        let heard = look(&mut handover, ourselves(), |_, heard| *heard != Heard::Nothing);
        assert_eq!(heard, Heard::Listening("127.0.0.1:25,[::1]:25".to_string()));
        assert!(handover.descriptor().is_none());
    }

    #[test]
    fn somebody_else_is_given_nothing_and_does_not_use_the_start_up() {
        let mut handover = Handover::open(&vars(), BOUND).unwrap();
        let stranger = come(&handover);
        let somebody_else = Pid::from_raw(i32::try_from(parent_id()).unwrap()).unwrap();
        while !stranger.is_finished() {
            assert_eq!(handover.look(Some(somebody_else)), Heard::Nothing);
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(stranger.join().unwrap().is_err());
        let shim = come(&handover);
        look(&mut handover, ourselves(), |handover, _| matches!(handover.state, State::Given(..)));
        assert!(shim.join().unwrap().is_ok());
    }

    #[test]
    fn a_debugger_is_seen() {
        assert_eq!(tracer("Name:\tx\nTracerPid:\t0\nUid:\t1\n"), Some("0"));
        assert_eq!(tracer("Name:\tx\nTracerPid:\t812\n"), Some("812"));
        assert_eq!(tracer("Name:\tx\n"), None);
    }

    #[test]
    fn only_loopback_addresses_are_believed() {
        let two = "127.0.0.1:25,[::1]:25";
        assert_eq!(addresses(&format!("{two}\n")), Some(two));
        for line in ["", "\n", two, "0.0.0.0:25\n", "127.0.0.1:25,\n"] {
            assert_eq!(addresses(line), None, "{line}");
        }
    }

    #[test]
    fn a_shim_of_nobodys_reads_its_environment() {
        let (given, starter) = Starter::meet(vars().into_iter()).unwrap();
        assert_eq!(given, vars());
        assert!(starter.0.is_none());
    }
}
