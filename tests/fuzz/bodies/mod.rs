//! What must hold for every input, one file a parser or machine, one function `fuzz` in each: it panics where it does
//! not hold. libFuzzer calls them (`tests/fuzz/targets`), and so does a plain test with the committed inputs and a
//! bounded number of mutations of them (`tests/pure/fuzz.rs`).

pub mod session;
pub mod content;
pub mod headers;
pub mod recipients;
pub mod upstream;
pub mod token;
pub mod environment;

/// Choices that are made by the input's first octets, so that a fuzzer steers them.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// The next octet; zero behind the end.
    pub fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// One of so many.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::from(self.octet()) % limit
    }

    /// What is left.
    pub const fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The octets in pieces whose lengths a seed decides.
pub fn cut(octets: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut state = u32::from(seed).wrapping_mul(0x9e37_79b9) | 1;
    let (mut pieces, mut rest) = (Vec::new(), octets);
    while !rest.is_empty() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let most = [1, 2, 7, 60, 1000][(state >> 8) as usize % 5];
        let length = (1 + (state >> 16) as usize % most).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// Every CR has its LF, every LF its CR.
pub fn is_canonical(octets: &[u8]) -> bool {
    let mut last = 0;
    for &octet in octets {
        if (octet == b'\n') != (last == b'\r') {
            return false;
        }
        last = octet;
    }
    last != b'\r'
}
