//! A client's side of SMTP over any blocking stream: both clients of the benchmark talk through it, so that what they
//! cost is the same but for what is compared.

use std::io::{Read, Write};

/// Octets read at once.
const READ: usize = 4 * 1024;

/// A stream with the replies that came over it.
pub struct Dialogue<S> {
    stream: S,
    input: Vec<u8>,
    buffer: Box<[u8]>,
}

impl<S: Read + Write> Dialogue<S> {
    /// A dialogue in which nothing has been said.
    pub fn new(stream: S) -> Self {
        Self { stream, input: Vec::with_capacity(READ), buffer: vec![0; READ].into() }
    }

    /// The stream, where nothing more was read than was asked for.
    pub fn into_stream(self) -> Result<S, String> {
        if self.input.is_empty() { Ok(self.stream) } else { Err("octets behind the last reply".into()) }
    }

    /// Writes all of it, at once.
    pub fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        let written = self.stream.write_all(octets).and_then(|()| self.stream.flush());
        written.map_err(|error| format!("cannot write: {error}"))
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// It has another code, or none came.
    pub fn expect(&mut self, code: &str) -> Result<(), String> {
        loop {
            let end = self.input.iter().position(|octet| *octet == b'\n');
            let Some(end) = end else {
                let count =
                    self.stream.read(&mut self.buffer).map_err(|error| format!("no {code}: {error}"))?;
                if count == 0 {
                    return Err(format!("no {code}: the connection was closed"));
                }
                self.input.extend_from_slice(&self.buffer[..count]);
                continue;
            };
            let is_expected = self.input.starts_with(code.as_bytes());
            let is_last = self.input.get(3) != Some(&b'-');
            if !is_expected {
                return Err(format!("no {code}: {}", String::from_utf8_lossy(&self.input[..end]).trim_end()));
            }
            self.input.drain(..=end);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Writes a line and reads its reply.
    pub fn ask(&mut self, line: &str, code: &str) -> Result<(), String> {
        self.write(format!("{line}\r\n").as_bytes())?;
        self.expect(code)
    }
}
