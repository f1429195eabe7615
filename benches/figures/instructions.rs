//! What one mail costs in instructions, counted by callgrind: no clock, so that the same program gives the same figure
//! on a busy machine too, and a change for the worse can fail.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use office365::Office365;
use support::program::Program;

use crate::app::{App, mail_of};

/// Mails of the run that is subtracted: the start, the first sign-in and what is done once are in both.
const FEW: u32 = 100;
/// Mails of the other one.
const MANY: u32 = 600;
/// The ordinary mail, in octets.
const SMALL: usize = 4 * 1024;

/// Instructions in user space for one mail of 4 KB on a kept connection of the app, its log line and its share of a
/// new connection to Office 365 (every 20 mails) included. What callgrind wrote of the longer run stays in `folder`.
///
/// # Errors
/// There is no valgrind, or a mail was not taken.
pub fn of_one_mail(binary: &Path, office365: &Office365, folder: &Path) -> Result<f64, String> {
    let few = counted(binary, office365, FEW, &folder.join("callgrind.few"))?;
    let many = counted(binary, office365, MANY, &folder.join("callgrind.many"))?;
    Ok((many - few) / f64::from(MANY - FEW))
}

/// Instructions of a whole run, from exec to exit.
fn counted(binary: &Path, office365: &Office365, mails: u32, output: &PathBuf) -> Result<f64, String> {
    let version = Command::new("valgrind").arg("--version").output();
    version.map_err(|error| format!("callgrind counts the instructions, and valgrind: {error}"))?;
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", output.display()));
    command.arg(binary).arg("run");
    let more = [("MAILSHIM_MESSAGES_PER_MINUTE", "0"), ("MAILSHIM_HTTP_LISTEN", "off")];
    let mut shim = Program::start_by(command, office365, &more);
    shim.wait_for("\"message\":\"a token was obtained\"");
    let (mut app, small) = (App::connect(shim.address)?, mail_of(SMALL));
    (0..mails).try_for_each(|_| app.mail(&small))?;
    app.quit()?;
    office365.drain_taken();
    shim.signal("TERM");
    let ended = shim.wait();
    if !ended.success() {
        return Err(format!("mailshim under callgrind: {ended}"));
    }
    let text = fs::read_to_string(output).map_err(|error| format!("{}: {error}", output.display()))?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse().ok());
    total.ok_or_else(|| format!("{} has no totals", output.display()))
}
