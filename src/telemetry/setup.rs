//! Where the events go: standard error, as text for people or JSON for machines.

use std::io::{self, IsTerminal as _};
use std::str::FromStr as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{error, subscriber, warn};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, reload};

use super::addresses::{self, AddressDetail};
use super::filter::LogFilter;
use super::metrics::metrics;

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
    /// Text on a terminal, else JSON.
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

/// Starts the log; before it, nothing is written.
///
/// Other crates stay at `warn` unless the filter names them: a dependency's trace line can print a token.
pub fn init(config: &LogConfig) {
    addresses::show(config.addresses);
    let is_json = match config.format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !io::stderr().is_terminal(),
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_target(false);
    let layer = if is_json {
        layer.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
    } else {
        layer.with_ansi(false).boxed()
    };
    let (filter, handle) = reload::Layer::new(targets(config.filter.as_str()));
    // A second start of it in one process (tests) keeps the first.
    if subscriber::set_global_default(tracing_subscriber::registry().with(layer.with_filter(filter))).is_ok()
    {
        let _ = FILTER.set((handle, config.filter.as_str().to_string(), AtomicUsize::new(0)));
    }
    std::panic::set_hook(Box::new(|panic| {
        metrics().panicked();
        // The place, and not the message: that may hold content.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(place, "a part of mailshim panicked; please report this");
    }));
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
