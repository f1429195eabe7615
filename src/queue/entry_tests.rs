//! The record of a stored message, octet by octet.

use super::*;

fn envelope(recipients: &[&str]) -> StoredEnvelope {
    let recipient = |text: &&str| StoredRecipient { address: text.to_string(), notify: None, orcpt: None };
    StoredEnvelope {
        reverse_path: Some("app@contoso.example".into()),
        eight_bit: true,
        ret: Some("HDRS".into()),
        envid: Some("a+20b".into()),
        recipients: recipients.iter().map(recipient).collect(),
    }
}

fn head() -> Head {
    let app = envelope(&["one@fabrikam.example", "\"a b\"@fabrikam.example", "ü@fabrikam.example"]);
    let sent = Sent {
        envelope: app.clone(),
        from_is_ours: false,
        was_null_sender: false,
        changes: vec!["date_added".into()],
    };
    let header = "Subject: \"x\"\r\n\tfolded\r\n".to_string();
    Head { id: "67a".into(), created: 1_764_000_000, message_id: None, app, header, sent, report: false }
}

fn file(content: &[u8]) -> Vec<u8> {
    let mut octets = first_line(&head());
    let mut sum = Sum::of_first_line(&octets);
    sum.add(content);
    octets.extend_from_slice(content);
    let prefix = sum.prefix();
    octets[..PREFIX].copy_from_slice(prefix.as_bytes());
    octets
}

#[test]
fn what_is_written_is_read_again() {
    let octets = file(b"Subject: x\r\n\r\nbody\r\n");
    let wanted = read_prefix(&octets).unwrap();
    assert_eq!(wanted.length, octets.len() as u64);
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap() + 1;
    assert_eq!(read_head(&octets[..end]), Ok(head()));
    let mut sum = Sum::of_first_line(&octets[..end]);
    sum.add(&octets[end..]);
    assert!(sum.fits(&wanted));
    // A person reads it, and JSON's own readers do.
    assert!(serde_json::from_slice::<serde_json::Value>(&octets[..end]).is_ok());
}

#[test]
fn any_flipped_octet_is_seen() {
    let whole = file(b"Subject: x\r\n\r\nbody\r\n");
    for place in 0..whole.len() {
        let mut octets = whole.clone();
        octets[place] ^= 0x20;
        let end = octets.iter().position(|octet| *octet == b'\n').map_or(octets.len(), |end| end + 1);
        let Ok(wanted) = read_prefix(&octets) else { continue };
        let mut sum = Sum::of_first_line(&octets[..end]);
        sum.add(&octets[end..]);
        // The checksum's own digits in another case are another text.
        assert!(!sum.fits(&wanted), "octet {place}");
    }
}

#[test]
fn what_a_crash_left_is_told_from_damage() {
    let whole = file(b"x\r\n");
    for length in 0..PREFIX {
        assert_eq!(read_prefix(&whole[..length]), Err(Damage::Unfinished), "{length}");
    }
    assert_eq!(read_prefix(&first_line(&head())), Err(Damage::Unfinished));
    assert_eq!(read_prefix(&[0; PREFIX + 9]), Err(Damage::Unfinished));
    let next = String::from_utf8(whole).unwrap().replace("{\"mailshim\":1", "{\"mailshim\":2");
    assert_eq!(read_prefix(next.as_bytes()), Err(Damage::Version));
    assert!(matches!(read_prefix(&[b'x'; PREFIX]), Err(Damage::Damaged(_))));
}

#[test]
fn attempts_are_folded_and_a_torn_line_is_none() {
    let result = |verdict, recipients: &[usize]| Result {
        verdict,
        recipients: recipients.to_vec(),
        reply: format!("{verdict:?}"),
        fix: None,
        detail: None,
    };
    let first = Attempt {
        at: 1,
        lived: 1,
        next: 30,
        results: vec![result(Verdict::Delivered, &[0]), result(Verdict::Deferred, &[1, 2])],
        reported: vec![],
    };
    let second = Attempt {
        at: 30,
        lived: 30,
        next: 0,
        results: vec![result(Verdict::Refused, &[1, 0, 7])],
        reported: vec![1],
    };
    let mut octets = first.line();
    octets.extend(second.line());
    let whole = octets.len();
    octets.extend_from_slice(b"{\"at\":99,\"lived\":9");
    assert_eq!(read_attempts(&octets), [first.clone(), second.clone()]);
    // What is appended behind a torn line, or behind the zeros of a file that grew before its octets came, counts.
    octets.extend(first.line());
    octets.extend_from_slice(&[0; 9]);
    octets.extend(first.line());
    assert_eq!(read_attempts(&octets).len(), 4);
    for length in 0..whole {
        assert!(read_attempts(&octets[..length]).len() < 2, "{length}");
    }
    let mut entry =
        Entry { head: head(), content_at: 0, length: 0, attempts: read_attempts(&octets[..whole]) };
    assert_eq!((entry.waiting(), entry.failed(), entry.lived(), entry.tries()), (vec![2], vec![1], 30, 2));
    // What is done stays done.
    assert_eq!(entry.states()[0].verdict, Some(Verdict::Delivered));
    assert!(entry.states()[1].reported && !entry.states()[2].reported);
    entry.attempts.clear();
    assert_eq!(entry.waiting(), [0, 1, 2]);
}

#[test]
fn what_was_begun_and_not_recorded_may_have_arrived() {
    let begun = |places: &[usize]| Begun { begun: places.to_vec(), at: 7 }.line();
    let recorded = |verdict, places: &[usize]| {
        let result =
            Result { verdict, recipients: places.to_vec(), reply: String::new(), fix: None, detail: None };
        Attempt { at: 9, lived: 2, results: vec![result], ..Attempt::default() }.line()
    };
    for (log, is) in [
        (vec![], vec![]),
        (vec![begun(&[0, 1])], vec![0, 1]),
        (vec![begun(&[0, 1]), recorded(Verdict::Deferred, &[0, 1])], vec![]),
        (vec![begun(&[0]), recorded(Verdict::Deferred, &[0]), begun(&[0])], vec![0]),
        // Given back without having been sent.
        (vec![begun(&[0]), begun(&[])], vec![]),
        // What an operator asks for tells nothing of it.
        (vec![begun(&[0]), Attempt::default().line()], vec![0]),
        (vec![recorded(Verdict::Delivered, &[0]), b"{\"begun\":[1".to_vec()], vec![]),
    ] {
        let octets = log.concat();
        assert_eq!(read_begun(&octets), is, "{}", String::from_utf8_lossy(&octets));
        // A mark is no attempt.
        let attempts =
            log.iter().filter(|line| line.ends_with(b"\n") && !line.starts_with(b"\n{\"begun")).count();
        assert_eq!(read_attempts(&octets).len(), attempts);
    }
}

#[test]
fn an_envelope_comes_back_for_those_that_are_left() {
    let stored = head().sent.envelope;
    let envelope = stored.envelope_of(&[1, 2], Some(7)).unwrap();
    assert_eq!(envelope.recipients[0].address.as_str(), "\"a b\"@fabrikam.example");
    assert_eq!((envelope.mail.size, envelope.mail.body), (Some(7), Body::EightBitMime));
    assert_eq!(StoredEnvelope::of(&envelope).recipients, stored.recipients[1..]);
    assert_eq!(stored.envelope_of(&[], None), None);
    assert_eq!(stored.envelope_of(&[3], None), None);
    let hostile = StoredEnvelope { reverse_path: Some("a@b> SIZE=1".into()), ..stored };
    assert_eq!(hostile.envelope_of(&[0], None), None);
}
