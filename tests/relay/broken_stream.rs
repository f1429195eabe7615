//! Office 365 goes, or refuses, in the middle of a streamed mail: 451 and never a part of it delivered.

use office365::{Fault, Stage, Times};
use support::SOON;
use support::mails::{large, small};
use support::thread::plan;

#[test]
fn a_stream_is_never_delivered_in_part() {
    for chunking in [true, false] {
        let stages: &[Stage] = if chunking { &[Stage::Content, Stage::Chunk] } else { &[Stage::Content] };
        for stage in stages {
            for fault in [Fault::DropAt(*stage), Fault::ResetAt(*stage), Fault::StallAt(*stage)] {
                let setup = plan()
                    .settings(|settings| settings.chunking = chunking)
                    .deadlines(|deadlines| {
                        (deadlines.chunk, deadlines.command, deadlines.verdict) = (SOON, SOON, SOON)
                    })
                    .start();
                setup.fault(fault.clone(), Times::Once);
                // What the sockets' buffers take is as good as sent: the trouble must be met before the end is.
                let content = large(1, if chunking { 3_000_000 } else { 25_000_000 });
                let reply = setup.send(&content);
                assert_eq!(reply.code, 451, "{chunking} {fault:?} {}", reply.text);
                assert!(!reply.text.contains("may have this mail"), "{fault:?}: {}", reply.text);
                setup.took(&[]);
                // The end was never said, and the mail not tried again: its beginning is gone.
                assert_eq!(setup.said("."), 0);
                assert!(!setup.office365.dialogue().iter().any(|line| line.text.ends_with(" LAST")));
                assert_eq!(setup.said("MAIL"), 1);
                setup.send(&small(2)).is(250);
            }
        }
    }
}

#[test]
fn the_first_refused_chunk_stops_the_sending() {
    let setup = plan().start();
    setup.fault(
        Fault::ReplyAt(Stage::Chunk, "552 5.3.4 Message size exceeds fixed maximum message size".into()),
        Times::Once,
    );
    let content = large(1, 5_000_000);
    let mut client = setup.client();
    client.mail(&content).is(552).says("5.3.4");
    assert!(setup.said("BDAT") <= 12, "{}", setup.said("BDAT"));
    assert!(!setup.office365.dialogue().iter().any(|line| line.text.ends_with(" LAST")));
    // The app's dialogue is in step.
    client.mail(&small(2)).is(250);
    setup.took(&[&small(2)]);
}

#[test]
fn refused_before_the_content_a_stream_is_tried_again() {
    let setup = plan().start();
    setup.fault(Fault::ReplyAt(Stage::Mail, "451 4.7.0 Temporary server error. PRX2".into()), Times::Once);
    setup.fault(Fault::DropAt(Stage::Rcpt), Times::Once);
    let content = large(1, 1_000_000);
    setup.send(&content).is(250);
    setup.took(&[&content]);
}

#[test]
fn lost_after_the_end_nobody_knows() {
    for chunking in [true, false] {
        for (fault, copies) in [(Fault::DropAt(Stage::Dot), 0), (Fault::DropAt(Stage::Accepted), 1)] {
            let setup = plan().settings(|settings| settings.chunking = chunking).start();
            setup.fault(fault, Times::Once);
            let content = large(1, 1_000_000);
            setup.send(&content).is(451).says("may have this mail");
            setup.took(&vec![&content[..]; copies]);
            assert_eq!(setup.said("MAIL"), 1);
        }
    }
}

#[test]
fn larger_than_allowed_is_taken_back() {
    for chunking in [true, false] {
        let setup = plan()
            .settings(|settings| settings.chunking = chunking)
            .env("MAILSHIM_MAX_MESSAGE_SIZE", "1MiB")
            .start();
        let mut client = setup.client();
        client.mail(&large(1, 3_000_000)).is(552).says("5.3.4");
        client.mail(&small(2)).is(250);
        setup.took(&[&small(2)]);
    }
}
