//! One rung of the ladder, and how it is told: a line for people, an object for programs.

use serde_json::{Map, Value, json};

use crate::redact::printable;

/// Every rung, from the ground up. The last one is there only with `--send`, the spool's only where there is one.
pub const RUNGS: [&str; 10] =
    ["configuration", "spool", "dns", "tcp", "ehlo", "starttls", "token", "auth", "envelope", "send"];

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    Passed,
    /// It does not.
    Failed,
    /// There is nothing to try with this configuration.
    Skipped,
    /// One before it failed.
    NotTried,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed => "FAIL",
            Self::Skipped => "skip",
            Self::NotTried => "-",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::NotTried => "not_tried",
        }
    }
}

/// How the whole ladder ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every rung holds.
    Holds,
    /// One does not.
    Fails,
    /// The first one does not.
    BadConfiguration,
}

/// One rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rung {
    /// Its name, a stable word.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was seen, a sentence each.
    pub seen: Vec<String>,
    /// The same for programs.
    pub facts: Map<String, Value>,
    /// What is worth a look and stops nothing.
    pub warnings: Vec<String>,
    /// Why it failed, in plain words.
    pub cause: Option<String>,
    /// What to do about it.
    pub fix: Option<String>,
    /// PowerShell, a command each, for somebody to copy.
    pub commands: Vec<String>,
}

const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Where the words begin.
pub(super) const STATE: usize = 6;
pub(super) const NAME: usize = 15;
/// Wrapping is not done to less than this: a very narrow terminal wraps by itself.
const NARROWEST: usize = 30;

/// Why a rung failed and what to do, with the commands for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Advice {
    /// In plain words.
    pub cause: String,
    /// A sentence for a person.
    pub fix: Option<String>,
    /// PowerShell, a command each.
    pub commands: Vec<String>,
}

impl Rung {
    /// A rung that holds, of which nothing was seen yet.
    pub fn new(name: &'static str) -> Self {
        let (seen, warnings, facts) = (Vec::new(), Vec::new(), Map::new());
        Self {
            name,
            state: State::Passed,
            seen,
            facts,
            warnings,
            cause: None,
            fix: None,
            commands: Vec::new(),
        }
    }

    /// One that was not needed, or not come to.
    pub fn without(name: &'static str, state: State, why: &str) -> Self {
        Self { state, seen: vec![why.to_string()], ..Self::new(name) }
    }

    /// Something was seen.
    pub fn see(&mut self, words: impl Into<String>) {
        self.seen.push(words.into());
    }

    /// The same for programs.
    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_string(), value.into());
    }

    /// It does not hold.
    pub fn fail(&mut self, cause: impl Into<String>, fix: Option<String>) {
        (self.state, self.cause, self.fix) = (State::Failed, Some(cause.into()), fix);
    }

    /// The same with what is known of it.
    pub fn advise(&mut self, advice: Advice) {
        self.fail(advice.cause, advice.fix);
        self.commands = advice.commands;
    }

    /// For people: a line, and one more for whatever else was seen, wrapped at `width`; commands are not, so that each is
    /// one line to copy. What others wrote is made harmless.
    pub fn text(&self, in_colour: bool, width: Option<usize>) -> String {
        let mut text = String::new();
        let mut line = |state: &str, name: &str, words: &str| {
            let colour = match state {
                "ok" => GREEN,
                "FAIL" => RED,
                _ => "",
            };
            let (before, after) = if in_colour && !colour.is_empty() { (colour, PLAIN) } else { ("", "") };
            let words = printable(words);
            let mut lines =
                wrapped(&words, width.map(|width| width.saturating_sub(STATE + NAME).max(NARROWEST)))
                    .into_iter();
            let first =
                format!("{before}{state:STATE$}{after}{name:NAME$}{}", lines.next().unwrap_or_default());
            text.push_str(first.trim_end());
            text.push('\n');
            for rest in lines {
                text.push_str(&format!("{:indent$}{rest}\n", "", indent = STATE + NAME));
            }
        };
        let mut seen = self.seen.iter();
        line(self.state.word(), self.name, seen.next().map_or("", String::as_str));
        seen.for_each(|words| line("", "", words));
        self.warnings.iter().for_each(|words| line("", "warning", words));
        self.cause.iter().for_each(|words| line("", "cause", words));
        self.fix.iter().for_each(|words| line("", "fix", words));
        for command in &self.commands {
            text.push_str(&format!("{:STATE$}{}\n", "", printable(command)));
        }
        text
    }

    /// For programs: one object on one line.
    pub fn json(&self) -> String {
        let list = |words: &[String]| words.iter().map(|words| printable(words)).collect::<Vec<_>>();
        let mut object = json!({
            "rung": self.name,
            "state": self.state.name(),
            "seen": list(&self.seen),
            "warnings": list(&self.warnings),
            "facts": self.facts.iter().map(|(name, value)| (name.clone(), harmless(value))).collect::<Map<_, _>>(),
        });
        for (name, words) in [("cause", &self.cause), ("fix", &self.fix)] {
            if let Some(words) = words {
                object[name] = printable(words).into();
            }
        }
        if !self.commands.is_empty() {
            object["commands"] = list(&self.commands).into();
        }
        format!("{object}\n")
    }
}

/// Cut at blanks into lines of at most `width` characters; a word that is longer stands alone.
fn wrapped(words: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![words.to_string()] };
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in words.split(' ') {
        let more = word.chars().count();
        if length > 0 && length + 1 + more > width {
            lines.push(String::new());
            length = 0;
        }
        if let Some(line) = lines.last_mut() {
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.push_str(word);
            length += more;
        }
    }
    lines
}

/// The value with every text in it made harmless.
fn harmless(value: &Value) -> Value {
    match value {
        Value::String(text) => printable(text).into(),
        Value::Array(values) => values.iter().map(harmless).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), harmless(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_break_the_page() {
        let mut rung = Rung::new("ehlo");
        rung.see("\x1b[2J\nok    send");
        rung.fact("greeting", json!(["\x1b[2J eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.x"]));
        assert_eq!(rung.text(false, None), "ok    ehlo            [2J ok    send\n");
        let json = rung.json();
        assert!(!json.contains("\\u001b") && json.contains("[redacted]"), "{json}");
    }

    #[test]
    fn words_are_wrapped_and_commands_are_not() {
        let mut rung = Rung::new("auth");
        let (cause, fix) =
            ("one two three four five six seven eight".to_string(), Some("Do it:".to_string()));
        let commands = vec![format!("Set-CASMailbox {}", "x".repeat(90))];
        rung.advise(Advice { cause, fix, commands });
        let text = rung.text(false, Some(51));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[1], "      cause          one two three four five six");
        assert_eq!(lines[2], "                     seven eight");
        assert_eq!(lines[4], format!("      Set-CASMailbox {}", "x".repeat(90)));
        assert_eq!(wrapped("", Some(30)), [""]);
    }

    #[test]
    fn only_the_state_has_a_colour() {
        let mut rung = Rung::new("dns");
        rung.fail("no such name", Some("Mend it.".to_string()));
        let plain = "FAIL  dns\n      cause          no such name\n      fix            Mend it.\n";
        assert_eq!(rung.text(false, None), plain);
        assert_eq!(rung.text(true, None), plain.replacen("FAIL  ", "\x1b[31mFAIL  \x1b[0m", 1));
    }
}
