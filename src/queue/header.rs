//! The header block that the app gave, as a record keeps it: to be read by a person, and octet by octet.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::Head;

impl Head {
    /// A header block as it is kept: to be read, and octet by octet where that is not the same.
    pub fn keep_header(octets: &[u8]) -> (String, Option<String>) {
        let text = String::from_utf8_lossy(octets);
        let is_same = text.as_bytes() == octets;
        (text.into_owned(), (!is_same).then(|| STANDARD.encode(octets)))
    }

    /// The header block that the app gave; `None` where it was kept by nobody who knows how.
    pub fn header_octets(&self) -> Option<Vec<u8>> {
        match &self.header_base64 {
            Some(text) => STANDARD.decode(text).ok(),
            None => Some(self.header.clone().into_bytes()),
        }
    }
}
