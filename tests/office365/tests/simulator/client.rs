//! A plain blocking client, written by hand: the simulator is not tested with the code that it is to test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use office365::Office365;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

type Tls = StreamOwned<ClientConnection, TcpStream>;

enum Socket {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Plain(tcp) => tcp.read(into),
            Socket::Tls(tls) => tls.read(into),
        }
    }
}

/// An SMTP client that sends what it is told to.
pub struct Client {
    socket: BufReader<Socket>,
}

fn connect(address: std::net::SocketAddr) -> TcpStream {
    let tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    tcp.set_nodelay(true).unwrap();
    tcp
}

fn tls(office365: &Office365, tcp: TcpStream) -> std::io::Result<Tls> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(office365.ca_pem().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), tcp);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(stream)
}

impl Client {
    /// Connected, nothing read.
    pub fn connect(office365: &Office365) -> Client {
        Client { socket: BufReader::new(Socket::Plain(connect(office365.smtp_addr()))) }
    }

    /// Greeting, EHLO, STARTTLS, EHLO.
    pub fn secure(office365: &Office365) -> Client {
        let mut client = Client::connect(office365);
        assert!(client.reply().starts_with("220 "));
        assert!(client.command("EHLO test.contoso.com").contains("\n250-STARTTLS\n"));
        assert_eq!(client.command("STARTTLS"), "220 2.0.0 SMTP server ready");
        let mut client = client.start_tls(office365).unwrap();
        assert!(client.command("EHLO test.contoso.com").starts_with("250-"));
        client
    }

    /// Signed in with a fresh token.
    pub fn signed_in(office365: &Office365) -> Client {
        let mut client = Client::secure(office365);
        let reply = client.command(&xoauth2("app@contoso.com", &token(office365)));
        assert_eq!(reply, "235 2.7.0 Authentication successful");
        client
    }

    pub fn start_tls(self, office365: &Office365) -> std::io::Result<Client> {
        assert_eq!(self.socket.buffer(), b"", "plaintext behind the 220");
        let Socket::Plain(tcp) = self.socket.into_inner() else { panic!("TLS is on") };
        Ok(Client { socket: BufReader::new(Socket::Tls(Box::new(tls(office365, tcp)?))) })
    }

    /// How long a reply may take; then it is empty.
    pub fn patience(&mut self, limit: Duration) {
        let tcp = match self.socket.get_ref() {
            Socket::Plain(tcp) => tcp,
            Socket::Tls(tls) => &tls.sock,
        };
        tcp.set_read_timeout(Some(limit)).unwrap();
    }

    pub fn send(&mut self, octets: impl AsRef<[u8]>) {
        match self.socket.get_mut() {
            Socket::Plain(tcp) => tcp.write_all(octets.as_ref()).unwrap(),
            Socket::Tls(tls) => {
                tls.write_all(octets.as_ref()).unwrap();
                tls.flush().unwrap();
            }
        }
    }

    /// The lines of one reply, joined by `\n`; empty at the end of the stream.
    pub fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let _ = self.socket.read_until(b'\n', &mut line);
            let text = String::from_utf8_lossy(&line).into_owned();
            let more = text.as_bytes().get(3) == Some(&b'-') && text.ends_with('\n');
            lines.push(text.trim_end_matches(['\r', '\n']).to_owned());
            if !more {
                return lines.join("\n");
            }
        }
    }

    pub fn replies<const N: usize>(&mut self) -> [String; N] {
        std::array::from_fn(|_| self.reply())
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.socket.read_line(&mut line).unwrap();
        line.trim_end_matches("\r\n").to_owned()
    }

    pub fn command(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.reply()
    }

    /// What is left until the end of the stream.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.socket.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }
}

pub fn xoauth2(user: &str, token: &str) -> String {
    format!("AUTH XOAUTH2 {}", BASE64_STANDARD.encode(format!("user={user}\x01auth=Bearer {token}\x01\x01")))
}

/// Status, header block and body of one POST.
pub fn post(office365: &Office365, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
    let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut stream = tls(office365, connect(office365.https_addr())).unwrap();
    let kind = "application/x-www-form-urlencoded";
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.get(9..12).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, head.to_ascii_lowercase(), body.to_owned())
}

pub const SCOPE: &str = "https://outlook.office365.com/.default";

/// The token request of an honest client, with some fields replaced.
pub fn ask(office365: &Office365, replace: &[(&str, &str)]) -> (u16, String, String) {
    let env = office365.env();
    let of = |name: &str| env.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let (tenant, id, secret) =
        (of("MAILSHIM_TENANT_ID"), of("MAILSHIM_CLIENT_ID"), of("MAILSHIM_CLIENT_SECRET"));
    let mut form = vec![
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("scope", SCOPE),
    ];
    for (name, value) in replace {
        form.iter_mut().filter(|(n, _)| n == name).for_each(|field| field.1 = value);
    }
    let tenant = replace.iter().find(|(n, _)| *n == "tenant").map_or(tenant.as_str(), |(_, v)| v).to_owned();
    post(office365, &format!("/{tenant}/oauth2/v2.0/token"), &form)
}

pub fn token(office365: &Office365) -> String {
    let (status, _, body) = ask(office365, &[]);
    assert_eq!(status, 200, "{body}");
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    json["access_token"].as_str().unwrap().to_owned()
}

pub const MAIL: &str = "MAIL FROM:<app@contoso.com>";
pub const RCPT: &str = "RCPT TO:<someone@example.com>";
pub const HEADER: &str = "From: App <app@contoso.com>\r\nMessage-ID: <1@contoso.com>\r\n\r\n";

pub fn start() -> Office365 {
    Office365::start(office365::Settings::default())
}

pub fn none() -> Vec<String> {
    Vec::new()
}
