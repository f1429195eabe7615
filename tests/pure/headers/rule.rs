//! DESIGN.md's rule on broken header blocks, line by line and without regard to speed: where the body of some content
//! begins, and whether the content is refused since a Bcc would be read by all.

/// What the rule says of some canonical content.
pub(super) struct Verdict {
    /// Where the body begins.
    pub body: usize,
    /// A Bcc stands before the first blank line and cannot be taken out.
    pub shows_bcc: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Line<'a> {
    Field(&'a [u8]),
    Continuation,
    Broken,
}

/// The name of a field, or nothing.
fn name(line: &[u8]) -> Option<&[u8]> {
    let name = line[..line.iter().position(|octet| *octet == b':')?].trim_ascii_end();
    (!name.is_empty() && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

fn kind(line: &[u8]) -> Line<'_> {
    match name(line) {
        _ if line.starts_with(b" ") || line.starts_with(b"\t") => Line::Continuation,
        Some(name) => Line::Field(name),
        None => Line::Broken,
    }
}

fn is_bcc(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"Bcc") || name.eq_ignore_ascii_case(b"Resent-Bcc")
}

fn is_known(name: &[u8]) -> bool {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    ["from", "to", "cc", "bcc", "reply-to", "sender", "subject", "date", "message-id", "mime-version"]
        .contains(&name.as_str())
        || name.starts_with("content-")
        || name.starts_with("resent-")
}

/// A Bcc behind something that nobody sees.
fn is_masked_bcc(line: &[u8]) -> bool {
    let begin = line.iter().position(u8::is_ascii_alphanumeric).unwrap_or(line.len());
    name(&line[begin..]).is_some_and(is_bcc)
}

/// The line behind this Bcc is the rest of its list, or may be.
fn cuts(bcc: &[&[u8]], line: &[u8]) -> bool {
    let value = bcc.concat();
    let value = value.trim_ascii();
    let value =
        value[value.iter().position(|octet| *octet == b':').map_or(0, |colon| colon + 1)..].trim_ascii();
    let is_open = !value.is_empty() && (!value.contains(&b'@') || matches!(value.last(), Some(b',' | b';')));
    is_open || line.contains(&b'@')
}

/// Lines with where each begins.
fn lines(content: &[u8]) -> Vec<(usize, &[u8])> {
    let mut lines = Vec::new();
    let mut at = 0;
    while at < content.len() {
        let length = content[at..].windows(2).position(|pair| pair == b"\r\n").unwrap_or(content.len() - at);
        lines.push((at, &content[at..at + length]));
        at += length + 2;
    }
    lines
}

/// Applies the rule.
pub(super) fn of(content: &[u8]) -> Verdict {
    let mut all = lines(content);
    let first_blank = |from: usize, all: &[(usize, &[u8])]| {
        all[from..].iter().position(|(_, line)| line.is_empty()).map_or(all.len(), |blank| from + blank)
    };
    let behind = |line: usize, all: &[(usize, &[u8])]| {
        all.get(line).map_or(content.len(), |(at, line)| (at + line.len() + 2).min(content.len()))
    };
    // Leading noise.
    let noise = all
        .iter()
        .enumerate()
        .take_while(|(index, (_, line))| {
            let bare = if *index == 0 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
            let is_mailbox_line = bare.starts_with(b"From ") || bare.starts_with(b">From ");
            bare.is_empty() || is_mailbox_line && name(bare).is_none()
        })
        .count();
    let blank = first_blank(0, &all);
    let has_blank_noise = blank < noise;
    let mut has_noise = noise > 0;
    if let Some((at, line)) = all.get_mut(noise) {
        let mut bare = *line;
        if noise == 0 {
            bare = bare.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bare);
        }
        bare = bare.trim_ascii_start();
        if name(bare).is_some() {
            has_noise |= bare.len() < line.len();
            (*at, *line) = (*at + line.len() - bare.len(), bare);
        }
    }
    let end = first_blank(noise, &all);
    let block = &all[noise..end];
    let is_field = |(_, line): &(usize, &[u8])| matches!(kind(line), Line::Field(_));
    let known = |lines: &[(usize, &[u8])]| {
        lines.iter().any(|(_, line)| matches!(kind(line), Line::Field(name) if is_known(name)))
    };
    let starts_with_field = block.first().is_none_or(is_field);
    let broken: Vec<usize> = (0..block.len())
        .filter(|at| kind(block[*at].1) == Line::Broken || *at == 0 && !starts_with_field)
        .collect();
    let is_mendable = starts_with_field && broken.last().is_none_or(|last| known(&block[*last..]));
    let masked = |lines: &[(usize, &[u8])]| {
        lines.iter().any(|(_, line)| kind(line) == Line::Broken && is_masked_bcc(line))
    };
    let fields_show = |lines: &[(usize, &[u8])]| {
        lines.iter().any(|(_, line)| matches!(kind(line), Line::Field(name) if is_bcc(name)))
    };
    if has_blank_noise && !(is_mendable && known(block)) {
        return Verdict { body: behind(blank, &all), shows_bcc: false };
    }
    let until = if is_mendable { block.len() } else { broken[0] };
    if has_noise && !known(&block[..until]) {
        // Noise that is none: all of it is text.
        return Verdict { body: 0, shows_bcc: fields_show(block) || masked(block) || is_cut(block, &broken) };
    }
    if is_mendable {
        return Verdict { body: behind(end, &all), shows_bcc: masked(block) };
    }
    let text = &block[until..];
    let body = if until == 0 { 0 } else { text[0].0 };
    Verdict { body, shows_bcc: fields_show(text) || masked(text) || is_cut(block, &broken) }
}

/// A line that is no field stands straight behind a Bcc, and is the rest of it.
fn is_cut(block: &[(usize, &[u8])], broken: &[usize]) -> bool {
    broken.iter().any(|at| {
        let Some(field) = (0..*at).rev().find(|before| kind(block[*before].1) != Line::Continuation) else {
            return false;
        };
        let bcc: Vec<&[u8]> = block[field..*at].iter().map(|(_, line)| *line).collect();
        matches!(kind(bcc[0]), Line::Field(name) if is_bcc(name)) && cuts(&bcc, block[*at].1)
    })
}
