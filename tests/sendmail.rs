//! `send`, `sendmail` and `env` as programs: the real binary, a running shim, the simulated Office 365.

#[path = "sendmail/shim.rs"]
mod shim;
#[path = "sendmail/classic.rs"]
mod classic;
#[path = "sendmail/exit_codes.rs"]
mod exit_codes;
#[path = "sendmail/smtp_on_stdin.rs"]
mod smtp_on_stdin;
#[path = "sendmail/send.rs"]
mod send;
#[path = "sendmail/env.rs"]
mod env;
