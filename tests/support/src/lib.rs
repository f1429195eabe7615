//! How the tests, the demo and the benchmark start mailshim and talk to it, each in one way: [`thread`] in this process,
//! [`program`] as a process of its own, [`client`] as its app.

#![expect(
    clippy::missing_panics_doc,
    reason = "what is not as a test wants it panics: that is what this is for"
)]

use std::time::Duration;

use office365::Office365;

pub mod thread;
pub mod program;
pub mod process;
pub mod client;
pub mod files;
pub mod postgres;
pub mod mails;

/// Bounds every wait. Nothing is measured by it: a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A deadline that ends within the test, for what never answers.
pub const SOON: Duration = Duration::from_millis(600);

/// A word that the tests put into secrets: it may be printed nowhere.
pub const CANARY: &str = "c4n4ry";

/// Office 365 closes what is idle, and it is closed when this returns: a mail that is written meanwhile has no certain
/// end, and is not what such a test is about.
#[track_caller]
pub fn close_idle(office365: &Office365) {
    office365.close_idle();
    assert!(office365.wait(PATIENCE, |stats| stats.connections_open == 0), "{:#?}", office365.stats());
}
