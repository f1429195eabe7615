use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::secret::Secret;

const CANARY: &str = "canary-5up3r-s3cret";

const TARGET: &str = "/contoso.com/oauth2/v2.0/token";

fn form() -> Secret<String> {
    Secret::new(format!("grant_type=client_credentials&client_id=id&client_secret={CANARY}&scope=scope"))
}

/// What the server saw, up to the end of the form.
async fn read_request(server: &mut DuplexStream) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(b"scope=scope") {
        assert_ne!(server.read_buf(&mut seen).await.unwrap(), 0);
    }
    String::from_utf8(seen).unwrap()
}

/// One exchange with a server that reads the request, answers with these bytes and closes.
async fn against(answer: &str) -> (Result<Answer, TokenFault>, String) {
    let (io, mut server) = duplex(8);
    let served = async {
        let seen = read_request(&mut server).await;
        // The client may have hung up on us: that is its right.
        let _ = server.write_all(answer.as_bytes()).await;
        drop(server);
        seen
    };
    let (request, nobody) = (form_post("login.test", 443, TARGET, &form()).unwrap(), Watcher::default());
    tokio::join!(exchange(io, request, &nobody), served)
}

async fn garbage(answer: &str) -> String {
    match against(answer).await.0 {
        Err(TokenFault::Garbage(words)) => words,
        other => panic!("{:?}", other.map(|answer| answer.status)),
    }
}

#[tokio::test]
async fn the_request_is_a_plain_form_post() {
    let (answer, seen) = against("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.retry_after, answer.body), (200, None, b"{}".to_vec()));
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        seen,
        format!(
            "POST /contoso.com/oauth2/v2.0/token HTTP/1.1\r\nhost: login.test\r\n\
             content-type: application/x-www-form-urlencoded\r\naccept: application/json\r\n\
             user-agent: mailshim/{version}\r\nconnection: close\r\ncontent-length: 88\r\n\r\n\
             grant_type=client_credentials&client_id=id&client_secret={CANARY}&scope=scope"
        )
    );
}

#[tokio::test]
async fn chunked_and_unframed_bodies_are_read() {
    let chunked =
        "HTTP/1.1 429 Slow down\r\nretry-after: 7\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let answer = against(chunked).await.0.unwrap();
    assert_eq!(
        (answer.status, answer.retry_after.as_deref(), &answer.body[..]),
        (429, Some("7"), &b"abc"[..])
    );
    assert_eq!(against("HTTP/1.0 503 No\r\n\r\nbusy").await.0.unwrap().body, b"busy");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: https://evil.test/\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(against(answer).await.0.unwrap().status, 302);
}

#[tokio::test]
async fn an_endless_body_is_cut_at_64_kib() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_BODY + 1));
    assert_eq!(garbage(&endless).await, "the token service's answer is larger than 65536 octets");
    let whole = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(MAX_BODY));
    assert_eq!(against(&whole).await.0.unwrap().body.len(), MAX_BODY);
}

#[tokio::test]
async fn heads_are_bounded() {
    let long = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(2 * MAX_HEAD));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(MAX_FIELDS + 1));
    for head in [long, many] {
        let words = garbage(&head).await;
        assert!(words.contains("not HTTP that we accept"), "{words}");
    }
}

#[tokio::test]
async fn what_is_not_http_is_garbage_or_a_broken_connection() {
    assert!(garbage("220 smtp.test ESMTP\r\n").await.contains("not HTTP that we accept"));
    for cut in ["", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"] {
        let fault = against(cut).await.0.err();
        assert!(matches!(fault, Some(TokenFault::Unreachable(_))), "{cut}: {fault:?}");
    }
}

#[tokio::test]
async fn no_fault_shows_what_was_sent() {
    for answer in [CANARY, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", ""] {
        let fault = format!("{:?}", against(answer).await.0.err().unwrap());
        assert!(!fault.contains(CANARY), "{fault}");
    }
}

#[tokio::test]
async fn a_silent_server_ends_at_the_deadline_of_the_whole() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let within = Duration::from_millis(50);
    let deadlines = Deadlines { token: within, ..Deadlines::default() };
    let http = Http::new(Dialer::new(&deadlines, None), tls::client_config(None, None).unwrap(), &deadlines);
    let fault = http.post("127.0.0.1", port, TARGET, &form()).await.err();
    assert_eq!(fault, Some(TokenFault::TimedOut(within)));
}

#[tokio::test]
async fn what_happens_before_the_request_is_said_in_a_sentence() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let deadlines = Deadlines::default();
    let http = Http::new(Dialer::new(&deadlines, None), tls::client_config(None, None).unwrap(), &deadlines);
    let form = form();
    let served = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        peer
    };
    let (answer, peer) = tokio::join!(http.post("127.0.0.1", port, TARGET, &form), served);
    let words = answer.err().unwrap().to_string();
    let start = format!(
        "the token service was not reached: the token service at 127.0.0.1:{port}: the TLS handshake: 127.0.0.1 did not answer with TLS"
    );
    assert!(words.starts_with(&start), "{words}");
    drop((peer, listener));
    let words = http.post("127.0.0.1", port, TARGET, &form).await.err().unwrap().to_string();
    assert!(words.contains("connecting: 127.0.0.1:") && words.contains("refused"), "{words}");
}

#[tokio::test]
async fn a_whole_exchange_over_tls_on_loopback() {
    let shown = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let roots = std::env::temp_dir().join(format!("mailshim-http-{}.pem", std::process::id()));
    std::fs::write(&roots, shown.cert.pem()).unwrap();
    let client = tls::client_config(Some(&roots), None);
    std::fs::remove_file(&roots).unwrap();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(shown.signing_key.serialize_der());
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![shown.cert.der().clone()], key.into())
            .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let deadlines = Deadlines::default();
    let http = Http::new(Dialer::new(&deadlines, None), client.unwrap(), &deadlines);
    let served = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = tokio_rustls::TlsAcceptor::from(Arc::new(server)).accept(tcp).await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"scope=scope") {
            assert_ne!(tls.read_buf(&mut seen).await.unwrap(), 0);
        }
        let body = r#"{"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0"}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        tls.write_all(head.as_bytes()).await.unwrap();
        tls.write_all(body.as_bytes()).await.unwrap();
        tls.flush().await.unwrap();
        (String::from_utf8(seen).unwrap(), tls)
    };
    let form = form();
    let (answer, (seen, _tls)) = tokio::join!(http.post("localhost", port, TARGET, &form), served);
    assert!(seen.contains(&format!("host: localhost:{port}\r\n")), "{seen}");
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body.ends_with(br#""access_token":"eyJ0"}"#));
}

#[tokio::test]
async fn managed_identity_is_a_plain_get_with_its_header() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = LocalUrl::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let deadlines = Deadlines::default();
    let http = Http::new(Dialer::new(&deadlines, None), tls::client_config(None, None).unwrap(), &deadlines);
    let served = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            assert_ne!(tcp.read_buf(&mut seen).await.unwrap(), 0);
        }
        tcp.write_all(b"HTTP/1.1 302 Found\r\nlocation: http://evil.test/\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        (String::from_utf8(seen).unwrap(), tcp)
    };
    let header = ("Metadata", Secret::new("true".to_string()));
    let target = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fr%2F";
    let (answer, (seen, _tcp)) = tokio::join!(http.get_local(&url, target, &header), served);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        seen,
        format!(
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fr%2F HTTP/1.1\r\n\
             host: 127.0.0.1:{port}\r\nmetadata: true\r\naccept: application/json\r\nuser-agent: mailshim/{version}\r\n\
             connection: close\r\n\r\n"
        )
    );
    assert_eq!(answer.unwrap().status, 302);
}
