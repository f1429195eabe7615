//! Where an alert goes, and what it says: `text` for a chat, the other keys for a program.

use std::time::{Duration, SystemTime};

use serde_json::json;
use time::OffsetDateTime;

use crate::names::HostPort;
use crate::secret::Secret;
use crate::telemetry::Alert;

/// The port of https.
const HTTPS: u16 = 443;

/// An https URL that takes POSTs. Path and query hold the secret.
#[derive(Debug)]
pub struct Webhook {
    /// Whom to connect to.
    pub address: HostPort,
    /// The request target.
    pub target: Secret<String>,
}

impl Webhook {
    /// Reads `https://hooks.example/services/…`.
    ///
    /// # Errors
    /// The rest of a sentence that begins with the value's name; never the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scheme = "https://";
        let (start, rest) = text.split_at_checked(scheme.len()).unwrap_or(("", text));
        if !start.eq_ignore_ascii_case(scheme) {
            return Err(
                "is not a URL that begins with https:// (an alert is not sent in the clear)".to_string()
            );
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("has a login before its host, which is not supported".to_string());
        }
        let address = HostPort::read(authority, Some(HTTPS)).ok_or("names no host")?;
        let target = target.split('#').next().unwrap_or_default();
        if !target.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(
                "has a blank, a control character or a letter beyond ASCII in its path: percent-encode it"
                    .to_string(),
            );
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { address, target: Secret::new(format!("{slash}{target}")) })
    }
}

/// The POST's body. It is no secret, and is handled as the form of a token request is.
pub(super) fn body(alert: &Alert) -> Secret<String> {
    let Alert { event, mailbox, reason, fix, count, at } = alert;
    let headline = match *event {
        "ready" => "mail goes out again",
        "not_ready" => "mail does not go out",
        "dead_letter" => "a mail was given up",
        "held" => "mail is held back",
        "disk" => "the spool's disk takes no mail",
        _ => "the fleet is degraded",
    };
    let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
    let fix_words = fix.as_ref().map(|fix| format!(" | Fix: {fix}")).unwrap_or_default();
    let text = for_chat(&format!("mailshim {mailbox}: {headline}{times}: {reason}{fix_words}"));
    Secret::new(
        json!({
            "text": text, "event": event, "mailbox": mailbox, "reason": reason, "fix": fix, "count": count,
            "at": rfc_3339(*at),
        })
        .to_string(),
    )
}

/// A text that a chat shows and does not obey: Slack's and Teams' markup is escaped as Slack documents it, a mention
/// (`@channel`) is parted, and a link (`[words](URL)`) is none. What others wrote may hold any of them.
fn for_chat(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut before = ' ';
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '(' if before == ']' => out.push_str(" ("),
            character => out.push(character),
        }
        if character == '@' && !before.is_alphanumeric() {
            // Zero width: read as before.
            out.push('\u{200b}');
        }
        before = character;
    }
    out
}

fn rfc_3339(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let at = OffsetDateTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let ((year, month, day), (hour, minute, second)) = (at.to_calendar_date(), at.to_hms());
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_with_a_host() {
        for (text, address, target) in [
            ("https://hooks.example/services/T/B/x?y=%20&z", "hooks.example:443", "/services/T/B/x?y=%20&z"),
            ("HTTPS://hooks.example", "hooks.example:443", "/"),
            ("https://hooks.example?x", "hooks.example:443", "/?x"),
            ("https://hooks.example/a#b", "hooks.example:443", "/a"),
            ("https://[::1]:8443/", "[::1]:8443", "/"),
        ] {
            let read = Webhook::parse(text).unwrap();
            assert_eq!((read.address.to_string().as_str(), read.target.expose().as_str()), (address, target));
            assert!(!format!("{read:?}").contains("services"), "{read:?}");
        }
        for text in [
            "",
            "hooks.example/s3cret",
            "http://hooks.example/s3cret",
            "https://",
            "https:///s3cret",
            "https://user:s3cret@hooks.example/",
            "https://hooks.example/s3cret\r\nX: y",
            "https://hooks.example/s3 cret",
            "https://hooks.example:0/s3cret",
            "https://hooks example/s3cret",
            "https://hooks.example:99999/s3cret",
        ] {
            let problem = Webhook::parse(text).unwrap_err();
            assert!(!problem.contains("s3cret") && !problem.contains("hooks"), "{problem}");
        }
    }

    #[test]
    fn a_chat_shows_and_does_not_obey() {
        let alert = Alert {
            event: "not_ready",
            mailbox: "app@contoso.com".to_string(),
            reason: "<!channel> @here [x](http://evil.example) a&b".to_string(),
            fix: Some("act".to_string()),
            count: 3,
            at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        };
        let body = body(&alert);
        let value: serde_json::Value = serde_json::from_str(body.expose()).unwrap();
        assert_eq!(
            value["text"],
            "mailshim app@contoso.com: mail does not go out (3 times): &lt;!channel&gt; @\u{200b}here \
             [x] (http://evil.example) a&amp;b | Fix: act"
        );
        assert_eq!((&value["reason"], &value["count"]), (&alert.reason.into(), &3.into()));
        assert_eq!((&value["at"], &value["event"]), (&"2023-11-14T22:13:20Z".into(), &"not_ready".into()));
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(7));
    }
}
