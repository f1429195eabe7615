//! The sender policy, the guards and the repairs on the whole way, from the app's socket to the simulated Office 365.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use mailshim::cli::serve;
use mailshim::config::Config;
use mailshim::deadlines::Deadlines;
use office365::{Office365, Settings, Taken};
use tokio::sync::oneshot;

const WAIT: Duration = Duration::from_secs(20);

/// A running shim; it ends with the test.
struct Shim {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Shim {
    fn start(office365: &Office365, more: &[(&str, &str)]) -> Self {
        let mut variables = office365.env();
        variables.push(("MAILSHIM_LISTEN".to_string(), "127.0.0.1:0".to_string()));
        variables.extend(more.iter().map(|(name, value)| ((*name).to_string(), (*value).to_string())));
        let config = Config::from_env(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        let config = config.unwrap();
        let (bound, address) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let sockets = serve::bind(&config).await.unwrap();
                bound.send(sockets.smtp[0].local_addr().unwrap()).unwrap();
                let stop = async { drop(stopped.await) };
                serve::run(&config, Deadlines::default(), sockets, stop).await.unwrap();
            });
            runtime.shutdown_background();
        });
        let address = address.recv_timeout(WAIT).unwrap();
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    fn app(&self) -> App {
        let socket = TcpStream::connect(self.address).unwrap();
        socket.set_read_timeout(Some(WAIT)).unwrap();
        socket.set_write_timeout(Some(WAIT)).unwrap();
        let mut app = App(BufReader::new(socket));
        assert!(app.reply().starts_with("220 "));
        app.says("HELO web", "250 ");
        app
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct App(BufReader<TcpStream>);

impl App {
    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    #[track_caller]
    fn says(&mut self, line: &str, expected: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        let reply = self.reply();
        assert!(reply.starts_with(expected), "{line}: {reply}");
        reply
    }

    /// A whole mail; the answer to its dot.
    #[track_caller]
    fn sends(&mut self, sender: &str, content: &str, expected: &str) -> String {
        self.says(&format!("MAIL FROM:<{sender}>"), "250 ");
        self.says("RCPT TO:<someone@fabrikam.com>", "250 ");
        self.says("DATA", "354 ");
        self.0.get_mut().write_all(content.as_bytes()).unwrap();
        self.says(".", expected)
    }
}

fn only(office365: &Office365) -> Taken {
    let mut taken = office365.wait_taken(1, WAIT);
    assert_eq!((taken.len(), office365.violations()), (1, Vec::new()));
    taken.remove(0)
}

fn text(mail: &Taken) -> String {
    String::from_utf8(mail.content.clone()).unwrap()
}

#[test]
fn root_at_localhost_is_sent_as_the_mailbox() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_FROM", "Contoso Servers <app@contoso.com>")]);
    shim.app().sends("root@localhost", "From: root@localhost\r\nSubject: x\r\n\r\nbody\r\n", "250 ");
    let mail = only(&office365);
    let octets = mail.content.len();
    assert_eq!(mail.mail, format!("FROM:<app@contoso.com> SIZE={octets}"));
    let text = text(&mail);
    assert!(text.starts_with("Received: from localhost by contoso.com (mailshim) with ESMTP id "), "{text}");
    assert!(text.contains("\r\nFrom: Contoso Servers <app@contoso.com>\r\nSubject: x\r\nDate: "), "{text}");
    assert!(text.contains("@contoso.com>\r\n\r\nbody\r\n"), "{text}");
}

#[test]
fn a_customer_as_sender_is_refused_for_good_or_made_answerable() {
    let content = "From: Jane <jane@customer.example>\r\n\r\nbody\r\n";
    let office365 = Office365::start(Settings::default());
    let repair = Shim::start(&office365, &[]);
    let reply = repair.app().sends("jane@customer.example", content, "554 5.2.252 ");
    assert!(reply.contains("SendAs"), "{reply}");
    let force = Shim::start(&office365, &[("MAILSHIM_FROM_POLICY", "force")]);
    force.app().sends("jane@customer.example", content, "250 ");
    let text = text(&only(&office365));
    assert!(
        text.contains("From: Jane <app@contoso.com>\r\nReply-To: Jane <jane@customer.example>"),
        "{text}"
    );
}

#[test]
fn our_own_sender_refused_is_no_fault_of_the_message() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_FROM", "other@contoso.com")]);
    shim.app().sends("root", "From: root\r\n\r\nbody\r\n", "451 4.2.252 ");
}

#[test]
fn a_header_block_of_many_chunks_and_a_streamed_body_arrive_whole() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[]);
    let field = format!("X-Filler: {}\r\n", "x".repeat(990));
    let header = format!("From: root\r\n{}Bcc: secret@fabrikam.com\r\nX-Last: 1\r\n", field.repeat(200));
    let line = format!("{}\r\n", "0123456789".repeat(9));
    let body = line.repeat(20_000);
    let content = format!("{header}\r\n{body}");
    let mut app = shim.app();
    app.says(&format!("MAIL FROM:<root> SIZE={}", content.len()), "250 ");
    app.says("RCPT TO:<someone@fabrikam.com>", "250 ");
    app.says("DATA", "354 ");
    app.0.get_mut().write_all(content.as_bytes()).unwrap();
    app.says(".", "250 ");
    let mail = only(&office365);
    // What the app announced, and what our header block adds to it or takes away.
    assert_eq!(mail.mail, format!("FROM:<app@contoso.com> SIZE={} BODY=8BITMIME", mail.size));
    let text = text(&mail);
    let (head, arrived) = text.split_once("\r\n\r\n").unwrap();
    assert!(arrived == body, "{} of {} octets", arrived.len(), body.len());
    assert!(head.contains("From: <app@contoso.com>\r\nX-Filler") && head.contains("\r\nX-Last: 1\r\nDate: "));
    assert!(!head.contains("secret"));
    // A chunk's size would be wrong otherwise, and the connection out of step.
    shim.app().sends("root", "From: root\r\nno blank line before this\r\n", "250 ");
    shim.app().sends("root", "", "250 ");
    assert_eq!((office365.wait_taken(3, WAIT).len(), office365.violations()), (3, Vec::new()));
}

#[test]
fn what_will_never_pass_is_refused_after_the_dot_and_the_session_goes_on() {
    let office365 = Office365::start(Settings::default());
    let shim = Shim::start(&office365, &[("MAILSHIM_ALLOWED_SENDERS", "*@contoso.com")]);
    let mut app = shim.app();
    let long = format!("X: {}\r\n", "x".repeat(900)).repeat(300);
    let body = "0123456789\r\n".repeat(50_000);
    app.sends("app@contoso.com", &format!("{long}\r\n{body}"), "552 5.3.4 mailshim: Header size exceeds");
    app.sends("app@contoso.com", "Content-Type: message/partial\r\n\r\n", "554 5.6.1 ");
    app.sends("app@contoso.com", &"Received: x\r\n".repeat(101), "554 5.4.6 ");
    app.sends("app@contoso.com", "From: a@fabrikam.com\r\n\r\n", "550 5.7.1 ");
    assert_eq!(office365.stats().connections_opened, 0, "Office 365 was troubled");
    app.sends("app@contoso.com", "From: app@contoso.com\r\n\r\n", "250 ");
}

#[test]
fn the_guards_stand_at_mail_and_rcpt() {
    let office365 = Office365::start(Settings::default());
    let guards = [
        ("MAILSHIM_ALLOWED_SENDERS", "app@contoso.com"),
        ("MAILSHIM_ALLOWED_RECIPIENTS", "*@fabrikam.com"),
        ("MAILSHIM_REDIRECT_TO", "tests@contoso.com"),
    ];
    let shim = Shim::start(&office365, &guards);
    let mut app = shim.app();
    app.says("MAIL FROM:<a@fabrikam.com>", "550 5.7.1 ");
    app.says("MAIL FROM:<app@contoso.com>", "250 ");
    // As the app gave it: where mail is redirected to is no recipient of the app's.
    app.says("RCPT TO:<tests@contoso.com>", "550 5.7.1 ");
    app.says("RCPT TO:<a@fabrikam.com>", "250 ");
    app.says("RCPT TO:<b@fabrikam.com> NOTIFY=SUCCESS", "250 ");
    app.says("DATA", "354 ");
    app.says("From: app@contoso.com\r\n\r\nbody\r\n.", "250 ");
    let mail = only(&office365);
    assert_eq!(mail.rcpts, ["TO:<tests@contoso.com>"]);
    let text = text(&mail);
    assert!(text.contains("\r\nX-Mailshim-Original-To: a@fabrikam.com, b@fabrikam.com\r\n"), "{text}");
}
