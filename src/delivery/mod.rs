//! Who answers for a message from here, and its way out: attempts within its hold, or from the spool, each a turn and a
//! connection of one mailbox.

pub mod mode;
pub mod relay;
pub mod intake;
pub mod worker;
pub mod settlement;
mod reports;
pub mod account;
mod opening;
mod hold;
pub mod attempt;
mod waiting;
pub mod gate;
mod left;
pub mod ledger;
pub mod limits;
mod obstacles;
pub mod turn;
pub mod directory;

pub use mode::Delivery;
pub use opening::open;
pub use worker::Worker;
