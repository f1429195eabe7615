//! The trouble that Office 365 and its token service make, one after the other, always in the same order.

use std::time::Duration;

use office365::Stage::{
    Accepted, Auth, Chunk, Content, Dot, Ehlo, Ehlo2, Greeting, Handshake, Mail, Quit, Rcpt, Rset, StartTls,
};
use office365::{Fault, Office365, Times};

use super::Ledger;

/// Between two troubles.
const PAUSE: Duration = Duration::from_millis(180);

fn faults() -> Vec<Fault> {
    let mut faults = Vec::new();
    for stage in [Greeting, Ehlo, StartTls, Handshake, Ehlo2, Auth, Mail, Rcpt, Chunk, Content, Dot, Accepted]
    {
        faults.extend([Fault::DropAt(stage), Fault::ResetAt(stage), Fault::HalfCloseAt(stage)]);
    }
    for stage in [Greeting, Ehlo2, Mail, Rcpt, Chunk, Dot] {
        faults.extend([
            Fault::GarbageAt(stage),
            Fault::HalfReplyAt(stage),
            Fault::TrickleAt(stage),
            Fault::ExtraReplyAt(stage),
            Fault::ReplyAt(stage, "421 4.3.2 Service not available".into()),
            Fault::ReplyAt(stage, "451 4.7.0 Temporary server error. Please try again later. PRX2".into()),
        ]);
    }
    faults.extend([
        Fault::ReplyAt(Dot, "554 5.6.0 Corrupt message content".into()),
        Fault::ReplyAt(Rcpt, "550 5.1.1 No such user".into()),
        Fault::MixedCodesAt(Dot),
        Fault::DelayAt(Dot, Duration::from_millis(150)),
        Fault::DropAt(Rset),
        Fault::HalfReplyAt(Quit),
        Fault::StaleIdle(Duration::from_millis(20)),
        Fault::TimeoutIdle(Duration::from_millis(20)),
        Fault::Token5xx(503),
        Fault::TokenDrop,
        Fault::TokenTwice,
    ]);
    faults
}

/// Goes on until the soak is over.
pub fn misbehave(office365: &Office365, ledger: &Ledger) {
    let faults = faults();
    let mut at = 0;
    while ledger.goes_on() {
        // A step that has no divisor in common with the number of faults meets all, far ones one after the other.
        office365.fault(faults[at * 31 % faults.len()].clone(), Times::Once);
        at += 1;
        match at % 40 {
            7 => office365.close_idle(),
            17 => office365.revoke_tokens(),
            27 => {
                office365.refuse_connections(true);
                std::thread::sleep(PAUSE);
                office365.refuse_connections(false);
            }
            // What found no moment of its own is taken back, or it would gather.
            37 => office365.clear_faults(),
            _ => {}
        }
        std::thread::sleep(PAUSE);
    }
}
