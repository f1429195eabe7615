//! The recipient is refused while the content is already on its way.

use office365::{Fault, Stage, Times};
use support::mails::small;
use support::thread::plan;

const NO: &str = "550 5.1.1 RESOLVER.ADR.RecipNotFound; not found";

#[test]
fn a_chunk_that_is_not_swallowed_is_never_read_as_commands() {
    let setup = plan().start();
    setup.fault(Fault::ReplyAt(Stage::Rcpt, NO.into()), Times::Once);
    setup.fault(Fault::ChunkNotSwallowed, Times::Once);
    setup.send(&small(1)).is(550).says("ann@fabrikam.com");
    // The connection is not used again: what the server still reads there could be taken for anything.
    setup.send(&small(2)).is(250);
    setup.took(&[&small(2)]);
    assert_eq!(setup.office365.stats().connections_opened, 2);
}

#[test]
fn a_chunk_that_is_swallowed_costs_its_connection_too() {
    let setup = plan().start();
    setup.fault(Fault::ReplyAt(Stage::Rcpt, NO.into()), Times::Once);
    setup.send(&small(1)).is(550).says("ann@fabrikam.com");
    setup.send(&small(2)).is(250);
    setup.took(&[&small(2)]);
    assert_eq!(setup.office365.stats().connections_opened, 2);
}

#[test]
fn an_unwanted_354_gets_no_dot() {
    let setup = plan().settings(|settings| settings.chunking = false).start();
    setup.fault(Fault::ReplyAt(Stage::Rcpt, NO.into()), Times::Once);
    setup.fault(Fault::UnwantedData354, Times::Once);
    setup.send(&small(1)).is(550).says("ann@fabrikam.com");
    setup.send(&small(2)).is(250);
    setup.took(&[&small(2)]);
    assert_eq!(setup.office365.stats().connections_opened, 2);
}
