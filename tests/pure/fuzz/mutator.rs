//! Changes inputs a little, the same way in each run.

/// xorshift64* over a corpus.
pub struct Mutator(u64);

/// What parsers look for.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\r\n.\r\n",
    b"\n.\n",
    b".",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"\xc3\xbc",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"(",
    b")",
    b",",
    b";",
    b":",
    b"@",
    b"=",
    b"=?utf-8?Q?",
    b"?=",
    b"%",
    b"{",
    b"}",
    b"[",
    b"]",
    b"250 ",
    b"250-",
    b"354 go\r\n",
    b"550 5.7.1 no\r\n",
    b"421 4.3.2 bye\r\n",
    b"250 2.1.5 ok\r\n",
    b"235 2.7.0 in\r\n",
    b"STARTTLS",
    b"MAIL FROM:<a@b>\r\n",
    b"RCPT TO:<c@d>\r\n",
    b"DATA\r\n",
    b"BDAT 5\r\n",
    b"BDAT 3 LAST\r\n",
    b"RSET\r\n",
    b"QUIT\r\n",
    b"AUTH PLAIN AGEAYg==\r\n",
    b"Bcc: x@y.example\r\n",
    b"From: ",
    b"Resent-Bcc:",
    b"access_token",
    b"CANARY",
    b"\"expires_in\":",
    b"MAILSHIM_",
    b"_FILE=",
    b"\n%7=",
    b"99999999999999999999",
    b"-1",
];

impl Mutator {
    /// With this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).expect("31 bits") % limit.max(1)
    }

    /// One of the inputs with one to six changes.
    pub fn mutated(&mut self, corpus: &[&[u8]]) -> Vec<u8> {
        let mut input = corpus[self.below(corpus.len())].to_vec();
        for _ in 0..=self.below(6) {
            let at = self.below(input.len() + 1);
            let until = at + self.below(input.len() - at + 1).min(20);
            match self.below(7) {
                0 => drop(input.drain(at..until)),
                1 => input.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied()).for_each(drop),
                2 => input.splice(at..until, WORDS[self.below(WORDS.len())].iter().copied()).for_each(drop),
                3 if at < input.len() => input[at] = u8::try_from(self.below(256)).expect("an octet"),
                4 if at < input.len() => input[at] ^= 1 << self.below(8),
                // A part once more, where it stands or elsewhere.
                5 => {
                    let part = input[at..until].to_vec();
                    let to = self.below(input.len() + 1);
                    input.splice(to..to, part).for_each(drop);
                }
                // The end of another.
                _ => {
                    let other = corpus[self.below(corpus.len())];
                    input.truncate(at);
                    input.extend_from_slice(&other[self.below(other.len() + 1)..]);
                }
            }
        }
        input
    }
}
