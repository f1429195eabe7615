//! One climb in this process, with the simulated Office 365.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use mailshim::testing::cli::check::{End, Rung, Screen, State, climb};
use mailshim::testing::deadlines::Deadlines;
use mailshim::testing::smtp::path::Address;
use office365::{Office365, Settings};

use super::golden;

pub const SECRET: &str = "c4n4ry~client";
pub const PASSWORD: &str = "c4n4ry-mailbox";

/// Settings whose secrets are canaries.
pub fn settings() -> Settings {
    Settings { client_secret: SECRET.into(), password: PASSWORD.into(), ..Settings::default() }
}

/// For the cases that end by a deadline.
pub fn short() -> Deadlines {
    let short = Duration::from_millis(200);
    Deadlines { greeting: short, tls: short, token: short, command: short, ..Deadlines::default() }
}

/// What check found.
pub struct Climb {
    pub rungs: Vec<Rung>,
    pub end: End,
    ports: Vec<u16>,
}

impl Climb {
    /// With the simulator's variables and these; an empty value takes one away.
    pub fn with(office365: &Office365, more: &[(&str, &str)]) -> Self {
        Self::as_it_is(office365, more, None, Deadlines::default())
    }

    /// The same with a test mail.
    pub fn sending(office365: &Office365, to: &str, more: &[(&str, &str)]) -> Self {
        Self::as_it_is(office365, more, Some(to), Deadlines::default())
    }

    pub fn as_it_is(
        office365: &Office365,
        more: &[(&str, &str)],
        to: Option<&str>,
        deadlines: Deadlines,
    ) -> Self {
        let mut vars = office365.env();
        vars.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
        vars.extend(more.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())));
        vars.retain(|(_, value)| !value.is_empty());
        let ports = vars.iter().flat_map(|(_, value)| ports_in(value)).collect();
        let vars = vars.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let to = to.map(|to| Address::parse(to).expect("an address"));
        let mut rungs = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let end = runtime.block_on(climb(vars, deadlines, to.as_ref(), |rung| rungs.push(rung.clone())));
        runtime.shutdown_background();
        let climb = Self { rungs, end, ports };
        climb.has_no_secret();
        let failed = climb.rungs.iter().filter(|rung| rung.state == State::Failed).count();
        assert_eq!(failed, usize::from(end != End::Holds), "one rung fails, or none");
        climb
    }

    /// What a person sees, as wide as this.
    pub fn screen(&self, width: Option<usize>) -> String {
        let mut screen = Screen::new(false, width, self.rungs.iter().any(|rung| rung.name == "send"));
        let text: String = self.rungs.iter().map(|rung| screen.rung(rung)).collect();
        text + &screen.end(self.end)
    }

    /// The whole, as a golden file.
    pub fn text(&self) -> String {
        golden::normal(&format!("{}=> {:?}\n", self.screen(None), self.end), &self.ports)
    }

    /// The rung that fails, without its state and name.
    #[track_caller]
    pub fn failure(&self, rung: &str) -> String {
        let failed = self.rungs.iter().find(|rung| rung.state == State::Failed);
        let failed = failed.unwrap_or_else(|| panic!("nothing fails:\n{}", self.text()));
        assert_eq!(failed.name, rung, "{}", self.text());
        let text = golden::normal(&failed.text(false, None), &self.ports);
        // The cause, and all that follows: the fix, and the commands.
        text.lines()
            .skip_while(|line| !line.contains(" cause "))
            .fold(String::new(), |all, line| all + line + "\n")
    }

    /// In no form.
    #[track_caller]
    fn has_no_secret(&self) {
        let encoded = [SECRET, PASSWORD].map(|secret| BASE64_STANDARD.encode(secret));
        let tokens = ["eyJ0", "dXNlcj", "c4n4ry"];
        for rung in &self.rungs {
            for text in [rung.text(false, None), rung.text(true, Some(80)), rung.json()] {
                for secret in tokens.iter().copied().chain(encoded.iter().map(String::as_str)) {
                    assert!(!text.contains(secret), "{secret} in {text}");
                }
            }
        }
    }
}

/// `localhost:4711`, `https://localhost:4711/x`.
fn ports_in(value: &str) -> Vec<u16> {
    value
        .split(':')
        .skip(1)
        .filter_map(|part| part.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok())
        .filter(|port| *port > 1024)
        .collect()
}
