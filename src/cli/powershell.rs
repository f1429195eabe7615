//! Values as PowerShell literals, for the scripts and lines that a person runs.

/// A PowerShell literal. PowerShell takes the four typographic quotes for single quotes, too.
pub fn quoted(value: &str) -> String {
    let mut text = String::from("'");
    for c in value.chars() {
        if matches!(c, '\'' | '\u{2018}'..='\u{201b}') {
            text.push(c);
        }
        text.push(c);
    }
    text.push('\'');
    text
}

/// A value between the quotes of a filter (OData and OPATH double a quote).
pub fn in_filter(value: &str) -> String {
    value.replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_end_no_quotes() {
        assert_eq!(quoted("o'neil@contoso.com"), "'o''neil@contoso.com'");
        assert_eq!(quoted("\u{2019}; Remove-Mailbox"), "'\u{2019}\u{2019}; Remove-Mailbox'");
        assert_eq!(quoted(&in_filter("o'neil")), "'o''''neil'");
    }
}
