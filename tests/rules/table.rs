//! The table of the architecture: every room with its floor and what it may import; which crates are named where; what
//! is pure; which files may be long.

/// A room: a folder of `src/`, or a file of its own there.
pub struct Row {
    pub room: &'static str,
    /// Floors go up from what knows nothing of ours to the program.
    pub floor: f32,
    /// Every room of this floor and of those below it may be imported.
    pub up_to: f32,
    /// Rooms above `up_to` that may be imported as well.
    pub also: &'static [&'static str],
    /// Why it is not simply "all that is lower".
    pub why: &'static str,
}

const fn row(
    room: &'static str,
    floor: f32,
    up_to: f32,
    also: &'static [&'static str],
    why: &'static str,
) -> Row {
    Row { room, floor, up_to, also, why }
}

/// Top to bottom, which is the order of the modules in `lib.rs`: the way of a mail, then what all stand on.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    // room          floor up to  also
    row("main",          9.0, 9.0, &[], ""),
    row("lib",           9.0, 0.0, &["cli"], "it declares the rooms and hands `main` on"),
    row("testing",       9.0, 9.0, &[], "it re-exports what tests name, and nobody imports it"),
    row("cli",           9.0, 9.0, &[], "it wires all there is; see COMMANDS for the walls inside"),
    row("config",        8.5, 8.0, &[], "it fills the option types of the rooms below, those of CONFIG_FILLS and no other"),
    row("session",       8.0, 4.0, &["telemetry", "delivery"], "the app's side knows nobody of Office 365's: no identity, upstream, transport or spool"),
    row("delivery",      7.0, 6.0, &[], ""),
    row("upstream",      6.0, 5.0, &[], "doors out do not know each other: a token comes as a function that cli/serve hands in"),
    row("identity",      6.0, 5.0, &[], "doors out do not know each other"),
    row("spool",         6.0, 5.0, &[], "doors out do not know each other"),
    row("fleet",         6.0, 5.0, &[], "doors out do not know each other"),
    row("alert",         6.0, 5.0, &[], "doors out do not know each other"),
    row("telemetry",     5.0, 4.0, &[], "it takes words and values, never the enum of a room above; and no transport"),
    row("transport",     5.0, 4.0, &[], "its faults are values; who uses it logs them"),
    row("outcome",       4.0, 3.0, &[], ""),
    row("queue",         4.0, 3.0, &[], ""),
    row("message",       3.0, 2.0, &[], ""),
    row("smtp",          2.0, 0.0, &["secret"], "the words of SMTP know nothing of who says them; a credential is a secret wherever it is said"),
    row("wire",          1.0, 0.0, &[], ""),
    row("secret",        1.0, 0.0, &[], ""),
    row("redact",        1.0, 0.0, &[], ""),
    row("credential",    1.0, 0.0, &["secret"], "what a side signs in with is secret"),
    row("names",         1.0, 0.0, &[], ""),
    row("deadlines",     1.0, 0.0, &[], ""),
    row("life",          1.0, 0.0, &[], ""),
    row("term",          1.0, 0.0, &[], ""),
    row("durable",       1.0, 0.0, &[], ""),
    row("single_flight", 1.0, 0.0, &[], ""),
    row("task",          1.0, 0.0, &[], ""),
];

/// What `config/` may name of the rooms above the ground, besides types whose names end in `Options`: it fills them and
/// knows nothing else.
pub const CONFIG_FILLS: &[(&str, &str)] = &[
    ("delivery", "Allowance"),
    ("fleet", "FleetAuth"),
    ("fleet", "FleetPassword"),
    ("fleet", "Unreachable"),
    ("identity", "Application"),
    ("identity", "CertificateFile"),
    ("identity", "ManagedEndpoint"),
    ("identity", "ManagedIdentity"),
    ("identity", "SignIn"),
    ("identity", "TokenSource"),
    ("message", "AddressList"),
    ("message", "FromPolicy"),
    ("message", "Policy"),
    ("message", "Sender"),
    ("session", "Limits"),
    ("smtp", "Address"),
    ("telemetry", "AddressDetail"),
    ("telemetry", "LogConfig"),
    ("telemetry", "LogFilter"),
    ("telemetry", "LogFormat"),
    ("transport", "ConnectorCertificate"),
    ("transport", "EgressProxy"),
    ("transport", "Exceptions"),
    ("transport", "Login"),
    ("transport", "Protocol"),
];

/// The commands: files or folders of `src/cli/` that `src/cli/mod.rs` calls, and nobody else imports.
pub const COMMANDS: &[&str] = &[
    "run",
    "check",
    "send",
    "sendmail",
    "exec",
    "healthcheck",
    "wait",
    "queue",
    "setup",
    "status",
    "fleet",
    "login",
    "env",
];

/// A crate, or a part of one, that is named in these places alone.
pub struct Reserved {
    pub name: &'static str,
    /// What counts as naming it.
    pub paths: &'static [&'static str],
    /// Files and folders, with the reason.
    pub places: &'static [(&'static str, &'static str)],
}

pub const RESERVED: &[Reserved] = &[
    Reserved {
        name: "tracing",
        paths: &["tracing", "tracing_subscriber"],
        places: &[("src/telemetry", "every log line is worded there"), ("src/cli", "it talks to a person")],
    },
    Reserved {
        name: "serde_json",
        paths: &["serde_json"],
        places: &[
            ("src/queue/entry.rs", "the record of a stored mail"),
            ("src/identity", "the token service's answers"),
            ("src/alert", "the body of an alert"),
            ("src/telemetry/status.rs", "the status page's values"),
            ("src/cli", "--json"),
        ],
    },
    Reserved {
        name: "std::fs",
        paths: &["std::fs", "tokio::fs"],
        places: &[
            ("src/durable.rs", "what must be whole after a crash"),
            ("src/spool", "the mail on disk"),
            ("src/secret.rs", "a secret given by file is read when it is used"),
            (
                "src/config/value.rs",
                "whether a file that a variable names can be read, before a port is bound",
            ),
            ("src/identity/certificate_file.rs", "the certificate's file, read with a cap when it is used"),
            ("src/session/peer.rs", "/proc/self/net/tcp, where the kernel does not answer sock_diag"),
            ("src/transport/resolve.rs", "/etc/hosts, which glibc does not read for an absolute name"),
            ("src/cli/client/letter.rs", "/etc/passwd: who runs this program"),
            ("src/cli/send.rs", "how large standard input is, for a person who waits"),
            ("src/cli/exec/terminal.rs", "/dev/tty"),
            ("src/cli/exec/mod.rs", "whether the app can read the program's own file"),
            ("src/cli/handover.rs", "whether the shim is debugged: /proc/PID/status"),
        ],
    },
];

/// Bytes, faults and `now` in, steps and judgements out. A folder stands for all below it.
pub const PURE: &[&str] = &[
    "src/smtp",
    "src/message",
    "src/outcome",
    "src/queue",
    "src/session/machine.rs",
    "src/session/step.rs",
    "src/session/replies.rs",
    "src/session/standing.rs",
    "src/session/auth.rs",
    "src/session/incoming.rs",
    "src/session/sock_diag.rs",
    "src/session/patience.rs",
    "src/upstream/opening.rs",
    "src/upstream/transaction.rs",
    "src/upstream/recipients.rs",
    "src/upstream/line.rs",
    "src/delivery/limits.rs",
    "src/delivery/obstacles.rs",
    "src/delivery/turn.rs",
    "src/identity/grant",
    "src/identity/certificate.rs",
    "src/transport/answer.rs",
];

/// Ground that a pure file may stand on: values, no waiting and no disk.
pub const PURE_GROUND: &[&str] = &["secret", "redact", "credential", "names", "deadlines"];

/// What asks the world: a runtime, a socket, a process, the environment, a file, a log.
pub const WORLD: &[&str] = &[
    "tokio",
    "tokio_rustls",
    "tokio_socks",
    "hyper",
    "tracing",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// Names of `std::net` that are values.
pub const ADDRESSES: &[&str] = &["AddrParseError", "IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr"];

/// Calls that ask a clock, whatever they are called on.
pub const CLOCKS: &[&str] = &["now", "now_utc", "now_local", ".elapsed"];

/// What one can read at one sitting, with the tests in the file.
pub const MAX_LINES: usize = 520;

/// Files that are longer, with the reason.
pub const LONGER: &[(&str, &str)] = &[(
    "src/session/machine.rs",
    "one file holds all transitions of a machine, and its tests are transcripts",
)];

/// The room of a file: the folder or the file of `src/` that it is in.
pub fn room(file: &str) -> &str {
    let inside = file.strip_prefix("src/").unwrap_or(file);
    let first = inside.split('/').next().unwrap_or(inside);
    first.strip_suffix(".rs").unwrap_or(first)
}

pub fn row_of(file: &str) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.room == room(file))
}

/// Whether a file is this place, or in this folder.
pub fn is_in(file: &str, place: &str) -> bool {
    file.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub fn is_pure(file: &str) -> bool {
    PURE.iter().any(|place| is_in(file, place))
}
