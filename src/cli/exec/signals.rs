//! The signals that come to us, most of which are meant for the app.

use std::io;
use std::os::unix::net::UnixStream;

use rustix::process::Signal;
use rustix_libc_wrappers::process::SignalExt as _;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;

/// What is passed on, beside the real-time signals. Not in the list, since a handler would make them worse or they say
/// something about ourselves: the faults (SEGV, BUS, ILL, FPE, TRAP, SYS, ABRT), PIPE and XFSZ (our own writes), CHLD,
/// and TTIN and TTOU (our own use of the terminal).
const FORWARDED: [Signal; 17] = [
    Signal::HUP,
    Signal::INT,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::TERM,
    Signal::STKFLT,
    Signal::CONT,
    Signal::TSTP,
    Signal::URG,
    Signal::XCPU,
    Signal::VTALARM,
    Signal::PROF,
    Signal::WINCH,
    Signal::IO,
    Signal::POWER,
];

/// The signals that have arrived, and a descriptor that becomes readable with each.
pub(super) struct Signals(SignalDelivery<UnixStream, SignalOnly>);

impl Signals {
    /// From here on no signal is lost or has its default effect.
    pub fn take() -> io::Result<Self> {
        let real_time = (0..).map_while(Signal::rt);
        let all = FORWARDED.into_iter().chain(real_time).chain([Signal::CHILD]).map(Signal::as_raw);
        let (read, write) = UnixStream::pair()?;
        Ok(Self(SignalDelivery::with_pipe(read, write, SignalOnly, all)?))
    }

    /// For polling.
    pub fn descriptor(&self) -> &UnixStream {
        self.0.get_read()
    }

    /// What has come for the app since the last call, each at most once, in no order: nor does the kernel keep any.
    pub fn pending(&mut self) -> Vec<Signal> {
        let all = self.0.pending().filter_map(Signal::from_raw);
        all.filter(|signal| *signal != Signal::CHILD).collect()
    }
}
