//! What a server offers in its reply to EHLO (RFC 5321 section 4.1.1.1).

use smtp_proto::{
    AUTH_LOGIN, AUTH_XOAUTH2, EXT_8BIT_MIME, EXT_AUTH, EXT_CHUNKING, EXT_DSN, EXT_ENHANCED_STATUS_CODES,
    EXT_PIPELINING, EXT_SIZE, EXT_SMTP_UTF8, EXT_START_TLS, EhloResponse,
};

use super::reply::Reply;

/// The extensions that the client side makes use of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034): a reply says what it is about.
    pub enhanced_codes: bool,
    /// SIZE (RFC 1870): offered, and its limit in octets where one is named.
    pub size: Option<u64>,
    /// AUTH XOAUTH2.
    pub xoauth2: bool,
    /// AUTH LOGIN.
    pub login: bool,
    /// The AUTH line as it came, for the operator.
    pub auth_line: String,
}

impl Extensions {
    /// Reads them from a positive reply to EHLO. A line that smtp-proto does not understand costs that line only.
    pub fn from_ehlo(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        for line in reply.lines.iter().skip(1) {
            let response = format!("250-greeting\r\n250 {line}\r\n");
            let Ok(offer) = EhloResponse::parse(&mut response.as_bytes().iter()) else {
                continue;
            };
            let has = |extension: u32| offer.capabilities & extension != 0;
            extensions.starttls |= has(EXT_START_TLS);
            extensions.pipelining |= has(EXT_PIPELINING);
            extensions.chunking |= has(EXT_CHUNKING);
            extensions.eight_bit_mime |= has(EXT_8BIT_MIME);
            extensions.smtputf8 |= has(EXT_SMTP_UTF8);
            extensions.dsn |= has(EXT_DSN);
            extensions.enhanced_codes |= has(EXT_ENHANCED_STATUS_CODES);
            if has(EXT_SIZE) {
                extensions.size = Some(offer.size as u64);
            }
            if has(EXT_AUTH) {
                extensions.xoauth2 |= offer.auth_mechanisms & AUTH_XOAUTH2 != 0;
                extensions.login |= offer.auth_mechanisms & AUTH_LOGIN != 0;
                extensions.auth_line.clone_from(line);
            }
        }
        extensions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_onlines_list_is_understood() {
        let lines = [
            "SY5P282CA0097.outlook.office365.com Hello [172.105.184.101]",
            "SIZE 157286400",
            "PIPELINING",
            "DSN",
            "ENHANCEDSTATUSCODES",
            "AUTH LOGIN XOAUTH2",
            "8BITMIME",
            "BINARYMIME",
            "CHUNKING",
            "SMTPUTF8",
        ];
        let reply = Reply { code: 250, lines: lines.map(str::to_string).to_vec() };
        assert_eq!(
            Extensions::from_ehlo(&reply),
            Extensions {
                starttls: false,
                pipelining: true,
                chunking: true,
                eight_bit_mime: true,
                smtputf8: true,
                dsn: true,
                enhanced_codes: true,
                size: Some(157_286_400),
                xoauth2: true,
                login: true,
                auth_line: "AUTH LOGIN XOAUTH2".into(),
            }
        );
    }

    #[test]
    fn a_strange_line_costs_that_line_only() {
        let lines = ["host", "X-\u{fffd} ;; 7", "SIZE abc", "STARTTLS", ""];
        let reply = Reply { code: 250, lines: lines.map(str::to_string).to_vec() };
        assert!(Extensions::from_ehlo(&reply).starttls);
    }

    #[test]
    fn the_greeting_line_offers_nothing() {
        let reply = Reply { code: 250, lines: vec!["STARTTLS".into()] };
        assert_eq!(Extensions::from_ehlo(&reply), Extensions::default());
    }
}
