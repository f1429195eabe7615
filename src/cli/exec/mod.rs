//! `mailshim exec -- CMD ARGS…`: process 1 of an image that holds the app and mailshim.
//!
//! Two processes beside the app: this one, which does nothing but wait, and the shim, which is this program again as
//! `mailshim run`. The order of things:
//!
//! 1. The configuration is read; a mistake ends it with 64, and the app is never started.
//! 2. The shim is started without a secret in its environment, is handed them once nobody can read its memory
//!    ([`handover`]), and says when it listens. Then the app is started, in a process group of its own, without
//!    mailshim's variables ([`environment`]) and with the terminal, if there is one ([`terminal`]).
//! 3. Signals go to the app's process group ([`signals`]). Orphans are reaped, as process 1 or as a subreaper.
//! 4. When the app's main process has ended, the shim gets SIGTERM, finishes what is in hand, and the app's exit code
//!    (128 and the number for a signal) is ours. Whatever else the app left running is not waited for, as with
//!    docker-init: in a container it ends with process 1.
//!
//! Exit codes of its own: 64 for usage and configuration, 126 and 127 for an app that cannot be run or is not there, 70
//! where the shim died under the app, and the shim's own where it could not start.

mod environment;
mod news;
mod signals;
mod supervisor;
mod terminal;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, geteuid, getpid, kill_process, kill_process_group,
    set_child_subreaper, wait,
};

use crate::cli::exit::{SOFTWARE, USAGE};
use crate::cli::handover::{self, Handover, Heard};
use crate::cli::hardening;
use crate::config::{Config, OnFailure};
use crate::deadlines::Deadlines;
use crate::telemetry;
use signals::Signals;
use supervisor::{Ended, Event, Order, Supervisor, Times};
use terminal::Terminal;

/// This program, whatever has become of the file that it was started from.
const OURSELVES: &str = "/proc/self/exe";
/// As a shell has it: found, and cannot be run.
const CANNOT_RUN: u8 = 126;
/// As a shell has it: not found.
const NOT_FOUND: u8 = 127;

/// Runs the command that the arguments give, beside the shim.
pub(super) fn exec(arguments: &[OsString]) -> ExitCode {
    let arguments = arguments.strip_prefix(&[OsString::from("--")]).unwrap_or(arguments);
    let Some((program, arguments)) = arguments.split_first() else {
        eprintln!("mailshim: exec: no command: write mailshim exec -- CMD ARGS…");
        return ExitCode::from(USAGE);
    };
    // Before anything else runs beside us: our first environment holds every secret.
    let hidden = hardening::hide_memory();
    let config = match Config::from_env(std::env::vars_os()) {
        Ok(config) => config,
        Err(errors) => {
            telemetry::before_the_log(&errors.to_string());
            return ExitCode::from(USAGE);
        }
    };
    let _log = telemetry::init(&config.log);
    if let Err(error) = hidden {
        telemetry::not_hardened(&error);
    }
    tell_of_open_walls(config.exec_on_failure);
    let mut command = Command::new(program);
    command.args(arguments);
    match Supervised::start(command, &config, &Deadlines::default()) {
        Ok(supervised) => ExitCode::from(supervised.run()),
        Err(error) => {
            telemetry::start_failed(&format!("exec cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Says where the app could get at the secrets after all.
fn tell_of_open_walls(on_failure: OnFailure) {
    if geteuid().is_root() {
        news::runs_as_root();
    } else if on_failure == OnFailure::Restart && File::open(OURSELVES).is_ok() {
        news::program_is_readable();
    }
}

/// The two processes and what is known of them.
struct Supervised {
    supervisor: Supervisor,
    signals: Signals,
    /// Of the last start of the shim.
    handover: Option<Handover>,
    /// The longest that process 1 may be busy with giving the shim its variables.
    handover_bound: Duration,
    terminal: Terminal,
    command: Command,
    /// Its process group has the same number. None before it runs and once it has been reaped: then the number may
    /// be another's.
    app: Option<Pid>,
    /// As the app's.
    shim: Option<Pid>,
    /// The addresses that the shim told.
    listen: Option<String>,
}

impl Supervised {
    fn start(command: Command, config: &Config, deadlines: &Deadlines) -> io::Result<Self> {
        let signals = Signals::take()?;
        // Orphans come to process 1 by themselves, and to anybody else only like this.
        set_child_subreaper(Some(getpid()))?;
        let times = Times::new(deadlines, config.shutdown_grace);
        let mut this = Self {
            supervisor: Supervisor::new(config.exec_on_failure, times, Instant::now()),
            signals,
            handover: None,
            handover_bound: deadlines.shim_handover,
            terminal: Terminal::controlling(),
            command,
            app: None,
            shim: None,
            listen: None,
        };
        this.start_shim()?;
        Ok(this)
    }

    /// Until the end; returns the exit code.
    fn run(mut self) -> u8 {
        loop {
            self.sleep();
            let mut events = self.events();
            while let Some(event) = events.pop_front() {
                for order in self.supervisor.on(event, Instant::now()) {
                    if let Order::Exit(code) = order {
                        return code;
                    }
                    events.extend(self.obey(order));
                }
            }
        }
    }

    /// Returns when there may be something to do.
    fn sleep(&self) {
        let left = self.supervisor.deadline().map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut descriptors = vec![PollFd::new(self.signals.descriptor(), PollFlags::IN)];
        let handover = self.handover.as_ref().and_then(Handover::descriptor);
        descriptors.extend(handover.map(|handover| PollFd::from_borrowed_fd(handover, PollFlags::IN)));
        // Interrupted is as good as woken.
        let _ = poll(&mut descriptors, timeout.as_ref());
    }

    fn events(&mut self) -> VecDeque<Event> {
        // Before reaping: a SIGCHLD that comes between the two leaves a byte for the next poll.
        let signals = self.signals.pending();
        let mut events = VecDeque::new();
        // Before reaping too: until then the shim's number is its own.
        let heard = self.handover.as_mut().map_or(Heard::Nothing, |handover| handover.look(self.shim));
        let (mut app, mut shim) = (None, None);
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            match (ended(status), status.stopping_signal()) {
                (Some(ended), _) if self.app == Some(pid) => app = Some(ended),
                (Some(ended), _) if self.shim == Some(pid) => shim = Some(ended),
                (None, Some(signal)) if self.app == Some(pid) => terminal::app_stopped(pid, signal),
                _ => {}
            }
        }
        if let Some(ended) = app {
            self.app = None;
            events.push_back(Event::App(ended));
        }
        if let Some(ended) = shim {
            self.shim = None;
            // A socket that nobody will be given anything by: strangers who connect would keep us awake.
            self.handover = None;
            events.push_back(Event::Shim(ended));
        }
        match heard {
            Heard::Nothing => {}
            // One that has listened and died is a dead one.
            Heard::Listening(_) if self.shim.is_none() => {}
            Heard::Listening(listen) => {
                self.listen = Some(listen);
                events.push_back(Event::Listening);
            }
            Heard::Refused(problem) => news::not_handed_over(&problem),
        }
        events.extend(signals.into_iter().map(Event::Signal));
        events.push_back(Event::Time);
        events
    }

    /// Carries an order out; a failure is an event.
    fn obey(&mut self, order: Order) -> Option<Event> {
        match order {
            Order::StartApp => return self.start_app().err().map(Event::App),
            Order::StartShim => {
                if let Err(error) = self.start_shim() {
                    telemetry::start_failed(&format!("the shim cannot be started: {error}"));
                    return Some(Event::Shim(Ended::Code(SOFTWARE)));
                }
            }
            Order::SignalApp(signal) => {
                if let Some(app) = self.app {
                    if signal == Signal::CONT {
                        // A shell has brought us to the foreground again, perhaps.
                        self.terminal.hand_over(app);
                    }
                    let _ = kill_process_group(app, signal);
                }
            }
            Order::SignalShim(signal) => {
                if let Some(shim) = self.shim {
                    let _ = kill_process(shim, signal);
                }
            }
            Order::Tell(news) => news::tell(news),
            Order::Exit(_) => {}
        }
        None
    }

    fn start_shim(&mut self) -> io::Result<()> {
        let (open, kept) = environment::for_the_shim(std::env::vars_os(), self.listen.as_deref());
        let handover = Handover::open(&kept, self.handover_bound)?;
        let mut command = Command::new(OURSELVES);
        // Not in the terminal's foreground: Ctrl-C is for the app, after which there may be mail to finish.
        command.arg0("mailshim").arg("run").stdin(Stdio::null()).process_group(0);
        command.env_clear().envs(open).env(handover::SOCKET, &handover.name);
        self.shim = Some(Pid::from_child(&command.spawn()?));
        self.handover = Some(handover);
        Ok(())
    }

    fn start_app(&mut self) -> Result<(), Ended> {
        let listen = self.listen.as_deref().unwrap_or_default();
        let vars = environment::for_the_app(std::env::vars_os(), listen);
        self.command.env_clear().envs(vars).process_group(0);
        match self.command.spawn() {
            Ok(child) => {
                let app = Pid::from_child(&child);
                self.app = Some(app);
                self.terminal.hand_over(app);
                news::app_started(app.as_raw_nonzero().get(), listen);
                Ok(())
            }
            Err(error) => {
                news::app_not_started(&self.command.get_program().to_string_lossy(), &error);
                Err(Ended::Code(if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { CANNOT_RUN }))
            }
        }
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    let octet = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
    let by_itself = status.exit_status().map(|code| Ended::Code(octet(code)));
    by_itself.or_else(|| status.terminating_signal().map(|signal| Ended::Signal(octet(signal))))
}
