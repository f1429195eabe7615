//! What must not grow unseen: the instructions of a mail, and the octets of the binary. Counted, not timed, so that a
//! busy machine changes nothing.
//!
//! A change that is worth more raises the figure here, and its commit says what for. Another compiler or C library moves
//! both a little: that is what the tolerance is for.

use std::path::Path;

use office365::Office365;

use crate::instructions::of_one_mail;
use crate::shim::Elf;

/// Instructions of one mail of 4 KB: [`of_one_mail`].
const INSTRUCTIONS: f64 = 333_000.0;
/// Octets of the static, stripped binary. 6,000,000 is to be reached: docs/performance.md.
const OCTETS: f64 = 6_665_000.0;

/// How much more passes, as a share.
const TOLERANCE: f64 = 0.04;

/// Measures both and prints them.
///
/// # Errors
/// One has grown beyond the tolerance, or something did not work.
pub fn check(binary: &Path, office365: &Office365) -> Result<(), String> {
    let instructions = of_one_mail(binary, office365, &std::env::temp_dir())?;
    let octets = Elf::read(binary)?.size as f64;
    let figures = [
        ("instructions of a mail of 4 KB", instructions, INSTRUCTIONS),
        ("octets of the binary", octets, OCTETS),
    ];
    let mut grown = Vec::new();
    for (what, is, held) in figures {
        let change = is / held - 1.0;
        println!("{what}: {is:.0}, held at {held:.0} ({:+.1} %)", change * 100.0);
        if change > TOLERANCE {
            grown.push(what);
        } else if change < -TOLERANCE {
            println!("  less than is held: benches/figures/held.rs can be lowered");
        }
    }
    match grown[..] {
        [] => Ok(()),
        _ => Err(format!(
            "more than {:.0} % above what is held: {}. Make it less, or raise it in benches/figures/held.rs and say what \
             for (docs/performance.md tells how to find where it goes)",
            TOLERANCE * 100.0,
            grown.join(", ")
        )),
    }
}
