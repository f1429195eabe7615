//! From an event to a line on standard error: what is let through, and how it looks.

use std::io::{self, IsTerminal as _};
use std::str::FromStr as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber, error, subscriber, warn};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{Registry, reload};

use super::addresses::{self, AddressDetail};
use super::filter::LogFilter;
use super::line::{LEVELS, Line, Look};
use super::metrics::metrics;
use super::writer::{self, Dropped};

/// What to log, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// What is logged.
    pub filter: LogFilter,
    /// How a line looks.
    pub format: LogFormat,
    /// How much of an address a line shows.
    pub addresses: AddressDetail,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON under Kubernetes, else text.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl LogFormat {
    /// Reads `MAILSHIM_LOG_FORMAT`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is not a log format: write auto, text or json".to_string()),
        }
    }
}

/// The filter in force, to be changed while the program runs.
static FILTER: OnceLock<(reload::Handle<Targets, Registry>, String, AtomicUsize)> = OnceLock::new();

/// How lines look here.
static LOOK: OnceLock<Look> = OnceLock::new();

/// Every event becomes a line in the writer's queue.
struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        write(&Line::of(event));
    }
}

/// Whether a line of ours of this level is written.
pub(super) fn lets_through(level: Level) -> bool {
    match level {
        Level::INFO => tracing::enabled!(target: "mailshim::telemetry", Level::INFO),
        Level::WARN => tracing::enabled!(target: "mailshim::telemetry", Level::WARN),
        _ => tracing::enabled!(target: "mailshim::telemetry", Level::DEBUG),
    }
}

/// Queues a line.
pub(super) fn write(line: &Line) {
    writer::push(line.level, line.render(look_here()));
}

/// Whether a line's words are read, not its fields.
pub(super) fn is_for_people() -> bool {
    look_here() != Look::Json
}

fn look_here() -> Look {
    LOOK.get().copied().unwrap_or(Look::Text)
}

/// The reader is back: what it has missed.
fn lines_dropped(dropped: &Dropped) -> (Level, Vec<u8>) {
    let mut line = Line::new(
        Level::WARN,
        "the log was not read for a while: the newest lines were dropped, and mail went on",
    );
    line.plain("dropped", dropped.iter().sum::<u64>());
    for (level, count) in LEVELS.iter().zip(dropped).filter(|(_, count)| **count > 0) {
        line.plain(level, count);
    }
    (line.level, line.render(look_here()))
}

/// The log for as long as this lives; its end waits for what is not yet written, and not for long.
#[must_use]
pub struct Log(());

impl Drop for Log {
    fn drop(&mut self) {
        writer::flush();
    }
}

/// Says something before the log is configured: its format may be among the mistakes. The reader may be as slow as later.
pub fn before_the_log(text: &str) {
    writer::start(lines_dropped);
    for line in text.split_inclusive('\n') {
        writer::push(Level::ERROR, line.as_bytes().to_vec());
    }
    writer::push(Level::ERROR, b"\n".to_vec());
    writer::flush();
}

/// Starts the log; before it, nothing is written.
///
/// Other crates stay at `warn` unless the filter names them: a dependency's trace line can print a token.
pub fn init(config: &LogConfig) -> Log {
    addresses::show(config.addresses);
    let _ = LOOK.set(look(config.format));
    writer::start(lines_dropped);
    let (filter, handle) = reload::Layer::new(targets(config.filter.as_str()));
    // A second start of it in one process (tests) keeps the first.
    if subscriber::set_global_default(tracing_subscriber::registry().with(Lines.with_filter(filter))).is_ok()
    {
        let _ = FILTER.set((handle, config.filter.as_str().to_string(), AtomicUsize::new(0)));
    }
    std::panic::set_hook(Box::new(|panic| {
        metrics().panicked();
        // The place, and not the message: that may hold content.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "a part of mailshim panicked; please report this");
    }));
    Log(())
}

/// JSON where a machine reads: on a host with a container engine alone, and at a terminal, a person does.
fn look(format: LogFormat) -> Look {
    // The kubelet sets it in every container.
    let is_kubernetes = || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    match format {
        LogFormat::Json => Look::Json,
        LogFormat::Auto if is_kubernetes() => Look::Json,
        LogFormat::Auto | LogFormat::Text if io::stderr().is_terminal() => Look::Colours,
        LogFormat::Auto | LogFormat::Text => Look::Text,
    }
}

/// Raises the level to debug, then to trace, then back to what was configured (SIGUSR1).
pub fn raise_level() {
    let Some((handle, configured, raised)) = FILTER.get() else { return };
    let level = ["", ",debug", ",trace"][(raised.fetch_add(1, Ordering::Relaxed) + 1) % 3];
    let filter = format!("{configured}{level}");
    let _ = handle.reload(targets(&filter));
    warn!(filter, "the log level was changed by SIGUSR1");
}

/// `info` or `info,hyper=debug`: a bare level is ours alone.
fn targets(filter: &str) -> Targets {
    let mut targets =
        Targets::new().with_default(LevelFilter::WARN).with_target("mailshim", LevelFilter::INFO);
    for part in filter.split(',').map(str::trim) {
        if let Ok(level) = LevelFilter::from_str(part) {
            targets = targets.with_target("mailshim", level);
            if level < LevelFilter::WARN {
                targets = targets.with_default(level);
            }
        } else if let Some((target, level)) = part.split_once('=')
            && let Ok(level) = LevelFilter::from_str(level)
        {
            targets = targets.with_target(target.to_string(), level);
        }
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn a_bare_level_is_ours_alone() {
        let trace = targets("trace");
        assert!(trace.would_enable("mailshim::upstream", &Level::TRACE));
        assert!(!trace.would_enable("rustls::client", &Level::DEBUG));
        assert!(trace.would_enable("rustls::client", &Level::WARN));
        assert!(targets("info,rustls=debug").would_enable("rustls::client", &Level::DEBUG));
        assert!(!targets("error").would_enable("hyper", &Level::WARN));
        assert!(!targets("off").would_enable("mailshim", &Level::ERROR));
    }
}
