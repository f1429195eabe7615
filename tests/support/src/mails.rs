//! What the app sends.

/// A mail that nothing need be added to.
pub fn mail(number: usize, body: &str) -> Vec<u8> {
    format!(
        "From: App <app@contoso.com>\r\nTo: x@example.com\r\nSubject: test {number}\r\nDate: Mon, 23 Nov 2026 08:00:00 \
         +0000\r\nMessage-ID: <{number}@contoso.com>\r\nMIME-Version: 1.0\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The same with lines that begin with dots.
pub fn small(number: usize) -> Vec<u8> {
    mail(number, "Hello\r\n.\r\n..two\r\nend\r\n")
}

/// A mail of at least this many octets, all lines different.
pub fn large(number: usize, octets: usize) -> Vec<u8> {
    let mut content = mail(number, "");
    let mut line = 0;
    while content.len() < octets {
        content.extend_from_slice(format!(".{line:08} {}\r\n", "abcdefg ".repeat(8)).as_bytes());
        line += 1;
    }
    content
}

/// Content dot-stuffed, with its end.
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 1024);
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
