//! What to do when, without a process, a signal or a clock in hand: events in, orders out.
//!
//! | state | left when |
//! |---|---|
//! | `Starting` | the shim listens: the app is started; it ends or is silent for too long, or a signal asks: the end |
//! | `Running` | the app ends: the shim is asked to finish; the shim ends: the app is asked to, or a new shim is started |
//! | `Stopping` | the app has ended, however long that takes: it is never killed |
//! | `Draining` | the shim has ended: so do we |

use std::fmt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::cli::exit::SOFTWARE;
use crate::config::OnFailure;
use crate::deadlines::Deadlines;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Ended {
    /// As a shell has it: a signal is 128 and its number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The shim listens.
    Listening,
    /// The app's main process has ended, or could not be started.
    App(Ended),
    /// The shim has ended, or could not be started.
    Shim(Ended),
    /// A signal came for the app.
    Signal(Signal),
    /// Time has passed; comes after every wait.
    Time,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    StartApp,
    StartShim,
    SignalApp(Signal),
    SignalShim(Signal),
    Tell(News),
    Exit(u8),
}

/// What the log shall say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It has not said that it listens for this long, and is ended.
    ShimSilent(Duration),
    /// It ended under a running app, which is asked to end too.
    ShimEnded(Ended),
    /// It ended under a running app, and is started again after this long.
    ShimRestarts(Ended, Duration),
    /// The app has ended; what is in hand is finished, at most this long.
    Draining(Ended, Duration),
    /// It has not ended when its grace was long over.
    ShimKilled,
}

/// The times it needs.
#[derive(Clone, Debug)]
pub(super) struct Times {
    /// Until the shim listens.
    pub start: Duration,
    /// For the shim to end by itself, once asked.
    pub drain: Duration,
    /// Pause before the first restart; doubled for each after it.
    pub pause_least: Duration,
    /// The longest pause; a shim that lived this long has the first pause again.
    pub pause_most: Duration,
}

impl Times {
    pub fn new(deadlines: &Deadlines, shutdown_grace: Duration) -> Self {
        Self {
            start: deadlines.shim_start,
            drain: shutdown_grace + deadlines.shim_overtime,
            pause_least: deadlines.restart_least,
            pause_most: deadlines.restart_most,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Starting { until: Instant },
    Running { shim: Shim },
    Stopping,
    Draining { code: u8, until: Option<Instant> },
}

#[derive(Clone, Copy, Debug)]
enum Shim {
    Up { since: Instant },
    Down { until: Instant },
}

pub(super) struct Supervisor {
    on_failure: OnFailure,
    times: Times,
    pause: Duration,
    state: State,
}

impl Supervisor {
    /// The shim has just been started.
    pub fn new(on_failure: OnFailure, times: Times, now: Instant) -> Self {
        let (pause, until) = (times.pause_least, now + times.start);
        Self { on_failure, times, pause, state: State::Starting { until } }
    }

    /// When [`Event::Time`] is due.
    pub const fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Starting { until } | State::Running { shim: Shim::Down { until } } => Some(until),
            State::Draining { until, .. } => until,
            State::Running { shim: Shim::Up { .. } } | State::Stopping => None,
        }
    }

    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Order> {
        match (self.state, event) {
            (State::Starting { .. }, Event::Listening) => {
                self.state = State::Running { shim: Shim::Up { since: now } };
                vec![Order::StartApp]
            }
            // It has told why.
            (State::Starting { .. }, Event::Shim(ended)) => vec![Order::Exit(failure(ended))],
            (State::Starting { .. }, Event::Signal(signal)) if asks_to_end(signal) => {
                let code = 128_u8.saturating_add(u8::try_from(signal.as_raw()).unwrap_or_default());
                self.drain(code, now)
            }
            (State::Starting { until }, Event::Time) if now >= until => {
                let news = News::ShimSilent(self.times.start);
                [vec![Order::Tell(news)], self.drain(1, now)].concat()
            }

            (State::Running { shim }, Event::App(ended)) => match shim {
                Shim::Up { .. } => {
                    let news = News::Draining(ended, self.times.drain);
                    [vec![Order::Tell(news)], self.drain(ended.code(), now)].concat()
                }
                Shim::Down { .. } => vec![Order::Exit(ended.code())],
            },
            (State::Running { shim: Shim::Up { since } }, Event::Shim(ended)) => match self.on_failure {
                OnFailure::Stop => {
                    self.state = State::Stopping;
                    vec![Order::Tell(News::ShimEnded(ended)), Order::SignalApp(Signal::TERM)]
                }
                OnFailure::Restart => vec![self.restart_later(ended, since, now)],
            },
            (State::Running { shim: Shim::Down { until } }, Event::Time) if now >= until => {
                self.state = State::Running { shim: Shim::Up { since: now } };
                vec![Order::StartShim]
            }

            // The app's own code would say that all was well, and an orchestrator would not start us again.
            (State::Stopping, Event::App(_)) => vec![Order::Exit(SOFTWARE)],
            (State::Running { .. } | State::Stopping, Event::Signal(signal)) => {
                vec![Order::SignalApp(signal)]
            }

            (State::Draining { code, .. }, Event::Shim(_)) => vec![Order::Exit(code)],
            // A second SIGINT ends it at once.
            (State::Draining { .. }, Event::Signal(signal @ (Signal::TERM | Signal::INT))) => {
                vec![Order::SignalShim(signal)]
            }
            (State::Draining { code, until: Some(until) }, Event::Time) if now >= until => {
                self.state = State::Draining { code, until: None };
                vec![Order::Tell(News::ShimKilled), Order::SignalShim(Signal::KILL)]
            }
            _ => Vec::new(),
        }
    }

    /// The shim finishes what is in hand; then we end with this code.
    fn drain(&mut self, code: u8, now: Instant) -> Vec<Order> {
        self.state = State::Draining { code, until: Some(now + self.times.drain) };
        vec![Order::SignalShim(Signal::TERM)]
    }

    fn restart_later(&mut self, ended: Ended, since: Instant, now: Instant) -> Order {
        if now.duration_since(since) >= self.times.pause_most {
            self.pause = self.times.pause_least;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(self.times.pause_most);
        self.state = State::Running { shim: Shim::Down { until: now + pause } };
        Order::Tell(News::ShimRestarts(ended, pause))
    }
}

/// A shim that ends before the app was started has failed, whatever it says.
const fn failure(ended: Ended) -> u8 {
    match ended {
        Ended::Code(code) if code != 0 => code,
        _ => SOFTWARE,
    }
}

/// Before there is an app, the signals that would have ended it end us.
fn asks_to_end(signal: Signal) -> bool {
    [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP].contains(&signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        start: Duration::from_secs(30),
        drain: Duration::from_secs(25),
        pause_least: Duration::from_secs(1),
        pause_most: Duration::from_secs(8),
    };
    const KILLED: Ended = Ended::Signal(9);

    /// A supervisor on a clock of its own.
    struct Play {
        supervisor: Supervisor,
        now: Instant,
    }

    impl Play {
        fn new(on_failure: OnFailure) -> Self {
            let now = Instant::now();
            Self { supervisor: Supervisor::new(on_failure, TIMES, now), now }
        }

        fn running(on_failure: OnFailure) -> Self {
            let mut play = Self::new(on_failure);
            assert_eq!(play.on(Event::Listening), [Order::StartApp]);
            play
        }

        fn on(&mut self, event: Event) -> Vec<Order> {
            self.supervisor.on(event, self.now)
        }

        /// Lets the time pass that the supervisor waits for, to the instant.
        fn wait(&mut self, expected: Duration) -> Vec<Order> {
            assert_eq!(self.supervisor.deadline(), Some(self.now + expected));
            self.now += expected.checked_sub(Duration::from_nanos(1)).unwrap();
            assert_eq!(self.on(Event::Time), []);
            self.now += Duration::from_nanos(1);
            self.on(Event::Time)
        }
    }

    #[test]
    fn the_app_ends_first_and_then_the_shim_is_asked_to() {
        let mut play = Play::running(OnFailure::Stop);
        assert_eq!(play.on(Event::Signal(Signal::TERM)), [Order::SignalApp(Signal::TERM)]);
        assert_eq!(play.supervisor.deadline(), None, "an app may take as long as it likes");
        let ended = Ended::Code(3);
        let draining = Order::Tell(News::Draining(ended, TIMES.drain));
        assert_eq!(play.on(Event::App(ended)), [draining, Order::SignalShim(Signal::TERM)]);
        assert_eq!(play.on(Event::Signal(Signal::HUP)), []);
        assert_eq!(play.on(Event::Signal(Signal::INT)), [Order::SignalShim(Signal::INT)]);
        assert_eq!(play.on(Event::Shim(Ended::Code(0))), [Order::Exit(3)]);
    }

    #[test]
    fn a_shim_that_does_not_end_is_killed_once_and_waited_for() {
        let mut play = Play::running(OnFailure::Stop);
        play.on(Event::App(Ended::Signal(15)));
        let killed = [Order::Tell(News::ShimKilled), Order::SignalShim(Signal::KILL)];
        assert_eq!(play.wait(TIMES.drain), killed);
        assert_eq!(play.supervisor.deadline(), None);
        assert_eq!(play.on(Event::Shim(KILLED)), [Order::Exit(143)]);
    }

    #[test]
    fn before_the_shim_listens_there_is_no_app() {
        for (ended, code) in [(Ended::Code(64), 64), (Ended::Code(1), 1), (Ended::Code(0), 70), (KILLED, 70)]
        {
            assert_eq!(Play::new(OnFailure::Restart).on(Event::Shim(ended)), [Order::Exit(code)]);
        }
        let mut play = Play::new(OnFailure::Stop);
        assert_eq!(play.on(Event::Signal(Signal::USR1)), []);
        assert_eq!(play.on(Event::Signal(Signal::TERM)), [Order::SignalShim(Signal::TERM)]);
        assert_eq!(play.on(Event::Listening), [], "too late");
        assert_eq!(play.on(Event::Shim(Ended::Code(0))), [Order::Exit(143)]);

        let mut play = Play::new(OnFailure::Stop);
        let silent = [Order::Tell(News::ShimSilent(TIMES.start)), Order::SignalShim(Signal::TERM)];
        assert_eq!(play.wait(TIMES.start), silent);
        assert_eq!(play.on(Event::Shim(Ended::Code(0))), [Order::Exit(1)]);
    }

    #[test]
    fn stop_asks_the_app_and_never_kills_it() {
        let mut play = Play::running(OnFailure::Stop);
        let orders = [Order::Tell(News::ShimEnded(KILLED)), Order::SignalApp(Signal::TERM)];
        assert_eq!(play.on(Event::Shim(KILLED)), orders);
        assert_eq!(play.supervisor.deadline(), None);
        assert_eq!(play.on(Event::Signal(Signal::USR1)), [Order::SignalApp(Signal::USR1)]);
        assert_eq!(play.on(Event::App(Ended::Code(0))), [Order::Exit(70)]);
    }

    #[test]
    fn restart_pauses_longer_each_time_and_starts_afresh_after_a_good_while() {
        let mut play = Play::running(OnFailure::Restart);
        for seconds in [1, 2, 4, 8, 8] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(play.on(Event::Shim(KILLED)), [Order::Tell(News::ShimRestarts(KILLED, pause))]);
            assert_eq!(play.wait(pause), [Order::StartShim]);
            assert_eq!(play.on(Event::Listening), [], "the app runs already");
        }
        play.now += TIMES.pause_most;
        let afresh = Order::Tell(News::ShimRestarts(KILLED, TIMES.pause_least));
        assert_eq!(play.on(Event::Shim(KILLED)), [afresh]);
        assert_eq!(play.on(Event::App(Ended::Code(5))), [Order::Exit(5)], "nothing to drain");
    }
}
