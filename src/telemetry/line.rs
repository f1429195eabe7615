//! One line of the log: its fields, as JSON for machines and as text for people. No line is longer than the kernel
//! writes in one piece.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use time::OffsetDateTime;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// PIPE_BUF: the app may write to the same pipe, and two lines must not end up inside each other.
pub(super) const LONGEST: usize = 4096;
/// What a field's text is cut to where the line is too long: the first that makes it fit.
const CUTS: [usize; 6] = [1024, 512, 256, 128, 64, 16];

/// The levels, as `mailshim_log_lines_dropped_total` names them.
pub(super) const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// A number or a truth value, as JSON writes it.
    Plain(String),
    List(Vec<String>),
}

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Json,
    Text,
    /// On a terminal.
    Colours,
}

/// A line before it is written.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub at: SystemTime,
    pub level: Level,
    pub message: String,
    pub fields: Vec<(&'static str, Value)>,
    /// What a person reads instead of the message and the fields.
    pub words: Option<String>,
}

impl Line {
    pub fn new(level: Level, message: impl Into<String>) -> Self {
        Self { at: SystemTime::now(), level, message: message.into(), fields: Vec::new(), words: None }
    }

    /// What an event holds.
    pub fn of(event: &Event<'_>) -> Self {
        let mut line = Self::new(*event.metadata().level(), "");
        event.record(&mut line);
        line
    }

    pub fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.fields.push((name, Value::Text(value.into())));
    }

    pub fn plain(&mut self, name: &'static str, value: impl fmt::Display) {
        self.fields.push((name, Value::Plain(value.to_string())));
    }

    /// The octets to write, its line end included.
    pub fn render(&self, look: Look) -> Vec<u8> {
        let mut text = self.rendered(look, usize::MAX);
        for cut in CUTS {
            if text.len() < LONGEST {
                break;
            }
            text = self.rendered(look, cut);
        }
        // Not reached by a line of ours: what another crate's event holds has no bound.
        if text.len() >= LONGEST {
            let bare = Self { fields: Vec::new(), words: None, ..self.clone() };
            text = bare.rendered(look, CUTS[0]);
        }
        text.push('\n');
        text.into_bytes()
    }

    fn rendered(&self, look: Look, cut: usize) -> String {
        match look {
            Look::Json => self.json(cut),
            Look::Text => self.for_people(cut, false),
            Look::Colours => self.for_people(cut, true),
        }
    }

    fn json(&self, cut: usize) -> String {
        let mut out = String::with_capacity(512);
        out.push_str("{\"timestamp\":");
        quoted(&mut out, &timestamp(self.at));
        let _ = write!(out, ",\"level\":\"{}\",\"message\":", self.level);
        quoted(&mut out, &shortened(&self.message, cut));
        for (name, value) in &self.fields {
            out.push(',');
            quoted(&mut out, name);
            out.push(':');
            match value {
                Value::Text(text) => quoted(&mut out, &shortened(text, cut)),
                Value::Plain(plain) => out.push_str(plain),
                Value::List(items) => {
                    out.push('[');
                    for (index, item) in items.iter().enumerate() {
                        if index > 0 {
                            out.push(',');
                        }
                        quoted(&mut out, &shortened(item, cut));
                    }
                    out.push(']');
                }
            }
        }
        out.push('}');
        out
    }

    fn for_people(&self, cut: usize, coloured: bool) -> String {
        let (colour, faint, end) = match (coloured, self.level) {
            (false, _) => ("", "", ""),
            (true, Level::ERROR) => ("\x1b[31m", "\x1b[2m", "\x1b[0m"),
            (true, Level::WARN) => ("\x1b[33m", "\x1b[2m", "\x1b[0m"),
            (true, Level::INFO) => ("\x1b[32m", "\x1b[2m", "\x1b[0m"),
            (true, _) => ("\x1b[2m", "\x1b[2m", "\x1b[0m"),
        };
        let mut out = format!("{faint}{}{end} {colour}{:>5}{end} ", timestamp(self.at), self.level.as_str());
        if let Some(words) = &self.words {
            let _ = write!(out, "{}", shortened(words, cut.saturating_mul(3)));
            return out;
        }
        let _ = write!(out, "{}", shortened(&self.message, cut));
        for (name, value) in &self.fields {
            let _ = write!(out, " {faint}{name}={end}");
            match value {
                Value::Text(text) => out.push_str(&shortened(text, cut)),
                Value::Plain(plain) => out.push_str(plain),
                Value::List(items) => out.push_str(&shortened(&items.join(","), cut)),
            }
        }
        out
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            name => self.text(name, value),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_string(),
            name => self.text(name, value),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for the others.
        if value.is_finite() {
            self.plain(field.name(), format_args!("{value:?}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }
}

/// RFC 3339, UTC, microseconds.
fn timestamp(at: SystemTime) -> String {
    let at = OffsetDateTime::from(at);
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second, micro) = at.to_hms_micro();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micro:06}Z", u8::from(month))
}

/// The last second that has a year of four digits: 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

/// A time to the second, as RFC 3339 has it, in UTC.
pub(super) fn to_the_second(at: SystemTime) -> String {
    let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(LAST_SECOND);
    let text = timestamp(at.clamp(SystemTime::UNIX_EPOCH, last));
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

/// At most so many octets, on a character's border, and a sign where something is missing.
pub(super) fn shortened(text: &str, most: usize) -> std::borrow::Cow<'_, str> {
    if text.len() <= most {
        return text.into();
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}…", &text[..end]).into()
}

/// A string as JSON has it (RFC 8259 section 7).
fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // Runs without anything to escape are nearly all there is: they are copied whole.
    while let Some(at) = rest.bytes().position(|octet| matches!(octet, b'"' | b'\\' | ..b' ')) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            octet @ (b'"' | b'\\') => out.extend(['\\', char::from(octet)]),
            octet => {
                let _ = write!(out, "\\u{octet:04x}");
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(line: &Line) -> serde_json::Value {
        let octets = line.render(Look::Json);
        assert!(octets.len() <= LONGEST && octets.ends_with(b"}\n"), "{}", octets.len());
        serde_json::from_slice(&octets).unwrap()
    }

    #[test]
    fn json_says_every_value_back() {
        let text: String = (0..0x250).filter_map(char::from_u32).collect();
        let mut line = Line::new(Level::INFO, "what \"happens\"");
        line.at = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_700_000_000_000_001);
        line.text("text", text.clone());
        line.plain("number", 7);
        line.fields.push(("list", Value::List(vec!["a\\".to_string(), String::new()])));
        let said = json(&line);
        assert_eq!(said["timestamp"], "2023-11-14T22:13:20.000001Z");
        assert_eq!((&said["level"], &said["message"]), (&"INFO".into(), &"what \"happens\"".into()));
        assert_eq!((&said["text"], &said["number"]), (&text.into(), &7.into()));
        assert_eq!(said["list"], serde_json::json!(["a\\", ""]));
    }

    #[test]
    fn a_long_line_is_shortened_in_its_fields_and_stays_whole() {
        for long in ["x".repeat(5000), "\u{1}".repeat(5000), "ä".repeat(5000), "\"".repeat(90_000)] {
            let mut line = Line::new(Level::WARN, long.clone());
            for name in ["a", "b", "c", "d", "e", "f", "g"] {
                line.text(name, long.clone());
            }
            line.text("short", "as it is");
            line.fields.push(("list", Value::List(vec![long.clone(); 5])));
            let said = json(&line);
            assert_eq!(said["short"], "as it is");
            assert!(said["g"].as_str().unwrap().ends_with('…'));
            for look in [Look::Text, Look::Colours] {
                assert!(line.render(look).len() <= LONGEST);
            }
        }
    }

    #[test]
    fn what_cannot_be_shortened_is_left_out() {
        let mut line = Line::new(Level::INFO, "many");
        (0..2000).for_each(|number| line.plain("number", number));
        assert_eq!(json(&line)["message"], "many");
    }
}
