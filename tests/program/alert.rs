//! `MAILSHIM_ALERT_URL`: somebody is woken, mail does not wait for that, and the address stays a secret.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;

use office365::{Fault, Office365, Settings, Stage, Times};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use support::files::TempFile;
use support::program::{Program, program, run, variables};
use support::{CANARY, PATIENCE};

use crate::process::MAIL;
use crate::telemetry::http::start;

/// Somebody who is told, over TLS.
struct Webhook {
    url: String,
    /// Its certificate, and the simulator's.
    roots: TempFile,
    posts: mpsc::Receiver<String>,
}

/// What it does with a POST.
#[derive(Clone, Copy)]
enum Does {
    Takes,
    /// Reads and says nothing.
    Nothing,
}

impl Webhook {
    fn start(office365: &Office365, does: Does) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_string()]).expect("a certificate");
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("its key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("its own certificate");
        let (config, listener) = (Arc::new(config), TcpListener::bind("localhost:0").expect("a port"));
        let port = listener.local_addr().expect("bound").port();
        let (told, posts) = mpsc::channel();
        thread::spawn(move || {
            let mut kept = Vec::new();
            for socket in listener.incoming().flatten() {
                let connection = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                let mut stream = StreamOwned::new(connection, socket);
                let mut request = Vec::new();
                while !is_whole(&request) {
                    let mut octets = [0; 4096];
                    match stream.read(&mut octets) {
                        Ok(0) | Err(_) => break,
                        Ok(read) => request.extend_from_slice(&octets[..read]),
                    }
                }
                let _ = told.send(String::from_utf8_lossy(&request).into_owned());
                match does {
                    Does::Takes => {
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                    }
                    Does::Nothing => kept.push(stream),
                }
            }
        });
        let roots = TempFile::new(format!("{}{}", office365.ca_pem(), made.cert.pem()));
        Self { url: format!("https://localhost:{port}/hooks/{CANARY}?x=1"), roots, posts }
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [("MAILSHIM_ALERT_URL", &self.url), ("MAILSHIM_CA_FILE", self.roots.path())]
    }

    /// The next POST: its head, and its values.
    #[track_caller]
    fn next(&self) -> (String, Value) {
        let request = self.posts.recv_timeout(PATIENCE).expect("a POST");
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{request}"));
        (head.to_string(), serde_json::from_str(body).unwrap_or_else(|_| panic!("{request}")))
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn printed(mut shim: Program) -> String {
    shim.signal("TERM");
    assert!(shim.wait().success());
    shim.log.join("\n")
}

#[test]
fn mail_that_does_not_go_out_wakes_somebody_and_the_address_is_in_no_line() {
    let office365 = Office365::start(Settings::default());
    office365.fault(Fault::ReplyAt(Stage::Auth, "535 5.7.3 <!channel> no".to_string()), Times::Always);
    let webhook = Webhook::start(&office365, Does::Takes);
    let (shim, probes) =
        start(&office365, "127.0.0.1:0", &[&webhook.variables()[..], &[("MAILSHIM_LOG", "trace")]].concat());
    let (head, alert) = webhook.next();
    assert!(head.starts_with(&format!("POST /hooks/{CANARY}?x=1 HTTP/1.1\r\n")), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert_eq!(
        (&alert["event"], &alert["mailbox"], &alert["count"]),
        (&"not_ready".into(), &"app@contoso.com".into(), &1.into())
    );
    let text = alert["text"].as_str().expect("a text");
    assert!(
        text.contains("mail does not go out") && text.contains("&lt;!channel&gt;") && text.contains("Fix: "),
        "{text}"
    );
    assert!(
        alert["reason"].as_str().is_some_and(|reason| reason.contains("535 5.7.3 <!channel>")),
        "{alert}"
    );
    assert!(alert["fix"].is_string() && alert["at"].is_string(), "{alert}");
    let sent = "mailshim_alerts_total{result=\"sent\"} 1";
    probes.until("/metrics", |answer| answer.body.contains(sent));
    let page = probes.ask("GET", "/").body;
    let mut command = Command::new(program());
    command.env_clear().envs(variables(&office365, &webhook.variables())).arg("env");
    let env = run(&mut command, b"");
    assert!(env.stdout.contains("MAILSHIM_ALERT_URL") && env.stdout.contains("[redacted]"), "{}", env.stdout);
    for text in [printed(shim), page, env.stdout, env.stderr] {
        assert!(!text.contains(CANARY) && !text.contains("/hooks"), "{text}");
    }
}

/// A server that is gone, and one that takes the connection and is silent.
#[test]
fn nobody_s_mail_waits_for_an_alert() {
    let office365 = Office365::start(Settings::default());
    let silent = Webhook::start(&office365, Does::Nothing);
    let gone = format!("https://localhost:1/hooks/{CANARY}");
    let urls = [&silent.url, &gone];
    for url in urls {
        office365.clear_faults();
        office365.fault(Fault::StartTlsAbsent, Times::Once);
        let more = [("MAILSHIM_ALERT_URL", url.as_str()), ("MAILSHIM_CA_FILE", silent.roots.path())];
        let (mut shim, _) = start(&office365, "127.0.0.1:0", &more);
        shim.wait_for("not ready, mail will wait or fail");
        if url == &silent.url {
            silent.next();
        }
        shim.client().mail(MAIL).is(250);
        let log = printed(shim);
        assert!(!log.contains(CANARY) && !log.contains("/hooks"), "{log}");
    }
}

/// What stands in the variable is never said back, whatever is wrong with it.
#[test]
fn a_bad_address_is_a_mistake_at_the_start() {
    let office365 = Office365::start(Settings::default());
    for url in ["http://hooks.example/c4n4ry", "hooks.example/c4n4ry", "https://u:c4n4ry@hooks.example/"] {
        let mut command = Command::new(program());
        command.env_clear().envs(variables(&office365, &[("MAILSHIM_ALERT_URL", url)]));
        let ended = run(&mut command, b"");
        assert_eq!(ended.code, 64, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("MAILSHIM_ALERT_URL: its value ") && !ended.stderr.contains("c4n4ry"),
            "{}",
            ended.stderr
        );
    }
}
