//! What is logged (`MAILSHIM_LOG`).

use tracing::level_filters::LevelFilter;

/// Levels and `target=level` pairs, as `tracing_subscriber::filter::Targets` reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Reads a level, or a comma list with `target=level`. A bare target, which tracing would take, is refused: a
    /// misspelt level looks the same and would silence the log.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the filter.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_level = |level: &str| !level.is_empty() && level.parse::<LevelFilter>().is_ok();
        let is_target = |target: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-');
            !target.is_empty() && target.bytes().all(plain)
        };
        let is_directive = |directive: &str| match directive.split_once('=') {
            Some((target, level)) => is_target(target) && is_level(level),
            None => is_level(directive),
        };
        if text.split(',').all(is_directive) {
            Ok(Self(text.to_string()))
        } else {
            Err("is not a log filter: write a level (off, error, warn, info, debug, trace) \
                 or a comma list with target=level, such as info,mailshim::upstream=debug"
                .to_string())
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filters() {
        for text in ["info", "OFF", "warn,mailshim=debug", "mailshim::upstream=trace,rustls=warn"] {
            assert_eq!(LogFilter::parse(text).unwrap().as_str(), text);
            text.parse::<tracing_subscriber::filter::Targets>().unwrap();
        }
        for text in ["inof", "info,", "mailshim", "mailshim=loud", "=info", "a[b]=info", "mailshim="] {
            assert!(LogFilter::parse(text).is_err(), "{text}");
        }
    }
}
