//! Each way to sign in, through the running shim against the simulated Office 365, which checks every assertion.

mod ways;
mod rotation;
mod trouble;

use mailshim::testing::config::{Config, ConfigErrors};
use office365::Office365;
use support::thread::{self, Shim};

const MAIL: &str = "From: app@contoso.com\r\nSubject: x\r\n\r\ntext\r\n";

/// What a shim without the simulator's client secret is given besides.
fn without_secret<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("MAILSHIM_CLIENT_SECRET", "")], more].concat()
}

fn start(office365: &Office365, more: &[(&str, &str)]) -> Shim {
    Shim::start(office365, &without_secret(more))
}

fn config(office365: &Office365, more: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    thread::config(office365, &without_secret(more))
}
