//! `cargo run --release --example demo`: one mail from a plain SMTP client through mailshim to a simulated Office 365.
//!
//! It starts the simulator, and mailshim as a process of its own that is configured by its environment alone, as a
//! user would. It prints both dialogues and what arrived, and exits 0 only if the mail arrived intact.

use std::net::SocketAddr;
use std::process::{Command, ExitCode};

use office365::{Office365, Settings, Side, Taken};
use support::client::{Client, Reply};
use support::mails::stuffed;
use support::program::{Program, variables};

/// Set in the environment of the child: `cargo run --example` does not build the mailshim program, so the example
/// starts itself again and is mailshim then.
const BE_MAILSHIM: &str = "DEMO_BE_MAILSHIM";

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
        return mailshim::main();
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

    let example = std::env::current_exe().map_err(|error| format!("where is this example? {error}"))?;
    let be_mailshim = [(BE_MAILSHIM, "1")];
    let mut shim = Program::start_by(Command::new(example), &office365, &be_mailshim);
    title(&format!("mailshim runs as a process of its own (pid {}), told by its environment", shim.pid()));
    for (name, value) in variables(&office365, &[]) {
        println!("  {name}={}", if name.contains("SECRET") { "[taken out]" } else { &value });
    }

    title(&format!("The app sends a mail to {}, in plain SMTP, without a password", shim.address));
    let answer = app(shim.address);
    if answer.code != 250 {
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
    println!("  {}", shim.wait_for("\"message\":\"mail "));
    // As an orchestrator ends it.
    shim.signal("TERM");
    let status = shim.wait();
    if !status.success() {
        return Err(format!("mailshim ended with {status} on SIGTERM"));
    }
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
fn app(address: SocketAddr) -> Reply {
    let mut app = Client::dial(address);
    hear(&mut app);
    say(&mut app, "EHLO erp");
    say(&mut app, &format!("MAIL FROM:<{FROM}> BODY=8BITMIME"));
    for to in TO {
        say(&mut app, &format!("RCPT TO:<{to}>"));
    }
    say(&mut app, "DATA");
    println!("  app       ({} octets of mail, then a line with one dot)", MAIL.len());
    app.send(stuffed(MAIL.as_bytes()));
    let answer = hear(&mut app);
    say(&mut app, "QUIT");
    answer
}

/// Sends a line and reads its reply, and shows both.
fn say(app: &mut Client, line: &str) {
    println!("  app       {line}");
    app.send(format!("{line}\r\n"));
    hear(app);
}

fn hear(app: &mut Client) -> Reply {
    let reply = app.reply();
    reply.lines.iter().for_each(|line| println!("  mailshim  {line}"));
    reply
}
