//! Foreign text made harmless for a log line, a reply or a terminal: no secret, no control character.

/// Whatever can be a token or a SASL response: a JWT, base64 of `user=`, or a run of base64 longer than any id.
pub(crate) fn without_secrets(text: &str) -> String {
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '-' | '_' | '.');
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let run = &rest[..rest.find(|c| !base64(c)).unwrap_or(rest.len())];
        let secret = (run.len() >= 16 && ["eyJ", "dXNlcj"].iter().any(|start| run.contains(start)))
            || (run.len() >= 120 && run.bytes().any(|b| b.is_ascii_lowercase() && !b.is_ascii_hexdigit()));
        kept.push_str(if secret { "[redacted]" } else { run });
        rest = &rest[run.len()..];
        if let Some(other) = rest.chars().next() {
            kept.push(other);
            rest = &rest[other.len_utf8()..];
        }
    }
    kept
}

/// For a log line: no control characters, no invisible ones that turn a line's direction; the rest as it came.
pub fn printable(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let text = without_secrets(text);
    if text.contains(hostile) { text.replace(hostile, " ") } else { text }
}

/// Printable ASCII of at most this many characters: for an SMTP reply, or a terminal that no escape sequence may reach.
pub(crate) fn printable_ascii(text: &str, limit: usize) -> String {
    let printable = |c| match c {
        ' '..='~' => c,
        c if c.is_control() => ' ',
        _ => '?',
    };
    text.chars().take(limit).map(printable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_secret_or_move_a_line_is_taken_out() {
        let token = format!("eyJ{}", "A".repeat(40));
        assert_eq!(printable(&format!("Bearer {token}, id 1234")), "Bearer [redacted], id 1234");
        assert_eq!(printable("one\r\ntwo\u{202e}three\u{1b}[2J ü"), "one  two three [2J ü");
    }

    #[test]
    fn ascii_is_kept_and_the_rest_replaced_up_to_the_limit() {
        assert_eq!(printable_ascii("a\u{1b}[31mü\u{202e}~ and more", 9), "a [31m??~");
    }
}
