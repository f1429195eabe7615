//! What smtp-proto =0.2.5 does where we rely on it or work around it. A test that fails after an upgrade asks for a look
//! at the place that its comment names, not for a new expectation.

use smtp_proto::request::receiver::DataReceiver;
use smtp_proto::response::parser::ResponseReceiver;
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, EXT_START_TLS, EhloResponse, Error, Request, Response};

fn parse(line: &str) -> Result<Request<String>, Error> {
    Request::parse(&mut line.as_bytes().iter()).map(Request::into_owned)
}

/// The content, and how much of the wire was taken, if the end was seen.
fn data(wire: &[u8]) -> (Vec<u8>, Option<usize>) {
    let (mut content, mut octets) = (Vec::new(), wire.iter());
    let ended = DataReceiver::new().ingest(&mut octets, &mut content);
    (content, ended.then(|| wire.len() - octets.as_slice().len()))
}

fn response(wire: &str) -> Result<Response<String>, Error> {
    ResponseReceiver::default().parse(&mut wire.as_bytes().iter())
}

// --- content: smtp::data::ContentReader is used instead of DataReceiver ---

/// The empty message: the session would hang with a client that waits for its answer.
#[test]
fn data_receiver_does_not_see_the_end_straight_behind_354() {
    assert_eq!(data(b".\r\nQUIT\r\n").1, None);
}

/// The app's `.profile` would arrive as `..profile`.
#[test]
fn data_receiver_leaves_a_stuffed_first_line_stuffed() {
    assert_eq!(data(b"..a\r\n.\r\n"), (b"..a\r\n".to_vec(), Some(8)));
}

/// An end that other servers do not see is a way to smuggle.
#[test]
fn data_receiver_ends_at_a_dot_and_two_crs() {
    let wire = b"a\r\n.\r\r\nMAIL FROM:<x@y>\r\n";
    assert_eq!(data(wire), (b"a\r\n\r".to_vec(), Some(7)));
}

/// Bare CR and LF would reach Office 365, which takes them and bounces later.
#[test]
fn data_receiver_keeps_bare_line_ends() {
    assert_eq!(data(b"a\nb\rc\r\n.\r\n").0, b"a\nb\rc\r\n");
}

// --- commands: smtp::command refuses control characters first, and reads MAIL, RCPT and EHLO with smtp::path ---

/// Between angle brackets again, the unquoted address is `<x> NOTIFY=NEVER@c.d>`: a parameter of the sender's making.
/// smtp::path keeps the octets that came, quotes included.
#[test]
fn an_address_comes_back_unquoted() {
    let Ok(Request::Rcpt { to }) = parse("RCPT TO:<\"x> NOTIFY=NEVER\"@c.d>\r\n") else { panic!("refused") };
    assert_eq!(to.address, "x> NOTIFY=NEVER@c.d");
}

/// Written out again, a decoded ENVID or ORCPT would be two lines. smtp::path::is_xtext checks and does not decode.
#[test]
fn xtext_comes_back_decoded_line_ends_and_all() {
    let Ok(Request::Mail { from }) = parse("MAIL FROM:<a@b.c> ENVID=x+0D+0AQUIT\r\n") else {
        panic!("refused")
    };
    assert_eq!(from.env_id.as_deref(), Some("x\r\nQUIT"));
    let Ok(Request::Rcpt { to }) = parse("RCPT TO:<a@b.c> ORCPT=rfc822;x+0D+0AQUIT\r\n") else {
        panic!("refused")
    };
    assert_eq!(to.orcpt.as_deref(), Some("x\r\nQUIT"));
}

/// What one server reads as two lines is one command here. smtp::command refuses a line with a CR in it.
#[test]
fn a_cr_is_deleted_wherever_it_stands() {
    assert_eq!(parse("QU\rIT\r\n"), Ok(Request::Quit));
    let Ok(Request::Mail { from }) = parse("MAIL FROM:<a\r@b.c>\r\n") else { panic!("refused") };
    assert_eq!(from.address, "a@b.c");
}

/// What old apps send, all of it accepted by smtp::command and smtp::path.
#[test]
fn what_old_apps_send_is_refused() {
    for line in [
        "MAIL FROM:a@b.c\r\n",
        "MAIL FROM:<root>\r\n",
        "RCPT TO:<admin>\r\n",
        "HELO\r\n",
        "EHLO\r\n",
        "MAIL FROM:<a@b.c> X-UNKNOWN=1\r\n",
        "RCPT TO:<a@b.c> X-UNKNOWN=1\r\n",
    ] {
        assert!(parse(line).is_err(), "{line:?}");
    }
}

/// smtp::path refuses it.
#[test]
fn a_missing_domain_is_taken() {
    let Ok(Request::Rcpt { to }) = parse("RCPT TO:<a@>\r\n") else { panic!("refused") };
    assert_eq!(to.address, "a@");
}

/// smtp::command::bdat relies on these, and checks the digits itself beforehand.
#[test]
fn bdat_is_read_as_we_rely_on() {
    let chunk = |chunk_size, is_last| Ok(Request::Bdat { chunk_size, is_last });
    assert_eq!(parse("BDAT 10\r\n"), chunk(10, false));
    assert_eq!(parse("bdat 0 last\r\n"), chunk(0, true));
    for line in ["BDAT\r\n", "BDAT x\r\n", "BDAT 1 FIRST\r\n", "BDAT 99999999999999999999\r\n"] {
        assert!(parse(line).is_err(), "{line:?}");
    }
}

/// smtp::command relies on these for the verbs without an argument of meaning, and for AUTH's mechanism.
#[test]
fn verbs_and_mechanisms_are_read_as_we_rely_on() {
    assert_eq!(parse("data\r\n"), Ok(Request::Data));
    assert_eq!(parse("Rset\r\n"), Ok(Request::Rset));
    assert_eq!(parse("QUIT\r\n"), Ok(Request::Quit));
    for (line, expected) in [("AUTH PLAIN\r\n", AUTH_PLAIN), ("auth login dXNlcg==\r\n", AUTH_LOGIN)] {
        assert!(
            matches!(parse(line), Ok(Request::Auth { mechanism, .. }) if mechanism == expected),
            "{line:?}"
        );
    }
}

// --- replies: smtp::reply::ReplyReader is used instead of ResponseReceiver ---

/// A false 250. ReplyReader: lines that differ in code are no reply.
#[test]
fn lines_that_differ_in_code_are_taken_for_the_first() {
    assert_eq!(response("250-a\r\n550 b\r\n").map(|reply| reply.code), Ok(250));
}

/// ReplyReader: 200 to 599, or no reply.
#[test]
fn codes_that_no_reply_has_are_taken() {
    assert_eq!(response("999 x\r\n").map(|reply| reply.code), Ok(999));
    assert_eq!(response("099 x\r\n").map(|reply| reply.code), Ok(99));
}

/// One strange line in Exchange's list must not cost the others: smtp::extension asks line by line.
#[test]
fn ehlo_is_read_line_by_line_as_we_rely_on() {
    let parse = |wire: &str| EhloResponse::parse(&mut wire.as_bytes().iter());
    let offer = parse("250-greeting\r\n250 STARTTLS\r\n").unwrap();
    assert_eq!(offer.capabilities & EXT_START_TLS, EXT_START_TLS);
    // The first line is the greeting's, whatever it says.
    let offer = parse("250-STARTTLS\r\n250 X-OTHER\r\n").unwrap();
    assert_eq!(offer.capabilities & EXT_START_TLS, 0);
}
