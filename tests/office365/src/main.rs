//! The simulator as a program, for the demo, the compose examples and the benchmark.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use office365::{Fault, Office365, Settings, Taken, Times};
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const HELP: &str = "\
office365: a simulated Office 365 (SMTP submission with STARTTLS and XOAUTH2, token endpoint)

  --listen ADDRESS           default 127.0.0.1
  --smtp-port N              default 1587 (0: a free one)
  --https-port N             default 1443 (0: a free one)
  --host NAMES               comma list for the certificate; the first is used in the printed lines (default localhost,127.0.0.1,::1)
  --ipv6                     also [::1]
  --mailbox ADDRESSES        comma list (default app@contoso.com)
  --send-as MAILBOX:ADDRESS  a Send As grant; repeatable
  --any-sender               no Send As check
  --tenant, --client-id, --client-secret, --password VALUE
  --certificate FILE         PEM, uploaded to the app registration; repeatable
  --token-lifetime SECONDS, --latency MILLISECONDS
  --max-connections N, --messages-per-minute N, --recipients-per-day N
  --ca-out FILE, --env-out FILE   write the CA certificate, the variables for mailshim
  --mail-out FOLDER          write each mail's content to FOLDER/1.eml, 2.eml …
  --fault NAME               repeatable; 'drop-at=mail', 'once*reply-at=dot=432 4.3.2 busy', '3*token-5xx=503' (default: always)
  --healthcheck              end at once, 0 if a simulator with these options runs here (for images without a shell)
  --dialogue                 print the SMTP dialogue, credentials taken out
  --quiet                    keep and print nothing per mail (benchmarks)

Each option can also be a variable: --smtp-port is OFFICE365_SMTP_PORT (repeatable ones: separated by newlines).
";

#[derive(Default)]
struct Options {
    settings: Settings,
    ca_out: Option<String>,
    env_out: Option<String>,
    mail_out: Option<String>,
    faults: Vec<(Fault, Times)>,
    dialogue: bool,
    quiet: bool,
    healthcheck: bool,
}

fn parse<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("--{name}: '{value}' is not possible"))
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn fault(text: &str) -> Result<(Fault, Times), String> {
    let (times, fault) = match text.split_once('*') {
        Some(("once", fault)) => (Times::Once, fault),
        Some(("always", fault)) => (Times::Always, fault),
        Some((n, fault)) if n.bytes().all(|b| b.is_ascii_digit()) => {
            (Times::Times(parse("fault", n)?), fault)
        }
        _ => (Times::Always, text),
    };
    Ok((fault.parse()?, times))
}

const FLAGS: [&str; 5] = ["ipv6", "any-sender", "healthcheck", "dialogue", "quiet"];
const VALUES: [&str; 20] = [
    "listen",
    "smtp-port",
    "https-port",
    "host",
    "mailbox",
    "send-as",
    "tenant",
    "client-id",
    "client-secret",
    "password",
    "certificate",
    "token-lifetime",
    "latency",
    "max-connections",
    "messages-per-minute",
    "recipients-per-day",
    "ca-out",
    "env-out",
    "mail-out",
    "fault",
];

impl Options {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let settings = &mut self.settings;
        match name {
            "listen" => settings.listen = parse(name, value)?,
            "smtp-port" => settings.smtp_port = parse(name, value)?,
            "https-port" => settings.https_port = parse(name, value)?,
            "host" => settings.host_names = list(value),
            "ipv6" => settings.ipv6 = true,
            "mailbox" => settings.mailboxes = list(value),
            "send-as" => {
                let (mailbox, other) = value.split_once(':').ok_or("--send-as MAILBOX:ADDRESS")?;
                settings.send_as.push((mailbox.to_owned(), other.to_owned()));
            }
            "any-sender" => settings.enforce_send_as = false,
            "tenant" => settings.tenant = value.to_owned(),
            "client-id" => settings.client_id = value.to_owned(),
            "client-secret" => settings.client_secret = value.to_owned(),
            "password" => settings.password = value.to_owned(),
            "certificate" => {
                let certificate = CertificateDer::from_pem_file(value);
                settings.certificates.push(certificate.map_err(|e| format!("{value}: {e}"))?.to_vec());
            }
            "token-lifetime" => settings.token_lifetime = Duration::from_secs(parse(name, value)?),
            "latency" => settings.latency = Duration::from_millis(parse(name, value)?),
            "max-connections" => settings.max_connections = Some(parse(name, value)?),
            "messages-per-minute" => settings.messages_per_minute = Some(parse(name, value)?),
            "recipients-per-day" => settings.recipients_per_day = Some(parse(name, value)?),
            "ca-out" => self.ca_out = Some(value.to_owned()),
            "env-out" => self.env_out = Some(value.to_owned()),
            "mail-out" => self.mail_out = Some(value.to_owned()),
            "fault" => self.faults.push(fault(value)?),
            "healthcheck" => self.healthcheck = true,
            "dialogue" => self.dialogue = true,
            "quiet" => self.quiet = true,
            _ => return Err(format!("no option --{name}")),
        }
        Ok(())
    }

    fn read() -> Result<Options, String> {
        let mut options = Options::default();
        (options.settings.smtp_port, options.settings.https_port) = (1587, 1443);
        for name in FLAGS.into_iter().chain(VALUES) {
            let variable = format!("OFFICE365_{}", name.to_uppercase().replace('-', "_"));
            let Ok(value) = std::env::var(&variable) else {
                continue;
            };
            for value in value.lines().filter(|line| !line.is_empty()) {
                options.set(name, value).map_err(|e| format!("{variable}: {e}"))?;
            }
        }
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--help" || argument == "-h" {
                print!("{HELP}");
                std::process::exit(0);
            }
            let name =
                argument.strip_prefix("--").ok_or_else(|| format!("what is '{argument}'? See --help"))?;
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let value = match value {
                None if !FLAGS.contains(&name) => {
                    arguments.next().ok_or_else(|| format!("--{name} needs a value"))?
                }
                value => value.unwrap_or_default(),
            };
            options.set(name, &value)?;
        }
        options.settings.record_dialogue = options.dialogue;
        options.settings.keep_content = !options.quiet;
        Ok(options)
    }
}

/// Whether a simulator with these options has started: its port answers, and its CA file is there.
fn is_up(options: &Options) -> bool {
    let port = options.settings.smtp_port;
    options.ca_out.as_ref().is_none_or(|file| std::fs::metadata(file).is_ok_and(|file| file.len() > 0))
        && std::net::TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A value that a shell reads back as it is.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn describe(mail: &Taken) -> String {
    let content = String::from_utf8_lossy(&mail.content[..mail.content.len().min(16_384)]).into_owned();
    let header = content.split("\r\n\r\n").next().unwrap_or_default();
    let field = |name: &str| {
        let matches =
            |line: &&str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        header.split("\r\n").find(matches).map(|line| format!("  {line}")).unwrap_or_default()
    };
    let (via, mailbox) = (mail.via, &mail.mailbox);
    format!(
        "mail on connection {}: {} octets, {via:?}, {mailbox}, MAIL {}, RCPT {}{}{}",
        mail.connection,
        mail.size,
        mail.mail,
        mail.rcpts.join(" "),
        field("From:"),
        field("Subject:")
    )
}

async fn serve(options: Options) -> std::io::Result<()> {
    // Before anything is printed: who starts us may signal as soon as it sees the lines.
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let office365 = Office365::start(options.settings);
    for (fault, times) in options.faults {
        println!("# fault, {times}: {fault:?}");
        office365.fault(fault, times);
    }
    let mut variables = office365.env();
    if let Some(file) = &options.ca_out {
        std::fs::write(file, office365.ca_pem())?;
        variables
            .iter_mut()
            .filter(|(name, _)| name == "MAILSHIM_CA_FILE")
            .for_each(|(_, value)| value.clone_from(file));
    }
    if let Some(file) = &options.env_out {
        // Plain NAME=value: `docker --env-file` takes quotes as part of the value.
        let lines: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        std::fs::write(file, lines)?;
    }
    println!(
        "# simulated Office 365: SMTP on {}, tokens on {}",
        office365.smtp_addr(),
        office365.https_addr()
    );
    for (name, value) in &variables {
        println!("export {name}={}", quoted(value));
    }
    std::io::stdout().flush()?;
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let (mut violations, mut written) = (0, 0);
    loop {
        let ends = tokio::select! {
            _ = term.recv() => true,
            _ = int.recv() => true,
            _ = tick.tick() => false,
        };
        office365.drain_dialogue().iter().for_each(|line| println!("{line}"));
        let mails = office365.drain_taken();
        if let Some(folder) = &options.mail_out {
            for mail in &mails {
                written += 1;
                // Whoever watches the folder must not see half a mail.
                let part = format!("{folder}/{written}.part");
                std::fs::write(&part, &mail.content)?;
                std::fs::rename(&part, format!("{folder}/{written}.eml"))?;
            }
        }
        if !options.quiet {
            mails.iter().for_each(|mail| println!("{}", describe(mail)));
        }
        let broken = office365.violations();
        broken.iter().skip(violations).for_each(|rule| println!("VIOLATION {rule}"));
        violations = broken.len();
        std::io::stdout().flush()?;
        if ends {
            let stats = office365.stats();
            println!(
                "# {} mails, {} connections (at most {} at once), {} round trips, {} tokens, {violations} violations",
                stats.messages,
                stats.connections_opened,
                stats.max_open,
                stats.round_trips,
                stats.tokens_issued
            );
            return Ok(());
        }
    }
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("office365: {problem}");
            return ExitCode::from(64);
        }
    };
    if options.healthcheck {
        return if is_up(&options) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(serve(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("office365: {problem}");
            ExitCode::FAILURE
        }
    }
}
