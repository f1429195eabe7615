//! A shim in front of a simulated Office 365, and programs that send through it.

use std::path::{Path, PathBuf};
use std::process::Command;

use office365::{Office365, Settings, Taken};
use support::files::Directory;
use support::program::Program;
pub use support::program::{Ended, program, run};
pub use support::{CANARY, PATIENCE};

/// A running shim with its Office 365.
pub struct Shim {
    pub office365: Office365,
    program: Program,
}

impl Shim {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With these variables besides.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        // Who may send as whom is the sender policy's tests' affair.
        let settings = Settings { enforce_send_as: false, ..Settings::default() };
        let office365 = Office365::start(settings);
        Self { program: Program::start(&office365, variables), office365 }
    }

    /// The command of the program called by this path, which sends through this shim; `environment` besides.
    pub fn command(&self, called: impl AsRef<Path>, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(called.as_ref());
        command
            .env_clear()
            .env("MAILSHIM_LISTEN", self.program.address.to_string())
            .envs(environment.iter().copied());
        command
    }

    /// `mailshim sendmail` with these flags.
    #[track_caller]
    pub fn sendmail(&self, flags: &[&str], input: &[u8]) -> Ended {
        run(self.command(program(), &[]).arg("sendmail").args(flags), input)
    }

    /// The same, which has to succeed without a word; the mail that came of it.
    #[track_caller]
    pub fn sent(&self, flags: &[&str], input: &[u8]) -> Mail {
        let ended = self.sendmail(flags, input);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""), "{flags:?}");
        self.only_mail()
    }

    /// The one mail that was taken since the last call.
    #[track_caller]
    pub fn only_mail(&self) -> Mail {
        assert_eq!(self.office365.violations(), Vec::<String>::new());
        let taken = self.office365.drain_taken();
        let [taken] = <[Taken; 1]>::try_from(taken).unwrap_or_else(|all| panic!("{} mails", all.len()));
        Mail::of(taken)
    }
}

/// A mail as it came to Office 365.
pub struct Mail {
    /// The reverse-path.
    pub from: String,
    /// The forward-paths.
    pub to: Vec<String>,
    /// MAIL's whole argument.
    pub mail: String,
    /// RCPT's whole arguments.
    pub rcpts: Vec<String>,
    pub header: String,
    pub body: Vec<u8>,
}

/// The header without what the shim adds to every mail; these senders leave all of it out.
fn given(header: &str) -> String {
    let header = office365::without_first_received(header.as_bytes());
    let header = std::str::from_utf8(header).expect("it was text");
    let is_mime = header.contains("Content-Type:");
    let added = |line: &&str| {
        line.starts_with("Date: ")
            || line.starts_with("Message-ID: ")
            || (line.starts_with("MIME-Version: ") && !is_mime)
    };
    header.split_inclusive("\r\n").filter(|line| !added(line)).collect()
}

impl Mail {
    fn of(taken: Taken) -> Self {
        let path = |argument: &str| {
            let inside = argument.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            inside.map_or_else(String::new, |(path, _)| path.to_string())
        };
        let end = taken.content.windows(4).position(|four| four == b"\r\n\r\n");
        let (header, body) = match end {
            Some(end) => (&taken.content[..end + 2], &taken.content[end + 4..]),
            // No header at all: the blank line comes first.
            None => (&b""[..], taken.content.strip_prefix(b"\r\n").expect("a blank line")),
        };
        Self {
            from: path(&taken.mail),
            to: taken.rcpts.iter().map(|rcpt| path(rcpt)).collect(),
            header: given(&String::from_utf8_lossy(header)),
            body: body.to_vec(),
            mail: taken.mail,
            rcpts: taken.rcpts,
        }
    }

    #[track_caller]
    pub fn assert_body(&self, text: &str) {
        assert_eq!(String::from_utf8_lossy(&self.body), text);
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: &str) -> bool {
        let start = format!("{}:", name.to_ascii_lowercase());
        self.header.lines().any(|line| line.to_ascii_lowercase().starts_with(&start))
    }
}

/// A link to the program in a directory of its own.
pub struct Link(PathBuf, #[expect(dead_code, reason = "goes with this value")] Directory);

impl Link {
    pub fn named(name: &str) -> Self {
        let directory = Directory::new();
        let path = PathBuf::from(directory.path(name));
        std::os::unix::fs::symlink(program(), &path).expect("a link");
        Self(path, directory)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}
