//! One command line of the app (RFC 5321 section 4.1.1), read as old clients write it.

use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, Request};

use super::invisible::Named;
use super::path::{self, Address, BadAddress};
use super::reply::Reply;

/// The body type that the app declares (RFC 6152).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// 7BIT, or nothing said.
    #[default]
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
}

/// MAIL (RFC 5321 section 4.1.1.2) with the parameters that matter to us.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// `None` is the null reverse-path.
    pub reverse_path: Option<Address>,
    /// SIZE, in octets (RFC 1870).
    pub size: Option<u64>,
    /// BODY.
    pub body: Body,
    /// RET, `FULL` or `HDRS` (RFC 3461).
    pub ret: Option<String>,
    /// ENVID: xtext as it came.
    pub envid: Option<String>,
}

/// RCPT (RFC 5321 section 4.1.1.3): a recipient with its delivery status wishes (RFC 3461).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The forward-path.
    pub address: Address,
    /// NOTIFY as it came.
    pub notify: Option<String>,
    /// ORCPT: type and xtext as they came.
    pub orcpt: Option<String>,
}

/// The mechanisms that the app may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// draft-murchison-sasl-login.
    Login,
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// EHLO; the argument is nobody's business.
    Ehlo,
    /// HELO.
    Helo,
    /// MAIL.
    Mail(Mail),
    /// RCPT.
    Rcpt(Recipient),
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat {
        /// Octets that follow.
        size: u64,
        /// Whether they are the last.
        last: bool,
    },
    /// AUTH with its initial response, still encoded.
    Auth(Mechanism, Option<String>),
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// HELP.
    Help,
    /// VRFY.
    Vrfy,
    /// QUIT.
    Quit,
    /// STARTTLS.
    StartTls,
    /// An HTTP request: a browser, or a script made to send mail through one.
    Http,
}

/// Why a line is no command: the reply, and whether the dialogue can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What to answer.
    pub reply: Reply,
    /// The next octets cannot be told from content (a BDAT whose size is not known): the connection must end.
    pub out_of_step: bool,
}

fn refuse(code: u16, text: impl Into<String>) -> Refusal {
    Refusal { reply: Reply::new(code, text), out_of_step: false }
}

/// Reads one line, without its line end.
///
/// # Errors
/// The reply that RFC 5321 section 4.2.4 asks for.
pub fn parse(line: &[u8]) -> Result<Command, Refusal> {
    // Before any parser sees it: smtp-proto deletes a CR wherever it stands, and a NUL ends strings elsewhere.
    if line.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
        return Err(refuse(500, "5.5.2 Control characters in a command line"));
    }
    let Ok(line) = std::str::from_utf8(line) else {
        // A host's name in some old code page stops nobody: the argument is not looked at.
        let line = line.trim_ascii_start();
        let is =
            |verb: &[u8]| line.get(..5).is_some_and(|head| head.trim_ascii_end().eq_ignore_ascii_case(verb));
        if is(b"EHLO") {
            return Ok(Command::Ehlo);
        }
        if is(b"HELO") {
            return Ok(Command::Helo);
        }
        return Err(refuse(500, "5.5.2 8-bit characters that are not UTF-8 in a command line"));
    };
    let line = line.trim_matches([' ', '\t']);
    let (verb, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    let argument = argument.trim_matches([' ', '\t']);
    match verb.to_ascii_uppercase().as_str() {
        "EHLO" => Ok(Command::Ehlo),
        "HELO" => Ok(Command::Helo),
        "MAIL" => mail(
            behind_keyword(argument, "FROM")
                .ok_or_else(|| refuse(501, "5.5.4 Syntax: MAIL FROM:<address>"))?,
        ),
        "RCPT" => rcpt(
            behind_keyword(argument, "TO").ok_or_else(|| refuse(501, "5.5.4 Syntax: RCPT TO:<address>"))?,
        ),
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" | "PRI" => {
            Ok(Command::Http)
        }
        "STARTTLS" => Ok(Command::StartTls),
        "HELP" => Ok(Command::Help),
        "VRFY" => Ok(Command::Vrfy),
        "NOOP" => Ok(Command::Noop),
        "BDAT" => bdat(verb, argument),
        "AUTH" => auth(verb, argument),
        _ => plain_verb(verb),
    }
}

/// What follows `FROM:` or `TO:`; old clients put blanks before and behind the colon.
fn behind_keyword<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    let head = argument.get(..keyword.len())?;
    let rest = argument[keyword.len()..].trim_start_matches([' ', '\t']);
    if head.eq_ignore_ascii_case(keyword) { rest.strip_prefix(':') } else { None }
}

fn plain_verb(verb: &str) -> Result<Command, Refusal> {
    match Request::parse(&mut format!("{verb}\r\n").as_bytes().iter()) {
        Ok(Request::Data) => Ok(Command::Data),
        Ok(Request::Rset) => Ok(Command::Rset),
        Ok(Request::Quit) => Ok(Command::Quit),
        _ => Err(refuse(500, "5.5.1 Command not recognized")),
    }
}

fn bdat(verb: &str, argument: &str) -> Result<Command, Refusal> {
    // The digits are checked here: a size that wraps around would make content out of commands.
    let (digits, rest) = argument.split_once([' ', '\t']).unwrap_or((argument, ""));
    let is_plain = !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit());
    let line = format!("{verb} {digits} {rest}\r\n");
    match Request::parse(&mut line.as_bytes().iter()) {
        Ok(Request::Bdat { chunk_size, is_last })
            if is_plain && is_last == rest.trim().eq_ignore_ascii_case("LAST") =>
        {
            Ok(Command::Bdat { size: chunk_size as u64, last: is_last })
        }
        _ => Err(Refusal { reply: Reply::new(501, "5.5.4 Syntax: BDAT octets [LAST]"), out_of_step: true }),
    }
}

fn auth(verb: &str, argument: &str) -> Result<Command, Refusal> {
    match Request::parse(&mut format!("{verb} {argument}\r\n").as_bytes().iter()) {
        Ok(Request::Auth { mechanism, .. }) => {
            let initial = argument.split_once([' ', '\t']).map(|(_, response)| response.trim().to_string());
            let initial = initial.filter(|response| !response.is_empty());
            match mechanism {
                AUTH_PLAIN => Ok(Command::Auth(Mechanism::Plain, initial)),
                AUTH_LOGIN => Ok(Command::Auth(Mechanism::Login, initial)),
                _ => Err(refuse(504, "5.5.4 Only AUTH PLAIN and AUTH LOGIN are known here")),
            }
        }
        _ => Err(refuse(504, "5.5.4 Only AUTH PLAIN and AUTH LOGIN are known here")),
    }
}

fn mail(argument: &str) -> Result<Command, Refusal> {
    let bad_address = || refuse(501, "5.1.7 Bad sender address syntax");
    let (reverse_path, parameters) = match path::split(argument) {
        Some(("", parameters)) => (None, parameters),
        _ => {
            let (address, parameters) = address_of(argument, "5.1.7 Bad sender address syntax")?;
            (Some(address), parameters)
        }
    };
    let mut mail = Mail { reverse_path, ..Mail::default() };
    for (keyword, value) in path::parameters(parameters) {
        match keyword.as_str() {
            keyword if !is_parameter(keyword) => return Err(bad_address()),
            "SIZE" => {
                let digits =
                    !value.is_empty() && value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
                let size = if digits {
                    value.parse().unwrap_or(u64::MAX)
                } else {
                    return Err(bad_parameter("SIZE"));
                };
                mail.size = Some(size);
            }
            "BODY" => match value.to_ascii_uppercase().as_str() {
                "7BIT" => mail.body = Body::SevenBit,
                "8BITMIME" => mail.body = Body::EightBitMime,
                // Its content has no lines to speak of; it is not offered.
                "BINARYMIME" => {
                    return Err(refuse(555, "5.6.1 BODY=BINARYMIME is not supported, use 8BITMIME"));
                }
                _ => return Err(bad_parameter("BODY")),
            },
            "RET" => match value.to_ascii_uppercase().as_str() {
                ret @ ("FULL" | "HDRS") => mail.ret = Some(ret.to_string()),
                _ => return Err(bad_parameter("RET")),
            },
            "ENVID" if path::is_xtext(value) && value.len() <= 100 => mail.envid = Some(value.to_string()),
            "ENVID" => return Err(bad_parameter("ENVID")),
            // Each asks for something that would silently not happen.
            "REQUIRETLS" | "HOLDFOR" | "HOLDUNTIL" | "BY" => {
                return Err(refuse(555, format!("5.5.4 MAIL parameter {keyword} is not supported")));
            }
            // SMTPUTF8 is sent on where an address needs it; AUTH= and the unknown cost nothing to ignore.
            _ => {}
        }
    }
    Ok(Command::Mail(mail))
}

/// The address in a path, and the parameters behind it; old apps put a display name there.
fn address_of<'a>(argument: &'a str, problem: &str) -> Result<(Address, &'a str), Refusal> {
    let is_plain = |(_, parameters): &(&str, &str)| {
        path::parameters(parameters).all(|(keyword, _)| is_parameter(&keyword))
    };
    let as_it_is = path::split(argument).filter(is_plain);
    let refused = match as_it_is.map(|(path, parameters)| (Address::read(path), parameters)) {
        Some((Ok(address), parameters)) => return Ok((address, parameters)),
        Some((Err(problem), _)) => problem,
        None => BadAddress::Syntax,
    };
    if let Some((path, parameters)) = path::split_named(argument).filter(is_plain)
        && let Some(address) = Address::parse(path)
    {
        return Ok((address, parameters));
    }
    Err(match refused {
        BadAddress::Syntax => refuse(501, problem),
        BadAddress::Character(character) => {
            refuse(501, format!("{problem}: {} stands in it", Named(character)))
        }
    })
}

fn rcpt(argument: &str) -> Result<Command, Refusal> {
    let bad_address = || refuse(501, "5.1.3 Bad recipient address syntax");
    let (address, parameters) = address_of(argument, "5.1.3 Bad recipient address syntax")?;
    let mut recipient = Recipient { address, notify: None, orcpt: None };
    for (keyword, value) in path::parameters(parameters) {
        match keyword.as_str() {
            keyword if !is_parameter(keyword) => return Err(bad_address()),
            "NOTIFY" if is_notify(value) => recipient.notify = Some(value.to_ascii_uppercase()),
            "NOTIFY" => return Err(bad_parameter("NOTIFY")),
            "ORCPT" => match value.split_once(';') {
                Some((kind, xtext)) if is_keyword(kind) && path::is_xtext(xtext) && value.len() <= 500 => {
                    recipient.orcpt = Some(value.to_string());
                }
                _ => return Err(bad_parameter("ORCPT")),
            },
            _ => {}
        }
    }
    Ok(Command::Rcpt(recipient))
}

fn bad_parameter(keyword: &str) -> Refusal {
    refuse(501, format!("5.5.4 Bad value of parameter {keyword}"))
}

fn is_keyword(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Whether this can be a parameter's keyword (RFC 5321 section 4.1.2, and what old apps make up). In
/// `RCPT TO:a@b c@d` and `RCPT TO:Ann <a@b>` the second word is no parameter to ignore but an address: to ignore it would
/// lose a recipient in silence, or send the mail to `Ann`.
fn is_parameter(keyword: &str) -> bool {
    keyword.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// RFC 3461 section 4.1's own bound: a list of the same word, thousands of times, must not be kept for each recipient.
const MAX_NOTIFY: usize = 28;

/// NOTIFY: `NEVER` alone, or a list of the others (RFC 3461 section 4.1).
fn is_notify(value: &str) -> bool {
    if value.len() > MAX_NOTIFY {
        return false;
    }
    let value = value.to_ascii_uppercase();
    value == "NEVER" || value.split(',').all(|word| matches!(word, "SUCCESS" | "FAILURE" | "DELAY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(line: &[u8]) -> u16 {
        parse(line).unwrap_err().reply.code
    }

    #[test]
    fn verbs_in_any_case_and_with_blanks() {
        for (line, command) in [
            ("ehlo", Command::Ehlo),
            ("EHLO ", Command::Ehlo),
            ("HELO a b ..", Command::Helo),
            ("data", Command::Data),
            ("DATA  ", Command::Data),
            ("rset x", Command::Rset),
            ("quit", Command::Quit),
            ("NOOP hello", Command::Noop),
            ("Vrfy", Command::Vrfy),
            ("help me", Command::Help),
            ("starttls", Command::StartTls),
            ("GET / HTTP/1.1", Command::Http),
            ("bdat 10", Command::Bdat { size: 10, last: false }),
            ("BDAT 0 last", Command::Bdat { size: 0, last: true }),
            ("auth plain", Command::Auth(Mechanism::Plain, None)),
            ("AUTH LOGIN dXNlcg==", Command::Auth(Mechanism::Login, Some("dXNlcg==".into()))),
            ("AUTH PLAIN =", Command::Auth(Mechanism::Plain, Some("=".into()))),
        ] {
            assert_eq!(parse(line.as_bytes()), Ok(command), "{line}");
        }
        assert_eq!(parse(b"EHLO b\xfcro"), Ok(Command::Ehlo));
        assert_eq!(parse(b" helo b\xfcro"), Ok(Command::Helo));
    }

    #[test]
    fn what_is_no_command() {
        for (line, expected) in [
            ("", 500),
            ("FOO", 500),
            ("EXPN list", 500),
            ("DATA\0", 500),
            ("DA\rTA", 500),
            ("a\u{1}", 500),
            ("AUTH CRAM-MD5", 504),
            ("AUTH", 504),
            ("MAIL", 501),
            ("MAIL a@b", 501),
            ("MAIL FROM", 501),
            ("MAIL FROM:", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<a@b", 501),
            ("MAIL FROM:<a@b> SIZE=x", 501),
            ("MAIL FROM:<a@b> BODY=BINARYMIME", 555),
            ("MAIL FROM:<a@b> REQUIRETLS", 555),
            ("RCPT TO:<a@b> NOTIFY=NEVER,DELAY", 501),
            ("RCPT TO:<a@b> NOTIFY=DELAY,DELAY,DELAY,DELAY,DELAY", 501),
            ("RCPT TO:a@b c@d", 501),
            ("RCPT TO:<Ann <a@b> <c@d>>", 501),
            ("RCPT TO:<Ann <>>", 501),
            ("RCPT TO:Ann <a@b>", 501),
            ("MAIL FROM:Ann <a@b>", 501),
            ("MAIL FROM:<c@d <a@b>>", 501),
            ("RCPT TO:<a@b> ORCPT=a+0", 501),
            ("MAIL FROM:<a@b> ENVID=a+0", 501),
        ] {
            assert_eq!(code(line.as_bytes()), expected, "{line}");
        }
        assert_eq!(code(b"NOOP \xff"), 500);
        assert_eq!(code(b"EHLOX\xff"), 500);
    }

    #[test]
    fn a_bdat_that_is_not_understood_ends_the_dialogue() {
        for line in [
            "BDAT",
            "BDAT x",
            "BDAT 10 FIRST",
            "BDAT -1",
            "BDAT 99999999999999999999",
            "BDAT 1 LAST x",
            "BDAT +1",
        ] {
            assert!(parse(line.as_bytes()).unwrap_err().out_of_step, "{line}");
        }
    }

    #[test]
    fn mail_keeps_what_is_passed_on_and_ignores_what_costs_nothing() {
        let line = b"mail from : <a@b> SIZE=7 body=8bitmime SMTPUTF8 RET=hdrs ENVID=x+0D AUTH=<> X-UNKNOWN=1 MT-PRIORITY=3";
        let mail = Mail {
            reverse_path: Address::parse("a@b"),
            size: Some(7),
            body: Body::EightBitMime,
            ret: Some("HDRS".into()),
            envid: Some("x+0D".into()),
        };
        assert_eq!(parse(line), Ok(Command::Mail(mail)));
        assert_eq!(parse(b"MAIL FROM:<>"), Ok(Command::Mail(Mail::default())));
    }

    #[test]
    fn a_display_name_in_a_path_is_left_out() {
        let mail = |line: &str| match parse(line.as_bytes()) {
            Ok(Command::Mail(mail)) => (mail.reverse_path.unwrap().to_string(), mail.size),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(mail("MAIL FROM:<Web App <app@b.c>> SIZE=7"), ("app@b.c".into(), Some(7)));
        assert_eq!(mail("MAIL FROM: <\"App, Web\" <app@b.c>>"), ("app@b.c".into(), None));
        let hidden = parse("RCPT TO:<a\u{200b}x@b.c>".as_bytes()).unwrap_err();
        let text = "5.1.3 Bad recipient address syntax: U+200B (zero width space) stands in it";
        assert_eq!(hidden.reply, Reply::new(501, text));
        assert_eq!(hidden_ends(), "x@b.c");
    }

    fn hidden_ends() -> String {
        match parse("RCPT TO:<\u{200b}x@b.c\u{ad}>".as_bytes()) {
            Ok(Command::Rcpt(recipient)) => recipient.address.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rcpt_keeps_notify_and_orcpt_as_they_came() {
        let recipient = Recipient {
            address: Address::parse("\"x> NOTIFY=NEVER\"@c.d").unwrap(),
            notify: Some("SUCCESS,DELAY".into()),
            orcpt: Some("rfc822;a+0D@b".into()),
        };
        let line = b"RCPT TO:<\"x> NOTIFY=NEVER\"@c.d> NOTIFY=success,delay ORCPT=rfc822;a+0D@b";
        assert_eq!(parse(line), Ok(Command::Rcpt(recipient)));
    }
}
