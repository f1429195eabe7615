//! What `mailshim queue` asks a running shim to do, and what that answers: lines of text, both bounded. Pure.
//!
//! ```text
//! mailshim request 1          mailshim answer 1
//! retry                       692646d400003 done
//! 692646d400003               692646d400004 failed the spool is full
//! 692646d400004               end
//! end
//! ```
//!
//! A request names messages and no files, so that whoever forges one can do no more with it than `mailshim queue` can.
//! What does not end as it should was not written to its end, and is none.

use std::fmt::Write as _;

/// Messages that one request may name.
pub const MOST_NAMED: usize = 500;
/// Octets of a request that are read.
pub const MAX_REQUEST: usize = 16 * 1024;
/// Octets of an answer that are read.
pub const MAX_ANSWER: usize = 512 * 1024;
/// Octets of what is said of one message.
const LONGEST_WORDS: usize = 500;
const REQUEST: &str = "mailshim request 1";
const ANSWER: &str = "mailshim answer 1";
const END: &str = "end";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Try these now; a dead letter comes back to life.
    Retry,
    /// The same, after today's sender policy was applied to what the app gave.
    Prepare,
    /// Remove these for good.
    Drop,
    /// Try all that waits now.
    Flush,
}

const ACTIONS: [(Action, &str); 4] = [
    (Action::Retry, "retry"),
    (Action::Prepare, "prepare"),
    (Action::Drop, "drop"),
    (Action::Flush, "flush"),
];

impl Action {
    /// Its word in a request and in the log.
    pub fn name(self) -> &'static str {
        ACTIONS.iter().find(|(action, _)| *action == self).map_or("", |(_, name)| name)
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub action: Action,
    /// With which messages; empty for [`Action::Flush`].
    pub ids: Vec<u64>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done, and durable.
    Done,
    /// The message is being delivered in this moment.
    UnderWay,
    /// There is none of this name.
    Unknown,
    /// It was not done, and why.
    Failed(String),
}

/// What became of each message of a request, in the order in which they were named. For [`Action::Flush`] the first one
/// stands for all, and its number is how many there were.
pub type Answers = Vec<(u64, Answer)>;

impl Request {
    /// As it is written.
    pub fn text(&self) -> String {
        let mut text = format!("{REQUEST}\n{}\n", self.action.name());
        for id in &self.ids {
            // A string takes everything.
            let _ = writeln!(text, "{id:x}");
        }
        text.push_str(END);
        text.push('\n');
        text
    }

    /// Reads one; `None` for what is none, or not whole.
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut lines = lines(octets, REQUEST)?;
        let name = lines.next()?;
        let action = ACTIONS.iter().find(|(_, known)| *known == name).map(|(action, _)| *action)?;
        let ids = lines.map(|line| u64::from_str_radix(line, 16).ok()).collect::<Option<Vec<_>>>()?;
        let fits = if action == Action::Flush { ids.is_empty() } else { !ids.is_empty() };
        (fits && ids.len() <= MOST_NAMED).then_some(Self { action, ids })
    }
}

/// Answers as they are written.
pub fn answers_text(answers: &[(u64, Answer)]) -> String {
    let mut text = format!("{ANSWER}\n");
    for (id, answer) in answers {
        let word = match answer {
            Answer::Done => "done".to_string(),
            Answer::UnderWay => "under-way".to_string(),
            Answer::Unknown => "unknown".to_string(),
            Answer::Failed(words) => {
                let words: String = words.chars().filter(|c| !c.is_control()).take(LONGEST_WORDS).collect();
                format!("failed {words}")
            }
        };
        // A string takes everything.
        let _ = writeln!(text, "{id:x} {word}");
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Reads answers; `None` for what are none, or not whole.
pub fn read_answers(octets: &[u8]) -> Option<Answers> {
    let answer = |line: &str| {
        let (id, said) = line.split_once(' ')?;
        let answer = match said.split_once(' ').unwrap_or((said, "")) {
            ("done", "") => Answer::Done,
            ("under-way", "") => Answer::UnderWay,
            ("unknown", "") => Answer::Unknown,
            ("failed", words) => Answer::Failed(words.to_string()),
            _ => return None,
        };
        Some((u64::from_str_radix(id, 16).ok()?, answer))
    };
    lines(octets, ANSWER)?.map(answer).collect()
}

/// The lines between the first one and the last one.
fn lines<'a>(octets: &'a [u8], first: &str) -> Option<impl Iterator<Item = &'a str>> {
    let text = std::str::from_utf8(octets).ok()?;
    let body = text.strip_suffix('\n')?.strip_suffix(END)?;
    let (begin, body) = body.split_once('\n')?;
    (begin == first && (body.is_empty() || body.ends_with('\n'))).then(|| body.lines())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_read() {
        for (action, ids) in
            [(Action::Retry, vec![0x6926, 7]), (Action::Drop, vec![u64::MAX]), (Action::Flush, vec![])]
        {
            let request = Request { action, ids };
            assert_eq!(Request::parse(request.text().as_bytes()), Some(request));
        }
        let most = Request { action: Action::Prepare, ids: vec![u64::MAX; MOST_NAMED] };
        let text = most.text();
        assert!(text.len() <= MAX_REQUEST, "{}", text.len());
        assert_eq!(Request::parse(text.as_bytes()), Some(most));
    }

    /// Every beginning of a request is what a crash of its writer leaves.
    #[test]
    fn half_a_request_is_none() {
        let whole = Request { action: Action::Drop, ids: vec![0x6926, 0x6927] }.text();
        for end in 0..whole.len() {
            assert_eq!(Request::parse(&whole.as_bytes()[..end]), None, "{:?}", &whole[..end]);
        }
    }

    #[test]
    fn a_forged_request_is_none() {
        let too_many = Request { action: Action::Drop, ids: vec![1; MOST_NAMED + 1] }.text();
        for text in [
            "",
            "end\n",
            "mailshim request 1\nend\n",
            "mailshim request 1\nretry\nend\n",
            "mailshim request 1\nflush\n1\nend\n",
            "mailshim request 2\nretry\n1\nend\n",
            "mailshim request 1\nretry\n../../etc/passwd\nend\n",
            "mailshim request 1\nretry\n1\n\nend\n",
            "mailshim request 1\nretry\n12345678901234567\nend\n",
            "mailshim request 1\nretry\n1 end\n",
            "mailshim request 1\ndelete\n1\nend\n",
            &too_many,
        ] {
            assert_eq!(Request::parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(Request::parse(b"mailshim request 1\nretry\n\xff\nend\n"), None);
    }

    #[test]
    fn answers_are_read_and_no_words_break_their_lines() {
        let answers = vec![
            (1, Answer::Done),
            (2, Answer::UnderWay),
            (3, Answer::Unknown),
            (4, Answer::Failed("the spool\nend\n is full".into())),
        ];
        let text = answers_text(&answers);
        let read = read_answers(text.as_bytes()).unwrap();
        assert_eq!(read[..3], answers[..3]);
        assert_eq!(read[3], (4, Answer::Failed("the spoolend is full".into())));
        assert_eq!(read_answers(&text.as_bytes()[..text.len() - 1]), None);
        let longest = vec![(u64::MAX, Answer::Failed("x".repeat(9000))); MOST_NAMED];
        assert!(answers_text(&longest).len() <= MAX_ANSWER);
    }
}
