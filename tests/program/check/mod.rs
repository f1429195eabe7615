//! `mailshim check`: the simulated Office 365 plays what can go wrong, and what check says of it is compared with
//! `tests/golden/check/`, documents to be reviewed as such. `UPDATE_GOLDEN=1 cargo test --test program check` writes them anew.

mod golden;
mod ladder;
mod peers;
mod program;
mod replies;
mod spool;
mod tls;
mod token;
mod way;
