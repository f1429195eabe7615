//! The question before mail is dropped.

use std::io::{self, BufRead as _, Write as _};

/// Asks on the terminal; only a yes is one.
pub(super) fn confirmed(question: &str) -> bool {
    let mut out = io::stderr();
    let _ = write!(out, "{question} [y/N] ");
    let _ = out.flush();
    let mut line = String::new();
    let _ = io::stdin().lock().read_line(&mut line);
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
