//! `cargo run --release --example demo`: one mail from a plain SMTP client through mailshim to a simulated Office 365.
//!
//! It starts the simulator, and mailshim as a process of its own that is configured by its environment alone, as a
//! user would. It prints both dialogues and what arrived, and exits 0 only if the mail arrived intact.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use office365::{Office365, Settings, Side, Taken};

/// Set in the environment of the child: `cargo run --example` does not build the mailshim program, so the example
/// starts itself again and is mailshim then.
const BE_MAILSHIM: &str = "DEMO_BE_MAILSHIM";

/// No step of the demo takes longer, or it has failed.
const PATIENCE: Duration = Duration::from_secs(30);

const FROM: &str = "app@contoso.com";
const TO: [&str; 2] = ["ann@fabrikam.com", "bob@fabrikam.com"];

/// What a shim could spoil: a dot at a line's beginning, a dot alone, 8-bit text, blanks at a line's end, an empty
/// last line.
const MAIL: &str = "\
From: The old ERP <app@contoso.com>\r\n\
To: ann@fabrikam.com, bob@fabrikam.com\r\n\
Subject: Invoice 4711\r\n\
Date: Tue, 24 Nov 2026 09:00:00 +0100\r\n\
Message-ID: <invoice-4711@erp.contoso.com>\r\n\
MIME-Version: 1.0\r\n\
Content-Type: text/plain; charset=utf-8\r\n\
Content-Transfer-Encoding: 8bit\r\n\
\r\n\
Grüße aus dem Keller,\r\n\
.a line that begins with a dot\r\n\
.\r\n\
and one that was nothing but a dot. Blanks at the end:   \r\n\
\r\n";

fn main() -> ExitCode {
    if std::env::var_os(BE_MAILSHIM).is_some() {
        return mailshim::cli::main();
    }
    match demo() {
        Ok(()) => {
            println!(
                "\nThe mail arrived intact: all {} octets that the app sent, and one Received line before them.",
                MAIL.len()
            );
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("\nThe demo failed: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), String> {
    let office365 = Office365::start(Settings::default());
    title("A simulated Office 365 runs in this process");
    println!("  SMTP submission on {}, token service on {}", office365.upstream(), office365.authority());

    let mut shim = Shim::start(&office365)?;
    title(&format!(
        "mailshim runs as a process of its own (pid {}), told by its environment",
        shim.child.id()
    ));
    for (name, value) in &shim.environment {
        println!("  {name}={}", if name.contains("SECRET") { "[taken out]" } else { value });
    }

    title(&format!("The app sends a mail to {}, in plain SMTP, without a password", shim.address));
    let answer =
        app(shim.address).map_err(|error| format!("the app's connection to mailshim broke: {error}"))?;
    if !answer.starts_with("250 ") {
        return Err(format!("the app heard {answer:?} instead of 250"));
    }

    title("What mailshim did at Office 365");
    for request in office365.token_requests() {
        println!("  token service   {} -> {}", request.target, request.status);
    }
    for line in office365.dialogue() {
        let who = if line.side == Side::Client { "mailshim" } else { "Office 365" };
        println!("  {} {who:<10}  {}", if line.tls { "TLS  " } else { "clear" }, line.text);
    }

    title("What arrived");
    let taken = office365.taken();
    let [mail] = &taken[..] else {
        return Err(format!("{} mails arrived instead of one", taken.len()));
    };
    println!("  {}, signed in as {}", mail.tls, mail.mailbox);
    println!("  MAIL {}", mail.mail);
    mail.rcpts.iter().for_each(|recipient| println!("  RCPT {recipient}"));
    println!();
    String::from_utf8_lossy(&mail.content).lines().for_each(|line| println!("  | {line}"));

    title("mailshim's log of it");
    println!("  {}", shim.wait_for("\"message\":\"message\"")?);
    shim.stop()?;
    intact(mail)?;
    match &office365.violations()[..] {
        [] => Ok(()),
        [first, ..] => Err(format!("mailshim broke a rule of the protocol: {first}")),
    }
}

fn title(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.chars().count()));
}

/// Compares what arrived with what was sent, octet by octet, but for the Received line.
fn intact(mail: &Taken) -> Result<(), String> {
    let wanted: Vec<String> = TO.iter().map(|to| format!("TO:<{to}>")).collect();
    if !mail.mail.starts_with(&format!("FROM:<{FROM}>")) || mail.rcpts != wanted {
        return Err(format!("the envelope is another one: MAIL {} RCPT {:?}", mail.mail, mail.rcpts));
    }
    mail.carries(MAIL.as_bytes())
        .map_err(|difference| format!("the mail did not arrive intact: {difference}"))
}

/// A client as a legacy app has it, nothing of mailshim in it. Returns the answer to the whole mail.
fn app(address: SocketAddr) -> io::Result<String> {
    let socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut app = App { writer: socket.try_clone()?, reader: BufReader::new(socket) };
    app.reply()?;
    app.command("EHLO erp")?;
    app.command(&format!("MAIL FROM:<{FROM}> BODY=8BITMIME"))?;
    for to in TO {
        app.command(&format!("RCPT TO:<{to}>"))?;
    }
    app.command("DATA")?;
    println!("  app       ({} octets of mail, then a line with one dot)", MAIL.len());
    // RFC 5321 section 4.5.2: a dot at a line's beginning is doubled.
    let mut stuffed: String = MAIL
        .split_inclusive("\r\n")
        .map(|line| if line.starts_with('.') { format!(".{line}") } else { line.to_string() })
        .collect();
    stuffed.push_str(".\r\n");
    app.writer.write_all(stuffed.as_bytes())?;
    let answer = app.reply()?;
    app.command("QUIT")?;
    Ok(answer)
}

struct App {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
}

impl App {
    fn command(&mut self, line: &str) -> io::Result<String> {
        println!("  app       {line}");
        self.writer.write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Reads one reply, shows it, returns its last line.
    fn reply(&mut self) -> io::Result<String> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            println!("  mailshim  {line}");
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line.to_string());
            }
        }
    }
}

/// mailshim as a process; killed with this value if it has not ended before.
struct Shim {
    child: Child,
    environment: Vec<(String, String)>,
    log: Receiver<String>,
    address: SocketAddr,
}

impl Shim {
    fn start(office365: &Office365) -> Result<Self, String> {
        let mut environment = office365.env();
        for (name, value) in [("MAILSHIM_LISTEN", "127.0.0.1:0"), ("MAILSHIM_LOG_FORMAT", "json")] {
            environment.push((name.to_string(), value.to_string()));
        }
        let example = std::env::current_exe().map_err(|error| format!("where is this example? {error}"))?;
        let mut child = Command::new(example)
            .env_clear()
            .envs(environment.iter().cloned())
            .env(BE_MAILSHIM, "1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("mailshim cannot be started: {error}"))?;
        let (lines, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().ok_or("mailshim has no standard error")?);
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).all(|line| lines.send(line).is_ok());
        });
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut shim = Self { child, environment, log, address: unknown };
        let line = shim.wait_for("\"message\":\"listening\"")?;
        let event: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| format!("no JSON in the log: {error}: {line}"))?;
        let address = event["address"].as_str().and_then(|address| address.parse().ok());
        shim.address = address.ok_or_else(|| format!("no address in the log: {line}"))?;
        Ok(shim)
    }

    /// The next line of the log that contains `part`.
    fn wait_for(&mut self, part: &str) -> Result<String, String> {
        let until = Instant::now() + PATIENCE;
        let mut seen = String::new();
        while let Ok(line) = self.log.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.contains(part) {
                return Ok(line);
            }
            seen = seen + "\n" + &line;
        }
        Err(format!("mailshim's log has no line with {part}; it says:{seen}"))
    }

    /// Ends it as an orchestrator would, with SIGTERM.
    fn stop(&mut self) -> Result<(), String> {
        let pid = self.child.id().to_string();
        Command::new("sh")
            .args(["-c", "kill -TERM \"$1\"", "sh", &pid])
            .status()
            .map_err(|e| e.to_string())?;
        self.wait_for("\"message\":\"stopped\"")?;
        let status = self.child.wait().map_err(|error| error.to_string())?;
        status.success().then_some(()).ok_or_else(|| format!("mailshim ended with {status} on SIGTERM"))
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
