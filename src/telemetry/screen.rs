//! The status as text, for a terminal.

use std::fmt::Write as _;

use super::history::Refusal;
use super::line::to_the_second;
use super::status::{Snapshot, others};

/// For a terminal.
pub(super) fn render(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    // Writing into a String does not fail.
    let mut line = |text: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(text);
        out.push('\n');
    };
    let mailbox = snapshot.mailbox.as_deref().unwrap_or("(addresses are shown on loopback alone)");
    line(format_args!("{} | {mailbox} | mailshim {}", snapshot.headline(), env!("CARGO_PKG_VERSION")));
    line(format_args!("  {}", snapshot.span(snapshot.since(), None)));
    for (name, text) in [("why", &snapshot.reason), ("fix", &snapshot.fix)] {
        text.iter().for_each(|text| line(format_args!("  {name}: {text}")));
    }
    for told in &snapshot.obstacles {
        line(format_args!("\n{}", told.title()));
        line(format_args!("  {}", snapshot.span(told.since, Some(told.until))));
        let Some(words) = &told.words else { continue };
        let sender = words.sender.as_ref().map(|sender| format!(", sender {sender}")).unwrap_or_default();
        line(format_args!("  for: {}{sender}", words.mailbox));
        let Some((reason, fix)) = snapshot.why(words) else { continue };
        line(format_args!("  why: {reason}"));
        fix.iter().for_each(|fix| line(format_args!("  fix: {fix}")));
    }
    line(format_args!("\nMails a minute: {}", snapshot.plot_words()));
    line(format_args!("  {}", sparks(snapshot)));
    line(format_args!("  60 minutes ago{:>46}", "now"));
    line(format_args!(""));
    snapshot.facts().iter().for_each(|(name, value)| line(format_args!("{name:<18} {value}")));
    if !snapshot.refusals.is_empty() {
        line(format_args!("\nLast refusals, newest first"));
    }
    for (index, refusal) in snapshot.refusals.iter().enumerate() {
        let Refusal { outcome, code, from, to, id, reason, .. } = refusal;
        let others = others(refusal.recipients);
        line(format_args!(
            "  {} {outcome} {code}  from {from} to {to}{others}  {id}",
            to_the_second(refusal.at)
        ));
        line(format_args!("    why: {reason}"));
        snapshot.fix_of(index).iter().for_each(|fix| line(format_args!("    fix: {fix}")));
    }
    out
}

/// The plot in one line of text; a minute at the limit is a full block.
fn sparks(snapshot: &Snapshot) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let top = snapshot.top();
    let block = |count: &u32| match (*count as usize * 8).div_ceil(top) {
        0 => ' ',
        height => BLOCKS[height.min(8) - 1],
    };
    snapshot.per_minute.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::super::status::tests::snapshot;
    use super::*;

    #[test]
    fn a_terminal_is_not_moved_by_what_others_wrote() {
        let text = render(&snapshot(true));
        assert!(text.contains("<script>") && text.contains("Mails a minute"), "{text}");
        let moves = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(moves), "{text:?}");
        // No line of theirs: each begins as one of ours.
        assert!(text.lines().all(|line| !line.starts_with('<')), "{text}");
    }
}
