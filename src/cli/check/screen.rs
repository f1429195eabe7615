//! The ladder on a person's screen: each rung when it ends, those that were not come to in one line, and what to do next.

use super::rung::{End, NAME, Rung, STATE, State};

/// What is told so far, for people.
#[derive(Debug)]
pub struct Screen {
    in_colour: bool,
    width: Option<usize>,
    sends: bool,
    not_tried: Vec<&'static str>,
}

impl Screen {
    /// In colour, wrapped at `width` where that is known; `sends` if a test mail was asked for.
    pub const fn new(in_colour: bool, width: Option<usize>, sends: bool) -> Self {
        Self { in_colour, width, sends, not_tried: Vec::new() }
    }

    /// One rung; nothing yet for one that was not tried.
    pub fn rung(&mut self, rung: &Rung) -> String {
        if rung.state == State::NotTried {
            self.not_tried.push(rung.name);
            return String::new();
        }
        rung.text(self.in_colour, self.width)
    }

    /// What was not tried, and what to do next.
    pub fn end(&self, end: End) -> String {
        let not_tried = match &self.not_tried[..] {
            [] => String::new(),
            names => format!("{:STATE$}{:NAME$}{}\n", "-", "not tried", names.join(", ")),
        };
        let next = match (end, self.sends) {
            (End::Holds, false) => "mail will go out; try: mailshim check --send you@example.com",
            (End::Holds, true) => "mail goes out; look whether it has arrived",
            (End::Fails, _) => "mend that, then: mailshim check",
            (End::BadConfiguration, _) => {
                "mend that, then: mailshim check (mailshim env shows what is in force)"
            }
        };
        format!("{not_tried}\n{next}\n")
    }

    /// A word while the next rung is waited for, which [`Screen::erase`] takes away.
    pub fn waiting(next: &str) -> String {
        format!("{:STATE$}{next:NAME$}...", "")
    }

    /// Takes the word away.
    pub const fn erase() -> &'static str {
        "\r\x1b[K"
    }
}
