//! Nothing goes wrong: what the app sends is what Office 365 gets, and its reply is the app's.

use office365::Via;
use support::mails::{large, mail, small};
use support::thread::plan;

#[test]
fn data_and_chunks_arrive_as_they_were_sent() {
    let setup = plan().start();
    let contents = [
        small(1),
        mail(2, ""),
        mail(3, ".\r\n"),
        mail(4, "..\r\n.x\r\n.\r\n.\r\n"),
        mail(5, &"long ".repeat(4000)).into_iter().chain(*b"\r\n").collect(),
        mail(6, "gr\u{fc}n\r\n"),
        large(7, 64 * 1024 + 1),
        large(8, 255 * 1024),
    ];
    let mut client = setup.client();
    client.command("EHLO app").is(250);
    for content in &contents {
        client.mail(content).is(250).says("2.0.0 OK <");
        client.mail_in_chunks(content, 1000).is(250);
        client.mail_in_chunks(content, usize::MAX).is(250);
    }
    let three_times: Vec<&[u8]> = contents.iter().flat_map(|content| [&content[..]; 3]).collect();
    let taken = setup.took(&three_times);
    assert!(taken.iter().all(|taken| matches!(taken.via, Via::Bdat(1))), "all were held as a whole");
}

#[test]
fn without_chunking_the_same_goes_out_as_data() {
    let setup = plan().settings(|settings| settings.chunking = false).start();
    let contents = [small(1), mail(2, ""), mail(3, "..\r\n.x\r\n.\r\n"), large(4, 500_000)];
    for content in &contents {
        setup.send(content).is(250);
        setup.client().mail_in_chunks(content, 30_000).is(250);
    }
    let twice: Vec<&[u8]> = contents.iter().flat_map(|content| [&content[..]; 2]).collect();
    assert!(setup.took(&twice).iter().all(|taken| taken.via == Via::Data));
}

#[test]
fn a_warm_connection_costs_one_round_trip_a_mail() {
    let setup = plan().start();
    setup.send(&small(0)).is(250);
    let before = setup.office365.stats();
    for number in 1..=5 {
        setup.send(&small(number)).is(250);
    }
    let after = setup.office365.stats();
    assert_eq!(after.connections_opened, 1);
    assert_eq!(after.round_trips - before.round_trips, 5);
}

#[test]
fn a_connection_takes_twenty_mails() {
    let setup = plan().start();
    let mut client = setup.client();
    for number in 0..45 {
        client.mail(&small(number)).is(250);
    }
    setup.wait(|stats| {
        stats.connections_opened == 3 && stats.connections.iter().filter(|c| c.closed).count() == 2
    });
    let stats = setup.office365.stats();
    let messages: Vec<u64> = stats.connections.iter().map(|connection| connection.messages).collect();
    assert_eq!(messages, [20, 20, 5]);
    assert_eq!(stats.connections[0].end, Some("QUIT"));
}
