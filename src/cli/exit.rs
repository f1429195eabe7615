//! Exit codes that several commands have, in the numbers of sysexits.h.

/// Bad configuration or usage (`EX_USAGE`).
pub(super) const USAGE: u8 = 64;
/// A part that everything needs has died (`EX_SOFTWARE`).
pub(super) const SOFTWARE: u8 = 70;
