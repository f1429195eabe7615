//! `send`, `sendmail` and `env` as programs: the real binary, a running shim, the simulated Office 365.

mod shim;
mod classic;
mod exit_codes;
mod smtp_on_stdin;
mod send;
mod env;
