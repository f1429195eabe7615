//! Characters that nobody sees, and those that look like an `@`: in an address they lead to a mailbox that nobody reads.
//!
//! The table is Default_Ignorable_Code_Point of Unicode 16 (DerivedCoreProperties.txt; the bidirectional controls are
//! among them) and the spaces (Zs, Zl, Zp) beyond ASCII's.

use std::fmt;

/// First and last of each range, in order.
const HIDDEN: [(char, char); 23] = [
    ('\u{85}', '\u{85}'),
    ('\u{a0}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{fe6b}', '\u{fe6b}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ff20}', '\u{ff20}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fff8}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Small and full-width `@`.
const LIKE_AT: [char; 2] = ['\u{fe6b}', '\u{ff20}'];

/// Whether a character has no place in a local part.
pub(crate) fn is_hidden(character: char) -> bool {
    !character.is_ascii() && HIDDEN.iter().any(|(first, last)| (*first..=*last).contains(&character))
}

/// Whether a character is no `@`, and looks like one.
pub(crate) fn is_like_at(character: char) -> bool {
    LIKE_AT.contains(&character)
}

/// A text without what nobody sees at its ends.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| is_hidden(c) && !is_like_at(c) || matches!(c, ' ' | '\t'))
}

/// A character, for a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named(pub char);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            '\u{a0}' => " (no-break space)",
            '\u{ad}' => " (soft hyphen)",
            '\u{200b}' => " (zero width space)",
            '\u{200c}' => " (zero width non-joiner)",
            '\u{200d}' => " (zero width joiner)",
            '\u{feff}' => " (byte order mark)",
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => " (a change of direction)",
            c if is_like_at(c) => " (not the @ of an address)",
            _ => "",
        };
        write!(f, "U+{:04X}{name}", u32::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees() {
        for c in [
            '\u{200b}',
            '\u{feff}',
            '\u{ad}',
            '\u{a0}',
            '\u{202e}',
            '\u{2067}',
            '\u{3000}',
            '\u{e0041}',
            '＠',
            '﹫',
            '\u{180e}',
        ] {
            assert!(is_hidden(c), "{:?}", Named(c));
        }
        for c in ['a', '@', ' ', 'ü', '中', 'م', '😀', '\u{301}'] {
            assert!(!is_hidden(c), "{c}");
        }
        assert!(HIDDEN.is_sorted());
        assert_eq!(trimmed("\u{feff}\u{a0}a\u{ad}b\u{200b} "), "a\u{ad}b");
        assert_eq!(Named('\u{200b}').to_string(), "U+200B (zero width space)");
        assert_eq!(Named('\u{2060}').to_string(), "U+2060");
    }
}
