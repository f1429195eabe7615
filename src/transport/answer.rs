//! The answer to an HTTPS request, as a value: pure files read it.

/// What came back, as far as it matters.
#[derive(Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The Retry-After field, as sent.
    pub retry_after: Option<String>,
    /// The body; it may hold a token, so this type has no `Debug`.
    pub body: Vec<u8>,
}
