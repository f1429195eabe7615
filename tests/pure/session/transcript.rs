//! Transcripts of a session, as text.
//!
//! ```text
//! ## what the rule says
//! : size 100, recipients 2, login      (what differs from the test's own limits)
//! : newcomer                           (all places are taken)
//! # a remark
//! C: a line of the client, ended by CRLF
//! C> octets of the client, with no line end added
//! C*3: a line, three times
//! S: a line of a reply
//! = Begin <a@b> RET=HDRS -> <c@d> NOTIFY=NEVER
//! | a line of canonical content
//! = any other step
//! D: answer 250 2.0.0 OK               (the driver, owed behind End)
//! D: accept / reject                   (owed behind SignIn)
//! D: seat / no seat                    (owed behind TakePlace)
//! D: eof / idle / shutdown / room / cut 451 4.4.2 too slow
//! ```
//!
//! Escapes: `\r`, `\n`, `\0`, `\\`, `\xHH`, and `\{13000a}` for 13,000 times `a`.

use std::collections::VecDeque;
use std::fmt::Write as _;

use mailshim::testing::message::Envelope;
use mailshim::testing::session::machine::{Limits, Machine, Step};
use mailshim::testing::smtp::reply::Reply;

/// One line of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// A title, limits, a remark, a blank line.
    Text(String),
    /// The client: as it is written, and its octets.
    Client(String, Vec<u8>),
    /// What happens to the machine beside input.
    Driver(String, Event),
    /// The verdict on a message or a sign-in: taken when it is asked for.
    Verdict(String, String),
    /// What the machine must say.
    Expected(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Event {
    Eof,
    Idle,
    Shutdown,
    Room,
    Cut(String),
}

/// One rule.
pub struct Section {
    title: String,
    limits: Limits,
    is_newcomer: bool,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
enum Feed {
    Whole,
    ByLine,
    ByOctet,
}

/// Reads a file of transcripts.
pub fn parse(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            sections.push(Section {
                title: title.into(),
                limits: super::limits(),
                is_newcomer: false,
                lines: Vec::new(),
            });
        }
        let Some(section) = sections.last_mut() else { panic!("{line:?} stands in no section") };
        if let Some(limits) = line.strip_prefix(": ") {
            section.limit(limits);
        }
        section.lines.push(read(line));
    }
    sections
}

fn read(line: &str) -> Line {
    if let Some(event) = line.strip_prefix("D: ") {
        return match event.split_once(' ').unwrap_or((event, "")) {
            ("eof", "") => Line::Driver(line.into(), Event::Eof),
            ("idle", "") => Line::Driver(line.into(), Event::Idle),
            ("shutdown", "") => Line::Driver(line.into(), Event::Shutdown),
            ("room", "") => Line::Driver(line.into(), Event::Room),
            ("cut", reply) => Line::Driver(line.into(), Event::Cut(reply.into())),
            ("answer", reply) => Line::Verdict(line.into(), reply.into()),
            ("accept" | "reject" | "seat", "") | ("no", "seat") => {
                Line::Verdict(line.into(), line["D: ".len()..].into())
            }
            _ => panic!("no such event: {event}"),
        };
    }
    let client = |octets: &str, end: &str, times: usize| {
        let octets = [unescape(octets), end.into()].concat().repeat(times);
        Line::Client(line.into(), octets)
    };
    if let Some(octets) = line.strip_prefix("C: ") {
        return client(octets, "\r\n", 1);
    }
    if let Some(octets) = line.strip_prefix("C> ") {
        return client(octets, "", 1);
    }
    if let Some((times, octets)) = line.strip_prefix("C*").and_then(|rest| rest.split_once(": ")) {
        return client(octets, "\r\n", times.parse().expect("a number"));
    }
    if line == "C:" {
        return client("", "\r\n", 1);
    }
    if ["S: ", "= ", "| "].iter().any(|mark| line.starts_with(mark)) || line == "|" {
        return Line::Expected(line.into());
    }
    assert!(line.is_empty() || line.starts_with(['#', ':']), "not a line of a transcript: {line:?}");
    Line::Text(line.into())
}

/// All sections with what the machine really says, fed line by line.
pub fn written_anew(sections: &[Section]) -> String {
    let mut text = String::new();
    for section in sections {
        let lines = section.lines.iter().filter(|line| !matches!(line, Line::Expected(_)));
        let mut run = section.run(Feed::ByLine);
        let mut blanks = String::new();
        for line in lines {
            // What is said stands above the blank line that ends the section.
            if *line == Line::Text(String::new()) {
                blanks.push('\n');
                continue;
            }
            let (Line::Text(written)
            | Line::Client(written, _)
            | Line::Driver(written, _)
            | Line::Verdict(written, _)
            | Line::Expected(written)) = line;
            let _ = writeln!(text, "{}{written}", std::mem::take(&mut blanks));
            run.feed(line);
            for said in std::mem::take(&mut run.said) {
                let _ = writeln!(text, "{said}");
            }
        }
        text += &blanks;
    }
    text
}

impl Section {
    fn limit(&mut self, limits: &str) {
        for limit in limits.split(", ") {
            match limit.split_once(' ').unwrap_or((limit, "")) {
                ("size", octets) => self.limits.max_message_size = octets.parse().expect("octets"),
                ("recipients", count) => self.limits.max_recipients = count.parse().expect("a number"),
                ("newcomer", "") => self.is_newcomer = true,
                ("login", "") => self.limits.login_required = true,
                _ => panic!("no such limit: {limit}"),
            }
        }
    }

    fn run(&self, feed: Feed) -> Run {
        let verdicts = self.lines.iter().filter_map(|line| match line {
            Line::Verdict(_, verdict) => Some(verdict.clone()),
            _ => None,
        });
        let verdicts = match feed {
            Feed::ByLine => VecDeque::new(),
            Feed::Whole | Feed::ByOctet => verdicts.collect(),
        };
        let limits = self.limits.clone();
        let machine = if self.is_newcomer { Machine::newcomer(limits) } else { Machine::new(limits) };
        Run { machine, verdicts, is_owed: false, is_closed: false, content: Vec::new(), said: Vec::new() }
    }

    /// What is wrong in any of the three ways to feed it.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let expected = self.expected();
        for feed in [Feed::ByLine, Feed::Whole, Feed::ByOctet] {
            let said = self.fed(feed);
            // By line each answer has its place; otherwise only their order is known.
            let expected: &[Vec<String>] = match feed {
                Feed::ByLine => &expected,
                _ => &[expected.concat()],
            };
            for (expected, said) in expected.iter().zip(&said) {
                if expected != said {
                    problems.push(format!(
                        "\"{}\", {feed:?}:\n--- expected\n{}\n--- said\n{}\n",
                        self.title,
                        expected.join("\n"),
                        said.join("\n")
                    ));
                }
            }
            assert_eq!(expected.len(), said.len());
        }
        problems
    }

    /// What is expected behind each line of the client or the driver.
    fn expected(&self) -> Vec<Vec<String>> {
        let mut groups = Vec::new();
        for line in &self.lines {
            match line {
                Line::Client(..) | Line::Driver(..) | Line::Verdict(..) => groups.push(Vec::new()),
                Line::Expected(text) => {
                    groups.last_mut().expect("the client or the driver comes first").push(text.clone());
                }
                Line::Text(_) => {}
            }
        }
        groups
    }

    fn fed(&self, feed: Feed) -> Vec<Vec<String>> {
        let mut run = self.run(feed);
        let mut groups = Vec::new();
        let mut waiting = Vec::new();
        for line in &self.lines {
            match (feed, line) {
                (_, Line::Text(_) | Line::Expected(_)) => {}
                (Feed::ByLine, line) => {
                    run.feed(line);
                    groups.push(std::mem::take(&mut run.said));
                }
                // Taken when it is asked for.
                (_, Line::Verdict(..)) => {}
                (Feed::Whole, Line::Client(_, octets)) => waiting.extend_from_slice(octets),
                (Feed::ByOctet, Line::Client(_, octets)) => octets.iter().for_each(|o| run.octets(&[*o])),
                (_, Line::Driver(..)) => {
                    run.octets(&std::mem::take(&mut waiting));
                    run.feed(line);
                }
            }
        }
        if !matches!(feed, Feed::ByLine) {
            run.octets(&waiting);
            groups.push(run.said);
        }
        groups
    }
}

/// A machine at work.
struct Run {
    machine: Machine,
    /// Given as soon as they are owed.
    verdicts: VecDeque<String>,
    is_owed: bool,
    is_closed: bool,
    content: Vec<u8>,
    said: Vec<String>,
}

impl Run {
    fn feed(&mut self, line: &Line) {
        match line {
            Line::Client(_, octets) => return self.octets(octets),
            Line::Verdict(_, verdict) => self.decide(verdict),
            Line::Driver(_, Event::Eof) => self.machine.eof(),
            Line::Driver(_, Event::Idle) => self.machine.idle(),
            Line::Driver(_, Event::Shutdown) => self.machine.shutdown(),
            Line::Driver(_, Event::Room) => self.machine.make_room(),
            Line::Driver(_, Event::Cut(text)) => self.machine.cut(&reply(text)),
            Line::Text(_) | Line::Expected(_) => return,
        }
        self.pump();
    }

    fn octets(&mut self, octets: &[u8]) {
        self.machine.received(octets);
        self.pump();
    }

    fn decide(&mut self, verdict: &str) {
        if !std::mem::take(&mut self.is_owed) {
            self.said.push("= no verdict is owed".into());
            return;
        }
        match verdict {
            "accept" => self.machine.signed_in(true),
            "reject" => self.machine.signed_in(false),
            "seat" => self.machine.seated(true),
            "no seat" => self.machine.seated(false),
            text => self.machine.answer(&reply(text)),
        }
    }

    fn pump(&mut self) {
        loop {
            let step = self.machine.step();
            if !matches!(step, Step::Content(_)) {
                self.write_content();
            }
            match step {
                Step::NeedInput => return,
                Step::Reply(wire) => {
                    let wire = String::from_utf8(wire.to_vec()).expect("ASCII");
                    let lines = wire.strip_suffix("\r\n").expect("CRLF").split("\r\n");
                    self.said.extend(lines.map(|line| format!("S: {}", escape(line.as_bytes()))));
                }
                Step::Content(piece) => self.content.extend_from_slice(&piece),
                Step::Begin(envelope) => self.said.push(format!("= Begin {}", words(&envelope))),
                Step::TakePlace => {
                    self.said.push("= TakePlace".into());
                    self.decide_ahead();
                }
                Step::SignIn(login) => {
                    let (user, password) = (login.username.expose(), login.password.expose());
                    self.said.push(format!("= SignIn \"{}\" \"{}\"", escape(user), escape(password)));
                    self.decide_ahead();
                }
                Step::End => {
                    self.said.push("= End".into());
                    self.decide_ahead();
                }
                Step::Abandoned(why) => self.said.push(format!("= Abandoned {why:?}")),
                Step::Notice(notice) => self.said.push(format!("= Notice {notice:?}")),
                Step::Close(ending) => {
                    // There is no other step from here on: it is written once.
                    if !std::mem::replace(&mut self.is_closed, true) {
                        self.said.push(format!("= Close {ending:?}"));
                    }
                    return;
                }
            }
        }
    }

    fn decide_ahead(&mut self) {
        self.is_owed = true;
        if let Some(verdict) = self.verdicts.pop_front() {
            self.decide(&verdict);
        }
    }

    fn write_content(&mut self) {
        let content = std::mem::take(&mut self.content);
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            // Canonical: anything but a CRLF at the end of a line shows as what it is.
            let (line, mark) = match line.strip_suffix(b"\r\n") {
                Some(line) => (line, ""),
                None => (line, " (no CRLF)"),
            };
            let line = escape(line);
            self.said.push(if line.is_empty() { format!("|{mark}") } else { format!("| {line}{mark}") });
        }
    }
}

fn reply(text: &str) -> Reply {
    let (code, text) = text.split_once(' ').expect("code and text");
    Reply::new(code.parse().expect("a code"), text)
}

fn words(envelope: &Envelope) -> String {
    let mail = &envelope.mail;
    let mut words = format!("<{}>", mail.reverse_path.as_ref().map_or("", |path| path.as_str()));
    let mut add = |name: &str, value: Option<String>| {
        let _ = value.map(|value| write!(words, " {name}={value}"));
    };
    add("SIZE", mail.size.map(|size| size.to_string()));
    add("BODY", envelope.is_eight_bit().then(|| "8BITMIME".into()));
    add("RET", mail.ret.clone());
    add("ENVID", mail.envid.clone());
    for (index, recipient) in envelope.recipients.iter().enumerate() {
        let _ = write!(words, "{} <{}>", if index == 0 { " ->" } else { "," }, recipient.address);
        let parameters = [("NOTIFY", &recipient.notify), ("ORCPT", &recipient.orcpt)];
        for (name, value) in parameters {
            let _ = value.as_ref().map(|value| write!(words, " {name}={value}"));
        }
    }
    words
}

/// The longest run of one character that is written out.
const LONG: usize = 40;

fn escape(octets: &[u8]) -> String {
    let mut text = String::new();
    for run in octets.chunk_by(|a, b| a == b) {
        let written = match run[0] {
            b'\r' => "\\r".into(),
            b'\n' => "\\n".into(),
            0 => "\\0".into(),
            b'\\' => "\\\\".into(),
            plain @ b' '..=b'~' if run.len() > LONG => {
                let _ = write!(text, "\\{{{}{}}}", run.len(), char::from(plain));
                continue;
            }
            plain @ b' '..=b'~' => char::from(plain).to_string(),
            other => format!("\\x{other:02X}"),
        };
        text += &written.repeat(run.len());
    }
    // A blank at the end of a line is seen, and survives an editor.
    match text.strip_suffix(' ') {
        Some(text) => format!("{text}\\x20"),
        None => text,
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        octets.extend_from_slice(plain.as_bytes());
        let (octet, length) = match escaped.as_bytes() {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'x', ..] => (u8::from_str_radix(&escaped[1..3], 16).expect("two hexadecimal digits"), 3),
            [b'{', ..] => {
                let (inside, behind) = escaped[1..].split_once('}').expect("a closing brace");
                let digits = inside.find(|c: char| !c.is_ascii_digit()).expect("something to repeat");
                let (times, what) = inside.split_at(digits);
                octets.extend(what.repeat(times.parse().expect("a number")).bytes());
                rest = behind;
                continue;
            }
            _ => panic!("no such escape: \\{escaped}"),
        };
        octets.push(octet);
        rest = &escaped[length..];
    }
    octets.extend_from_slice(rest.as_bytes());
    octets
}
