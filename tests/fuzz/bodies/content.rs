//! The content codec: canonical whatever comes, the same in any pieces, ended by CRLF.CRLF and nothing else, read back as
//! it was, and with one end that no careless server finds earlier.

use bytes::BytesMut;
use mailshim::testing::smtp::data::{ContentReader, DotStuffer};

use super::{Choices, cut, is_canonical};

/// The first two octets: how input and output are cut; then DATA's octets, and the same as a chunk's.
pub fn fuzz(input: &[u8]) {
    let mut choices = Choices(input);
    let (seed, cap) = (choices.octet(), 1 + usize::from(choices.octet()));
    let octets = choices.rest();
    let whole = data(&[octets], usize::MAX);
    assert_eq!(data(&cut(octets, seed), cap), whole, "another content in pieces");
    let (content, left, ended) = whole;
    assert!(is_canonical(&content) || !ended, "{}", content.escape_ascii());
    assert!(content.len() <= 2 * octets.len() + 2, "the content grows");
    assert!(octets.ends_with(&left), "what follows the end is the next command, as it came");
    // Only CRLF.CRLF ends it, and the first one does: behind DATA's own CRLF.
    let wire = [b"\r\n", octets].concat();
    let end = wire.windows(5).position(|part| part == b"\r\n.\r\n").map(|at| at + 3);
    assert_eq!(end, ended.then(|| octets.len() - left.len()), "the end is elsewhere");
    let chunks = bdat(&[octets], usize::MAX);
    assert_eq!(bdat(&cut(octets, seed), cap), chunks, "another chunk in pieces");
    assert!(is_canonical(&chunks), "{}", chunks.escape_ascii());
    there_and_back(&chunks, seed);
}

fn there_and_back(content: &[u8], seed: u8) {
    // Content ends in a line's end when it leaves.
    let mut content = content.to_vec();
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    let (mut stuffer, mut wire) = (DotStuffer::new(), Vec::new());
    for piece in cut(&content, seed) {
        stuffer.stuff(piece, &mut wire);
    }
    stuffer.end(&mut wire);
    assert!(is_canonical(&wire), "{}", wire.escape_ascii());
    let ends = wire.split(|octet| matches!(octet, b'\r' | b'\n')).filter(|line| *line == b".").count();
    assert_eq!(ends, 1, "a careless server finds another end: {}", wire.escape_ascii());
    wire.extend_from_slice(b"QUIT\r\n");
    assert_eq!(data(&cut(&wire, seed), 7), (content, b"QUIT\r\n".to_vec(), true));
}

fn data(pieces: &[&[u8]], cap: usize) -> (Vec<u8>, Vec<u8>, bool) {
    let (mut reader, mut input, mut content) = (ContentReader::data(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while !reader.ended() {
            let mut out = Vec::new();
            let used = reader.read(&mut input, usize::MAX, &mut out, cap);
            content.extend_from_slice(&out);
            if used == 0 && out.is_empty() {
                break;
            }
        }
    }
    (content, input.to_vec(), reader.ended())
}

fn bdat(pieces: &[&[u8]], cap: usize) -> Vec<u8> {
    let (mut reader, mut input, mut content) = (ContentReader::bdat(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            let mut out = Vec::new();
            let used = reader.read(&mut input, usize::MAX, &mut out, cap);
            content.extend_from_slice(&out);
            if used == 0 && out.is_empty() {
                break;
            }
        }
    }
    loop {
        let mut out = Vec::new();
        let finished = reader.finish(&mut out, cap);
        content.extend_from_slice(&out);
        if finished {
            return content;
        }
    }
}
