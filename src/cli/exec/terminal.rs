//! The controlling terminal, if there is one, belongs to the app: its process group is put in the foreground, so that
//! it can read, and hears Ctrl-C.

use std::fs::{File, OpenOptions};

use rustix::process::{
    Pid, Signal, getpgid, getpgrp, getpid, getppid, getsid, kill_process, kill_process_group,
};
use rustix::termios::{tcgetpgrp, tcsetpgrp};

/// The controlling terminal.
pub(super) struct Terminal(Option<File>);

impl Terminal {
    /// Opens it. Standard input may be something else, so it is asked for by its name.
    pub fn controlling() -> Self {
        Self(OpenOptions::new().read(true).write(true).open("/dev/tty").ok())
    }

    /// Puts the app's group in the foreground, if we are there ourselves: to do so from the background would stop us.
    pub fn hand_over(&self, app: Pid) {
        let Some(tty) = &self.0 else { return };
        if tcgetpgrp(tty).ok() == Some(getpgrp()) && tcsetpgrp(tty, app).is_ok() {
            // It may have been faster than we were, and been stopped for reading from the background.
            let _ = kill_process_group(app, Signal::CONT);
        }
    }
}

/// The app was stopped with Ctrl-Z. A shell above us, if there is one, must see us stop, or it would wait for ever;
/// where there is none, nobody could ever continue the app, so that it is continued at once.
pub(super) fn app_stopped(app: Pid, signal: i32) {
    if is_job_of_a_shell() {
        let by_the_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
        if by_the_terminal.contains(&signal) {
            let _ = kill_process(getpid(), Signal::STOP);
        }
    } else if signal == Signal::TSTP.as_raw() {
        // Not for TTIN and TTOU: an app in the background would be stopped again at once, and again.
        let _ = kill_process_group(app, Signal::CONT);
    }
}

/// Our parent is in our session and not in our process group: what POSIX calls not orphaned.
fn is_job_of_a_shell() -> bool {
    let Some(parent) = getppid() else { return false };
    let same_session =
        matches!((getsid(Some(parent)), getsid(None)), (Ok(theirs), Ok(ours)) if theirs == ours);
    same_session && getpgid(Some(parent)).is_ok_and(|group| group != getpgrp())
}
