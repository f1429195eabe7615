//! What only these tests need: an app of bash, pipes that hold it, and what it says.

use std::fs;
use std::path::Path;
use std::process::Command;

use office365::{Office365, Settings};

pub use support::PATIENCE;
pub use support::files::Directory;
pub use support::process::{Heard, Running, children, is_alive, kill, stat, until};
pub use support::program::program;

pub fn office() -> Office365 {
    Office365::start(Settings::default())
}

/// Lets the readers of a pipe go on; waits for one.
pub fn release(pipe: &str) {
    let pipe = pipe.to_string();
    let (done, released) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(fs::OpenOptions::new().write(true).open(pipe).unwrap());
        let _ = done.send(());
    });
    released.recv_timeout(PATIENCE).expect("a reader of the pipe");
}

/// `mailshim exec -- bash -c SCRIPT`.
pub fn app(office: &Office365, script: &str) -> Running {
    Running::start(&mut exec(office, &["bash", "-c", script]))
}

/// The process of `mailshim run` below it.
#[track_caller]
pub fn shim(app: &Running) -> u32 {
    let mut found = None;
    until("the shim", || {
        let is_shim =
            |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"mailshim\0run\0");
        found = children(app.pid()).into_iter().find(is_shim);
        found.is_some()
    });
    found.unwrap()
}

/// `mailshim exec -- COMMAND`, with the simulator's variables and a free port.
pub fn exec(office: &Office365, command: &[&str]) -> Command {
    let mut exec = mailshim(office, &["exec", "--"]);
    exec.args(command);
    exec
}

pub fn mailshim(office: &Office365, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    environment(&mut command, office);
    command.args(arguments);
    command
}

/// Nothing of the environment that the tests run in, but PATH.
pub fn environment(command: &mut Command, office: &Office365) {
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.envs(office.env()).env("MAILSHIM_LISTEN", "127.0.0.1:0");
}

/// An answer from the app: the rest of the line after this word.
#[track_caller]
pub fn answer(output: &Heard, word: &str) -> String {
    output.expect(word);
    let mut line = None;
    until("the end of the line", || {
        line = output.text().split_once('\n').map(|(line, _)| line.trim().to_string());
        line.is_some()
    });
    line.unwrap()
}

/// Whether a message of this text is in a log of JSON lines.
pub fn logged(log: &str, message: &str) -> bool {
    log.lines().any(|line| line.contains(message))
}

/// Bash that sends one mail to `$MAILSHIM_LISTEN` on descriptor 3, up to the dot, and then reads its reply into
/// `$reply`.
pub const SEND: &str = r#"
    say() { printf '%s\r\n' "$1" >&3; read -r reply <&3; }
    connect() { exec 3<>"/dev/tcp/${MAILSHIM_LISTEN%:*}/${MAILSHIM_LISTEN##*:}"; read -r reply <&3; }
    content() {
        say 'HELO app'; say 'MAIL FROM:<app@contoso.com>'; say 'RCPT TO:<a@fabrikam.com>'; say DATA
        printf 'From: app@contoso.com\r\nSubject: x\r\n\r\nin flight\r\n.\r\n' >&3
    }
    verdict() { read -r reply <&3; reply=${reply%$'\r'}; }
"#;

pub fn exists(path: &str) -> bool {
    Path::new(path).exists()
}
