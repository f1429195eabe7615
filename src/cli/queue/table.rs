//! The list for a person: three lines a message, and at the end each reason once, with what to do about it. Pure.

use super::view::{View, size, span};
use crate::cli::arguments::STATES;

/// What every terminal has.
pub const USUAL_WIDTH: usize = 80;
/// A narrower one shows lines that are longer than it is.
const NARROWEST: usize = 60;
/// Reasons that are told apart; those beyond that are told in their place alone.
const MOST_REASONS: usize = 32;
/// Characters of a reply that the end of the list shows.
const LONGEST_REPLY: usize = 480;

/// A reason, and how many messages have it.
struct Reason {
    key: String,
    reply: String,
    fix: Option<String>,
    mails: usize,
    /// One of them.
    id: u64,
}

/// The list as it is written.
pub struct Table {
    width: usize,
    now: u64,
    mails: usize,
    octets: u64,
    by_state: [usize; STATES.len()],
    reasons: Vec<Reason>,
}

impl Table {
    pub fn new(width: Option<usize>, now: u64) -> Self {
        let width = width.unwrap_or(USUAL_WIDTH).max(NARROWEST);
        Self { width, now, mails: 0, octets: 0, by_state: [0; STATES.len()], reasons: Vec::new() }
    }

    /// The lines of a message, with the heading before the first.
    pub fn mail(&mut self, view: &View) -> String {
        let mut text = String::new();
        if self.mails == 0 {
            text.push_str("ID            STATE     AGE   SIZE TRIES   NEXT  FROM\n");
        }
        self.mails += 1;
        self.octets += view.bytes;
        for (count, state) in self.by_state.iter_mut().zip(STATES) {
            *count += usize::from(state == view.state);
        }
        let next = match view.next {
            None => "-".to_string(),
            Some(next) if next <= self.now => "now".to_string(),
            Some(next) => format!("in {}", span(next - self.now)),
        };
        let from = match &view.from {
            Some(from) => from.as_str(),
            None if view.recipients.is_empty() => "?",
            None => "<>",
        };
        let line = format!(
            "{:<13x} {:<8} {:>4} {:>6} {:>5} {next:>6}  {from}",
            view.id,
            view.state,
            span(self.now.saturating_sub(view.created)),
            size(view.bytes),
            view.attempts,
        );
        text.push_str(&shortened(&line, self.width));
        text.push('\n');
        if !view.recipients.is_empty() {
            text.push_str(&recipients(view, self.width));
            text.push('\n');
        }
        if let Some((reply, fix)) = view.reason() {
            text.push_str(&self.reason(view.id, reply, fix));
        }
        text
    }

    fn reason(&mut self, id: u64, reply: &str, fix: Option<&str>) -> String {
        let key = key(reply, fix);
        let known = self.reasons.iter().position(|reason| reason.key == key);
        let place = match known {
            Some(place) => place,
            None if self.reasons.len() < MOST_REASONS => {
                let (reply, fix) = (reply.to_string(), fix.map(str::to_string));
                self.reasons.push(Reason { key, reply, fix, mails: 0, id });
                self.reasons.len() - 1
            }
            None => {
                let fix = fix.map(|fix| folded(&format!("Fix: {fix}"), "    ", self.width));
                return shortened(&format!("  {}", brief(reply)), self.width)
                    + "\n"
                    + &fix.unwrap_or_default();
            }
        };
        self.reasons[place].mails += 1;
        shortened(&format!("  ({}) {}", place + 1, brief(reply)), self.width) + "\n"
    }

    /// What stands below all messages.
    pub fn end(&self) -> String {
        if self.mails == 0 {
            return "no mail\n".to_string();
        }
        let states = self.by_state.iter().zip(STATES).filter(|(count, _)| **count > 0);
        let states: Vec<String> = states.map(|(count, state)| format!("{count} {state}")).collect();
        let mut text = format!("\n{}, {}: {}\n", mails(self.mails), size(self.octets), states.join(", "));
        for (place, reason) in self.reasons.iter().enumerate() {
            let reply: String = brief(&reason.reply).chars().take(LONGEST_REPLY).collect();
            let number = format!("({}) ", place + 1);
            let lead = " ".repeat(number.len());
            let said = folded(&format!("{}: {reply}", mails(reason.mails)), &lead, self.width);
            text.push_str(&number);
            text.push_str(said.strip_prefix(&lead).unwrap_or(&said));
            if let Some(fix) = &reason.fix {
                // The command can be copied where it is about one message.
                let fix = if reason.mails == 1 { with_id(fix, reason.id) } else { fix.clone() };
                text.push_str(&folded(&format!("Fix: {fix}"), &lead, self.width));
            }
        }
        text
    }
}

/// A hint's commands with the message's name in the place of `ID`.
pub fn with_id(fix: &str, id: u64) -> String {
    let mut words = fix.split(' ').map(|word| match word.strip_prefix("ID") {
        Some(rest) if rest.chars().all(|c| !c.is_alphanumeric()) => format!("{id:x}{rest}"),
        _ => word.to_string(),
    });
    let mut text = words.next().unwrap_or_default();
    for word in words {
        text.push(' ');
        text.push_str(&word);
    }
    text
}

/// `1 mail`, `2 mails`.
pub fn mails(count: usize) -> String {
    format!("{count} mail{}", if count == 1 { "" } else { "s" })
}

/// A reply from its code on: whose it is stands before it, the same in all of them.
fn brief(reply: &str) -> &str {
    let is_reply = |text: &&str| {
        let (code, rest) = text.split_at_checked(3).unwrap_or(("", ""));
        rest.starts_with(' ') && code.bytes().all(|octet| octet.is_ascii_digit())
    };
    reply.split_once(": ").map(|(_, rest)| rest).filter(is_reply).unwrap_or(reply)
}

/// What replies of the same kind have in common: the codes and the fix, or where there is none the words that are no
/// numbers or names of hosts.
fn key(reply: &str, fix: Option<&str>) -> String {
    let mut words = brief(reply).split_whitespace();
    let codes: Vec<&str> = words.by_ref().take(2).collect();
    let rest = match fix {
        Some(fix) => fix.to_string(),
        None => {
            let is_plain =
                |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, ',' | '\''));
            words.filter(is_plain).take(12).collect::<Vec<_>>().join(" ")
        }
    };
    format!("{} {rest}", codes.join(" "))
}

fn recipients(view: &View, width: usize) -> String {
    let mut line = "  to ".to_string();
    let all = &view.recipients;
    for (place, recipient) in all.iter().enumerate() {
        let before = if place == 0 { "" } else { ", " };
        let left = all.len() - place;
        let more = format!(" and {left} more");
        let rest = if left > 1 { more.chars().count() } else { 0 };
        if place > 0 && length(&line) + before.len() + length(&recipient.address) + rest > width {
            line.push_str(&more);
            return shortened(&line, width);
        }
        line.push_str(before);
        line.push_str(&recipient.address);
    }
    shortened(&line, width)
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The line, or its beginning with an ellipsis.
fn shortened(line: &str, width: usize) -> String {
    if length(line) <= width {
        return line.to_string();
    }
    let kept: String = line.chars().take(width - 1).collect();
    kept.trim_end().to_string() + "…"
}

/// A text on as many lines as it needs, each behind the lead. A longer word than fits stands on a line of its own, or is
/// broken where a line ends.
pub fn folded(text: &str, lead: &str, width: usize) -> String {
    let width = width.max(length(lead) + 20);
    let mut lines = String::new();
    let mut line = lead.to_string();
    for word in text.split_whitespace() {
        let fits = length(&line) + 1 + length(word) <= width;
        if !fits && line.len() > lead.len() {
            lines.push_str(&line);
            lines.push('\n');
            line = lead.to_string();
        } else if line.len() > lead.len() {
            line.push(' ');
        }
        for c in word.chars() {
            if length(&line) == width {
                lines.push_str(&line);
                lines.push('\n');
                line = lead.to_string();
            }
            line.push(c);
        }
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::view::Recipient;
    use super::*;

    const NOW: u64 = 1_764_118_800;

    fn view(number: u64, from: &str, to: &[&str], reply: Option<(&str, &str)>) -> View {
        let recipient = |address: &&str| Recipient {
            address: (*address).to_string(),
            state: "refused",
            reply: reply.map(|(reply, _)| reply.to_string()),
            fix: reply.map(|(_, fix)| fix.to_string()),
        };
        View {
            id: ((NOW - 8000) << 20) | number,
            state: if reply.is_some() { "dead" } else { "waiting" },
            created: NOW - 8000,
            bytes: 4115,
            from: Some(from.to_string()),
            given_from: None,
            recipients: to.iter().map(recipient).collect(),
            given_recipients: Vec::new(),
            attempts: 7,
            next: reply.is_none().then_some(NOW + 720),
            message_id: None,
            trouble: None,
        }
    }

    const DENIED: &str = "Office 365 refused the message: 550 5.7.60 SMTP; Client does not have permissions to send as this sender [AS8P195MB1234.EURP195.PROD.OUTLOOK.COM 2026-11-26T00:00:00.000Z 08DE1234567890AB]";
    const GRANT: &str = "Run Add-RecipientPermission <the From address> -Trustee app@contoso.com -AccessRights SendAs. Mail that is stored: mailshim queue retry --prepare ID.";

    #[test]
    fn a_person_reads_it_on_80_columns() {
        let mut table = Table::new(None, NOW);
        let long = "a-rather-long-name.of-somebody@mail.department.subsidiary.fabrikam.example";
        let mut text = table.mail(&view(1, "app@contoso.com", &["ops@fabrikam.com"], None));
        text += &table.mail(&view(
            2,
            "billing@contoso.com",
            &["a@b.example", "c@d.example"],
            Some((DENIED, GRANT)),
        ));
        text += &table.mail(&view(3, long, &[long, long, "x@y.example"], Some((DENIED, GRANT))));
        text += &table.end();
        let expected = "\
ID            STATE     AGE   SIZE TRIES   NEXT  FROM
692631d000001 waiting    2h  4.1kB     7 in 12m  app@contoso.com
  to ops@fabrikam.com
692631d000002 dead       2h  4.1kB     7      -  billing@contoso.com
  to a@b.example, c@d.example
  (1) 550 5.7.60 SMTP; Client does not have permissions to send as this sender…
692631d000003 dead       2h  4.1kB     7      -  a-rather-long-name.of-somebody…
  to a-rather-long-name.of-somebody@mail.department.subsidiary.fabrikam.example…
  (1) 550 5.7.60 SMTP; Client does not have permissions to send as this sender…

3 mails, 12kB: 1 waiting, 2 dead
(1) 2 mails: 550 5.7.60 SMTP; Client does not have permissions to send as this
    sender [AS8P195MB1234.EURP195.PROD.OUTLOOK.COM 2026-11-26T00:00:00.000Z
    08DE1234567890AB]
    Fix: Run Add-RecipientPermission <the From address> -Trustee app@contoso.com
    -AccessRights SendAs. Mail that is stored: mailshim queue retry --prepare
    ID.
";
        assert_eq!(text, expected);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "x".repeat(300);
        for width in [60, 80, 113, 200] {
            let mut table = Table::new(Some(width), NOW);
            let mut text = String::new();
            for number in 0..40 {
                let reply = format!("{} 5.1.{number} {long} {long}", 500 + number);
                text +=
                    &table.mail(&view(number, &long, &[&long, "a@b.example", &long], Some((&reply, &long))));
            }
            text += &table.end();
            let widest = text.lines().map(length).max();
            assert!(widest <= Some(width), "{widest:?} > {width}");
            assert_eq!(table.reasons.len(), MOST_REASONS);
        }
    }

    #[test]
    fn a_reason_of_one_mail_can_be_copied_as_a_command() {
        let mut table = Table::new(None, NOW);
        table.mail(&view(2, "b@contoso.com", &["a@b.example"], Some((DENIED, GRANT))));
        assert!(table.end().contains("692631d000002."), "{}", table.end());
        assert_eq!(with_id("retry ID, IDs", 0x1f), "retry 1f, IDs");
        assert_eq!(Table::new(None, NOW).end(), "no mail\n");
    }
}
