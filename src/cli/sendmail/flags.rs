//! sendmail's flags, as forty years of callers write them: bundled (`-ti`), with their value attached (`-fa@b`) or apart.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt as _};

use crate::message::header::Value;
use crate::redact::printable;
use crate::smtp::path::{self, Address};

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    /// `-bm`, or nothing said.
    #[default]
    Deliver,
    /// `-bs`.
    Smtp,
    /// `-bp`.
    Queue,
    /// `-bi`, `-q` and the like: what a server does that keeps aliases and a queue of its own.
    Nothing,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
}

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub mode: Mode,
    /// `-t`.
    pub reads_recipients: bool,
    /// `-i`, `-oi`.
    pub ignores_dots: bool,
    /// `-v`.
    pub is_verbose: bool,
    /// `-f`, `-r`: the inner `None` is the null reverse-path.
    pub sender: Option<Option<Address>>,
    /// `-F`.
    pub full_name: Option<String>,
    /// `-B7BIT`.
    pub is_seven_bit: bool,
    /// `-N`.
    pub notify: Option<String>,
    /// `-R`.
    pub ret: Option<&'static str>,
    /// `-V`, as xtext.
    pub envid: Option<String>,
    pub recipients: Vec<Address>,
}

/// Why the words are no call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    /// A flag.
    Usage(String),
    /// A recipient that was not understood.
    Recipient(String),
}

impl From<String> for Problem {
    fn from(text: String) -> Self {
        Self::Usage(text)
    }
}

impl Flags {
    /// Reads the words behind the command's name.
    ///
    /// # Errors
    /// One line for the caller.
    pub fn parse(words: Vec<OsString>) -> Result<Self, Problem> {
        let mut parser = Parser::from_args(words);
        let mut flags = Self::default();
        while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
            match argument {
                Arg::Short(letter) => flags.short(letter, &mut parser)?,
                Arg::Long("help") => flags.mode = Mode::Help,
                Arg::Long("version") => flags.mode = Mode::Version,
                Arg::Value(word) => {
                    let text = word.string().map_err(|error| error.to_string())?;
                    flags.recipients.append(&mut addresses(&text).map_err(Problem::Recipient)?);
                }
                other => return Err(other.unexpected().to_string().into()),
            }
        }
        Ok(flags)
    }

    fn short(&mut self, letter: char, parser: &mut Parser) -> Result<(), String> {
        let unknown = || format!("unknown flag -{letter}; mailshim sendmail --help lists them");
        match letter {
            't' => self.reads_recipients = true,
            'i' => self.ignores_dots = true,
            'v' => self.is_verbose = true,
            'f' | 'r' => self.sender = Some(sender(&value(letter, parser)?)?),
            'F' => self.full_name = Some(full_name(&value(letter, parser)?)?),
            'b' => self.mode = mode(&value(letter, parser)?)?,
            'B' => self.is_seven_bit = value(letter, parser)?.eq_ignore_ascii_case("7BIT"),
            'N' => self.notify = Some(notify(&value(letter, parser)?)?),
            'R' => self.ret = Some(ret(&value(letter, parser)?)?),
            'V' => self.envid = Some(envid(&value(letter, parser)?)?),
            // `-oi` is the one old option that changes what arrives; `-oem`, `-odb`, `-o7` are a server's.
            'o' => self.ignores_dots |= value(letter, parser)? == "i",
            'O' => {
                let option = value(letter, parser)?;
                let on = option.split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("IgnoreDots"));
                self.ignores_dots |=
                    on.is_some_and(|(_, on)| on.to_ascii_lowercase().starts_with(['t', 'y']));
            }
            'I' => self.mode = Mode::Nothing,
            // A run of the queue; the interval is attached, if there is one.
            'q' => {
                let _ = parser.optional_value();
                self.mode = Mode::Nothing;
            }
            'd' | 'e' => drop(parser.optional_value()),
            // Of a server's, each with a value: configuration, debug log, hops, syslog tag, macro, protocol, log, context.
            'A' | 'C' | 'D' | 'h' | 'L' | 'M' | 'p' | 'X' => drop(value(letter, parser)?),
            // Gateway, me too, no aliases, save From, user submission, an AIX flag.
            'G' | 'm' | 'n' | 's' | 'U' | 'x' => {}
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

fn value(letter: char, parser: &mut Parser) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("-{letter} needs a value"))?;
    value.string().map_err(|error| error.to_string())
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "m" => Ok(Mode::Deliver),
        "s" => Ok(Mode::Smtp),
        "p" => Ok(Mode::Queue),
        // Aliases; host status.
        "i" | "h" | "H" => Ok(Mode::Nothing),
        "d" | "D" | "l" => Err(format!("-b{text}: the server is `mailshim run`")),
        "v" | "t" => Err(format!("-b{text}: only Office 365 knows which addresses exist")),
        _ => Err(format!("unknown mode -b{}", printable(text))),
    }
}

fn sender(text: &str) -> Result<Option<Address>, String> {
    match text.trim() {
        "" | "<>" => Ok(None),
        text => match addresses(text)?.as_slice() {
            [one] => Ok(Some(one.clone())),
            _ => Err("-f takes one address".to_string()),
        },
    }
}

fn full_name(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("-F: a control character in a name".to_string());
    }
    Ok(text.to_string())
}

/// RFC 3461 section 4.1.
fn notify(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let is_list = upper.split(',').all(|word| matches!(word, "SUCCESS" | "FAILURE" | "DELAY"));
    if is_list || upper == "NEVER" {
        Ok(upper)
    } else {
        Err("-N takes never, or a comma list of failure, delay and success".to_string())
    }
}

/// RFC 3461 section 4.3.
fn ret(text: &str) -> Result<&'static str, String> {
    match text.to_ascii_lowercase().as_str() {
        "full" => Ok("FULL"),
        "hdrs" => Ok("HDRS"),
        _ => Err("-R takes full or hdrs".to_string()),
    }
}

/// RFC 3461 section 4.4: xtext of at most 100 characters.
fn envid(text: &str) -> Result<String, String> {
    let xtext: String = text
        .bytes()
        .map(|octet| match octet {
            b'+' | b'=' => format!("+{octet:02X}"),
            octet if octet.is_ascii_graphic() => char::from(octet).to_string(),
            octet => format!("+{octet:02X}"),
        })
        .collect();
    if path::is_xtext(&xtext) && xtext.len() <= 100 {
        Ok(xtext)
    } else {
        Err("-V takes an identifier of at most 100 characters".to_string())
    }
}

/// One recipient, or several: `a@b`, `a@b c@d`, `Ann <a@b>, root`.
fn addresses(text: &str) -> Result<Vec<Address>, String> {
    let not_one = || format!("\"{}\" is not an address", printable(text));
    // A line end in an argument is somebody's attempt to write another command.
    if text.chars().any(char::is_control) {
        return Err(not_one());
    }
    let found = super::recipients::read(&Value { text: text.to_string(), is_utf8: true })?;
    if found.is_empty() { Err(not_one()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags, Problem> {
        Flags::parse(line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect())
    }

    fn read(line: &str) -> Flags {
        parse(line).unwrap_or_else(|problem| panic!("{line}: {problem:?}"))
    }

    fn recipients(flags: &Flags) -> Vec<&str> {
        flags.recipients.iter().map(Address::as_str).collect()
    }

    fn sender_of(flags: &Flags) -> Option<&str> {
        flags.sender.as_ref().map(|sender| sender.as_ref().map_or("", Address::as_str))
    }

    /// The calls of cron, PHP, mutt, s-nail, git, Go's and Python's wrappers, as they make them.
    #[test]
    fn calls_seen_in_the_field() {
        let cron = read("-FCronDaemon -i -B8BITMIME -oem root");
        assert_eq!((cron.full_name.as_deref(), cron.ignores_dots), (Some("CronDaemon"), true));
        assert_eq!(recipients(&cron), ["root"]);
        let php = read("-t -i -fapp@contoso.com");
        assert!(php.reads_recipients && php.ignores_dots);
        assert_eq!(sender_of(&php), Some("app@contoso.com"));
        let mutt = read("-oem -oi -f app@contoso.com -- a@b.c d@e.f");
        assert!(mutt.ignores_dots);
        assert_eq!(recipients(&mutt), ["a@b.c", "d@e.f"]);
        let snail = read("-i -m -r app@contoso.com -- a@b.c");
        assert_eq!((sender_of(&snail), recipients(&snail)), (Some("app@contoso.com"), vec!["a@b.c"]));
        let git = read("-i a@b.c -f app@contoso.com");
        assert_eq!((sender_of(&git), recipients(&git)), (Some("app@contoso.com"), vec!["a@b.c"]));
        assert!(read("-ti").reads_recipients);
        assert!(read("-it").ignores_dots);
        assert!(!read("-oem a@b.c").ignores_dots);
        assert!(read("-OIgnoreDots=True a@b.c").ignores_dots);
        assert!(!read("-O DeliveryMode=i a@b.c").ignores_dots);
    }

    #[test]
    fn modes() {
        for (line, mode) in [
            ("a@b.c", Mode::Deliver),
            ("-bm a@b.c", Mode::Deliver),
            ("-b s", Mode::Smtp),
            ("-bp", Mode::Queue),
            ("-bi", Mode::Nothing),
            ("-I", Mode::Nothing),
            ("-q", Mode::Nothing),
            ("-q30m", Mode::Nothing),
            ("--help", Mode::Help),
            ("--version", Mode::Version),
        ] {
            assert_eq!(read(line).mode, mode, "{line}");
        }
    }

    #[test]
    fn flags_of_a_server_are_ignored() {
        let line = "-Am -Cx.cf -d8.4 -em -G -h 3 -L tag -m -n -odb -o7 -p ESMTP:x -U -X /tmp/log -s -x a@b.c";
        assert_eq!(read(line), Flags { recipients: read("a@b.c").recipients, ..Flags::default() });
    }

    #[test]
    fn delivery_status() {
        let flags = read("-N success,delay -R hdrs -V a+b=c a@b.c");
        assert_eq!((flags.notify.as_deref(), flags.ret), (Some("SUCCESS,DELAY"), Some("HDRS")));
        assert_eq!(flags.envid.as_deref(), Some("a+2Bb+3Dc"));
        assert_eq!(read("-Nnever a@b.c").notify.as_deref(), Some("NEVER"));
        assert!(read("-B7bit a@b.c").is_seven_bit);
    }

    #[test]
    fn no_sender_is_the_null_reverse_path() {
        for words in [vec!["-f", ""], vec!["-f<>"], vec!["-r", "<>"]] {
            let flags = Flags::parse(words.iter().map(OsString::from).collect()).unwrap();
            assert_eq!(flags.sender, Some(None), "{words:?}");
        }
    }

    #[test]
    fn recipients_can_be_lists_and_names() {
        let words = ["a@b.c,d@e.f", "Ann Other <g@h.i>", "root", "one@f.g two@f.g", "Doe, John <j@f.g>"];
        let flags = Flags::parse(words.iter().map(OsString::from).collect()).unwrap();
        assert_eq!(recipients(&flags), ["a@b.c", "d@e.f", "g@h.i", "root", "one@f.g", "two@f.g", "j@f.g"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "-f",
            "-Z a@b.c",
            "--queue",
            "-bd",
            "-bv a@b.c",
            "-bz",
            "-N sometimes",
            "-R all",
            "-N never,delay",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        for word in ["a@b@c", "", "a@b.c\r\nRCPT TO:<e@f.g>", "a@b.c> NOTIFY=NEVER <", "-Fa\nb"] {
            assert!(Flags::parse(vec![OsString::from(word)]).is_err(), "{word:?}");
        }
        let problem = Flags::parse(vec![OsString::from("ann@b.c <bob@b.c>")]).unwrap_err();
        let text = "\"ann@b.c\" stands before \"<bob@b.c>\": which of them is meant?";
        assert_eq!(problem, Problem::Recipient(text.to_string()));
    }

    /// What `--help` describes is understood.
    #[test]
    fn every_described_flag_is_parsed() {
        let program = crate::cli::arguments::command();
        let described = program.find_subcommand("sendmail").unwrap();
        let values = [('f', "a@b.c"), ('r', "a@b.c"), ('F', "A"), ('b', "m"), ('N', "never"), ('R', "full")];
        for argument in described.get_arguments() {
            for letter in argument.get_short_and_visible_aliases().into_iter().flatten() {
                let value = values.iter().find(|(of, _)| *of == letter).map_or("x", |(_, value)| value);
                let value = if argument.get_action().takes_values() { value } else { "" };
                assert!(parse(&format!("-{letter} {value}")).is_ok(), "-{letter}");
            }
        }
    }
}
