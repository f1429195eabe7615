//! `mailshim check`: the simulated Office 365 plays what can go wrong, and what check says of it is compared with
//! `tests/golden/check/`, documents to be reviewed as such. `UPDATE_GOLDEN=1 cargo test --test check` writes them anew.

#[path = "check/golden.rs"]
mod golden;
#[path = "check/ladder.rs"]
mod ladder;
#[path = "check/peers.rs"]
mod peers;
#[path = "check/program.rs"]
mod program;
#[path = "check/replies.rs"]
mod replies;
#[path = "check/tls.rs"]
mod tls;
#[path = "check/token.rs"]
mod token;
#[path = "check/way.rs"]
mod way;
