//! Address fields as they come, in both readings.

use super::*;

fn value(text: &str) -> Value {
    Value { text: text.to_string(), is_utf8: true }
}

/// The mailboxes as they would be written, and the form.
fn read(text: &str) -> (Vec<String>, Form) {
    let list = author(&value(text), None);
    let shown = |mailbox: &Mailbox| match &mailbox.address {
        Some(address) => written(mailbox.phrase.as_deref(), address),
        None => format!("{:?}", mailbox.phrase),
    };
    (list.mailboxes.iter().map(shown).collect(), list.form)
}

/// What Postfix 3.7.11 makes of the same; where it differs, the test says so.
#[test]
fn shapes_of_a_list() {
    for (text, expected) in [
        ("undisclosed-recipients:;", ""),
        ("undisclosed-recipients: ;", ""),
        ("Team: Ann <a@f.g>, b@f.g;, c@f.g", "a@f.g b@f.g c@f.g"),
        ("One: a@f.g;, Two: b@f.g;", "a@f.g b@f.g"),
        ("One: a@f.g; Two: b@f.g;", "a@f.g b@f.g"),
        ("a@f.g;b@f.g", "a@f.g b@f.g"),
        ("a@f.g; b@f.g;", "a@f.g b@f.g"),
        ("a@f.g (Ann), (Bob) b@f.g", "a@f.g b@f.g"),
        ("(all of us) a@f.g", "a@f.g"),
        ("<@x.y:a@f.g>", "a@f.g"),
        ("<@x.y,@z.y:a@f.g>, b@f.g", "a@f.g b@f.g"),
        ("\"a b\"@f.g", "\"a b\"@f.g"),
        ("\"a,b\"@f.g, <\"c>d\"@f.g>", "\"a,b\"@f.g \"c>d\"@f.g"),
        ("", ""),
        (" , ,", ""),
        ("a@f.g,b@f.g", "a@f.g b@f.g"),
        ("a@f.g,,b@f.g,", "a@f.g b@f.g"),
        ("mailto:a@f.g", "a@f.g"),
        ("<mailto:a@f.g>", "a@f.g"),
        ("a@f.g.", "a@f.g"),
        ("<a@f.g.>", "a@f.g"),
        // Postfix takes b alone of both: here nobody is lost.
        ("<a <b@f.g>>", "b@f.g"),
        ("<a@f.g <b@f.g>>", "a@f.g b@f.g"),
    ] {
        assert_eq!(to(text).map(|found| found.join(" ")).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_from_with_a_group_names_its_members() {
    for (text, mailboxes) in [
        ("Managers: a@b.c;", vec!["<a@b.c>"]),
        ("Managers: Ann <a@b.c>, Bob <d@e.f>;", vec!["Ann <a@b.c>", "Bob <d@e.f>"]),
        ("Nobody:;", vec![]),
    ] {
        assert_eq!(read(text).0, mailboxes, "{text}");
    }
}

/// The recipients, or why all is refused.
fn to(text: &str) -> Result<Vec<String>, String> {
    let is_user = |name: &str| ["root", "www-data"].contains(&name);
    let found = recipients(&value(text), &is_user)?;
    Ok(found.into_iter().map(|mailbox| mailbox.address.unwrap().to_string()).collect())
}

#[test]
fn what_exchange_takes_as_it_is() {
    for (text, mailbox) in [
        ("<a@b.c>", "<a@b.c>"),
        ("\"x@y\" <a@b.c>", "\"x@y\" <a@b.c>"),
        ("John Doe <a@b.c>", "John Doe <a@b.c>"),
        ("J. Doe <a@b.c>", "\"J. Doe\" <a@b.c>"),
        ("\"Doe, \\\"J\\\"\" <a@b.c>", "\"Doe, \\\"J\\\"\" <a@b.c>"),
        ("=?utf-8?Q?M=C3=BCller,_J.?= <a@b.c>", "=?utf-8?Q?M=C3=BCller,_J.?= <a@b.c>"),
        ("=?utf-8?Q?M=C3=BCller?= Inc <a@b.c>", "=?utf-8?Q?M=C3=BCller?= Inc <a@b.c>"),
        ("Müller <a@b.c>", "=?utf-8?B?TcO8bGxlcg==?= <a@b.c>"),
        ("Ann (Sales) <a@b.c>", "\"Ann (Sales)\" <a@b.c>"),
        ("(Ann) <a@b.c>", "Ann <a@b.c>"),
        ("X <\"a>b\"@c.d>", "X <\"a>b\"@c.d>"),
    ] {
        assert_eq!(read(text), (vec![mailbox.to_string()], Form::Good), "{text}");
    }
    assert_eq!(read("<a@b.c>, D <d@e.f>"), (vec!["<a@b.c>".into(), "D <d@e.f>".into()], Form::Good));
}

#[test]
fn what_exchange_wants_quotes_and_brackets_for() {
    for (text, mailbox) in [
        ("a@b.c", "<a@b.c>"),
        ("a@b.c <a@b.c>", "\"a@b.c\" <a@b.c>"),
        ("Info@Contoso <a@b.c>", "\"Info@Contoso\" <a@b.c>"),
        ("Info @ Contoso <a@b.c>", "\"Info @ Contoso\" <a@b.c>"),
        ("root (Cron Daemon)", "\"Cron Daemon\" <root>"),
        ("a@b.c (J. (Joe) Doe)", "\"J. (Joe) Doe\" <a@b.c>"),
        ("\"a b\"@c.d", "<\"a b\"@c.d>"),
    ] {
        let mailbox = mailbox.replace("\"Cron Daemon\"", "Cron Daemon");
        assert_eq!(read(text), (vec![mailbox], Form::Unquoted), "{text}");
    }
}

#[test]
fn what_is_understood_all_the_same() {
    for (text, mailboxes) in [
        ("John Doe a@b.c", vec!["John Doe <a@b.c>"]),
        ("a @ b.c", vec!["<a@b.c>"]),
        ("Doe, John <a@b.c>", vec!["\"Doe, John\" <a@b.c>"]),
        ("Doe, John, Inc. <a@b.c>", vec!["\"Doe, John, Inc.\" <a@b.c>"]),
        ("Doe, John <a@b.c>, Roe, Jane <d@e.f>", vec!["\"Doe, John\" <a@b.c>", "\"Roe, Jane\" <d@e.f>"]),
        ("a@b.c,", vec!["<a@b.c>"]),
        ("a@b.c; d@e.f", vec!["<a@b.c>", "<d@e.f>"]),
        ("Managers: a@b.c;", vec!["<a@b.c>"]),
        ("Managers: a@b.c, D <d@e.f>;", vec!["<a@b.c>", "D <d@e.f>"]),
        ("mailto:a@b.c", vec!["<a@b.c>"]),
        ("X <a@b.c", vec!["X <a@b.c>"]),
        ("X <a@b.c> Y", vec!["X <a@b.c>"]),
        ("X <@route.example:a@b.c>", vec!["X <a@b.c>"]),
        ("X <\u{a0}a@b.c\u{a0}>", vec!["X <a@b.c>"]),
        ("undisclosed-recipients:;", vec![]),
        ("", vec![]),
        ("Backup Job", vec!["Some(\"Backup Job\")"]),
        ("X <>", vec!["Some(\"X\")"]),
    ] {
        let mailboxes = mailboxes.into_iter().map(str::to_string).collect();
        assert_eq!(read(text), (mailboxes, Form::Broken), "{text}");
    }
}

/// Text before the bracket is the name, whatever stands in it.
#[test]
fn no_name_loses_letters() {
    for (text, mailbox) in [
        ("Support: Billing <a@b.c>", "\"Support: Billing\" <a@b.c>"),
        ("5\" Screens <a@b.c>", "\"5\\\" Screens\" <a@b.c>"),
        ("Smile :( <a@b.c>", "\"Smile :(\" <a@b.c>"),
        ("Smile ;) Ann <a@b.c>", "\"Smile ;) Ann\" <a@b.c>"),
        ("RE: [Ticket #5] <a@b.c>", "\"RE: [Ticket #5]\" <a@b.c>"),
        ("A \\ B <a@b.c>", "\"A \\\\ B\" <a@b.c>"),
        ("Price < 5 <a@b.c>", "\"Price < 5\" <a@b.c>"),
        ("\"Ann <a@b.c>", "\"\\\"Ann\" <a@b.c>"),
        ("10:30 Uhr, Büro <a@b.c>", "=?utf-8?B?MTA6MzAgVWhyLCBCw7xybw==?= <a@b.c>"),
    ] {
        assert_eq!(read(text), (vec![mailbox.to_string()], Form::Broken), "{text}");
    }
}

#[test]
fn of_two_brackets_the_envelopes_is_meant_else_the_last() {
    let preferred = |text: &str, address: &str| {
        let list = author(&value(text), Address::parse(address).as_ref());
        assert_eq!((list.mailboxes.len(), list.form), (1, Form::Broken), "{text}");
        written(list.mailboxes[0].phrase.as_deref(), list.mailboxes[0].address.as_ref().unwrap())
    };
    let via = "Ann <ann@f.g> via Shop <app@b.c>";
    assert_eq!(preferred(via, "app@b.c"), "\"Ann <ann@f.g> via Shop\" <app@b.c>");
    assert_eq!(preferred(via, "other@b.c"), "\"Ann <ann@f.g> via Shop\" <app@b.c>");
    assert_eq!(preferred(via, "ANN@f.g"), "Ann <ann@f.g>");
    assert_eq!(preferred("<app@b.c> for <ann@f.g>", "app@b.c"), "<app@b.c>");
    assert_eq!(preferred("Sales <EMEA> <a@b.c>", "x@y.z"), "\"Sales <EMEA>\" <a@b.c>");
    assert_eq!(preferred("<a@b.c> <>", "x@y.z"), "<a@b.c>");
    assert_eq!(preferred("a@b.c d@e.f", "a@b.c"), "<a@b.c>");
}

#[test]
fn an_address_inside_encoded_words_is_read_where_none_stands_outside() {
    for text in [
        "=?utf-8?q?Orders_=3Corders=40b.c=3E?=",
        "=?utf-8?b?T3JkZXJzIDxvcmRlcnNAYi5jPg==?=",
        "=?utf-8?q?Orders_=3Corders?= =?utf-8?q?=40b.c=3E?=",
        "Orders <=?utf-8?q?orders=40b.c?=>",
        "Orders =?us-ascii?q?=3Corders=40b=2Ec=3E?=",
        "=?utf-8?q?Orders_<orders@b.c>?=",
    ] {
        assert_eq!(read(text), (vec!["Orders <orders@b.c>".into()], Form::Broken), "{text}");
        assert_eq!(to(text), Ok(vec!["orders@b.c".into()]), "{text}");
    }
    let outside = "=?utf-8?q?Orders_=3Corders=40b.c=3E?= <a@b.c>";
    assert_eq!(read(outside), (vec![outside.to_string()], Form::Good));
    assert_eq!(to(outside), Ok(vec!["a@b.c".into()]));
    assert!(to("=?utf-8?q?Orders_=3Corders=40b.c=3E?=, <a@b.c>").is_err());
    assert!(to("=?utf-8?q?Orders?=").is_err());
}

#[test]
fn a_guessed_character_set_makes_a_name_and_no_address() {
    let read = |text: &str| author(&Value { text: text.to_string(), is_utf8: false }, None);
    assert_eq!(read("ü@b.c").mailboxes[0].address, None);
    assert_eq!(read("ü <a@b.c>").mailboxes[0].phrase.as_deref(), Some("=?utf-8?B?w7w=?="));
    assert!(recipients(&Value { text: "ü@b.c".into(), is_utf8: false }, &|_| false).is_err());
}

#[test]
fn whatever_has_an_address_is_a_recipient() {
    for (text, expected) in [
        ("one@f.g two@f.g", "one@f.g two@f.g"),
        ("one@f.g two@f.g,three@f.g;four@f.g", "one@f.g two@f.g three@f.g four@f.g"),
        ("Ann <a@f.g> <b@f.g>", "a@f.g b@f.g"),
        ("Ann <a@f.g> Bob <b@f.g>", "a@f.g b@f.g"),
        ("Ann <a@f.g> b@f.g", "a@f.g b@f.g"),
        ("<a@f.g><b@f.g>", "a@f.g b@f.g"),
        ("Ann <a@f.g, Bob <b@f.g>", "a@f.g b@f.g"),
        ("a@f.g, <b@f.g", "a@f.g b@f.g"),
        ("John Doe a@f.g", "a@f.g"),
        ("a @ f.g", "a@f.g"),
        ("ceo(c)@f.g", "ceo@f.g"),
        ("mailto:a@f.g", "a@f.g"),
        ("Team: a@f.g, b@f.g;", "a@f.g b@f.g"),
        ("Team: a@f.g, b@f.g", "a@f.g b@f.g"),
        ("undisclosed-recipients:;", ""),
        ("undisclosed-recipients:", ""),
        ("", ""),
        ("a@[IPv6:::1], b@f.g", "a@[IPv6:::1] b@f.g"),
        ("5\" Screens <a@f.g>, 6\" Pads <b@f.g>", "a@f.g b@f.g"),
        ("Smile :( <a@f.g>, Bob :) <b@f.g>", "a@f.g b@f.g"),
        // A name, quoted or in a comment, and the same address twice.
        ("\"x@y.z\" <a@f.g>, b@f.g (was c@f.g)", "a@f.g b@f.g"),
        ("a@f.g <a@F.g>", "a@F.g"),
        ("'a@f.g' <a@f.g>", "a@f.g"),
        ("Info @ Contoso <a@f.g>, @work <b@f.g>", "a@f.g b@f.g"),
        // `Last, First` without quotes, and local users.
        ("Doe, John <j@f.g>, Roe, Jane <r@f.g>", "j@f.g r@f.g"),
        ("Doe, John, Jr <j@f.g>, Contoso", "j@f.g"),
        ("\"Doe\", John <j@f.g>; Müller, Eva <e@f.g>", "j@f.g e@f.g"),
        ("root, Ann <a@f.g>", "root a@f.g"),
        ("Ann <a@f.g>, www-data", "a@f.g www-data"),
        ("Ann <a@f.g> root", "a@f.g root"),
        ("root a@f.g", "a@f.g root"),
        ("root, bob", "root bob"),
        ("root www-data", "root www-data"),
        ("<bob>", "bob"),
    ] {
        let expected: Vec<String> = expected.split_whitespace().map(str::to_string).collect();
        assert_eq!(to(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_could_be_an_address_and_is_not_understood_stops_all() {
    for text in [
        "a@f.g, not an address",
        "<>",
        "X <>",
        "a@b@c",
        "Ann <a@f.g>, b@c@d",
        "a@f.g <b@f.g>",
        "Ann <a@f.g> c@f.g <b@f.g>",
        "\"a@f.g\"",
        "\"a@f.g\", Bob <b@f.g>",
        "(a@f.g), Bob <b@f.g>",
        "<a@f.g, b@f.g>",
        "'a@f.g'",
        "a@f.g> b@f.g",
        "x \"y z",
        "a@ b@f.g c@f.g@",
    ] {
        let found = to(text);
        assert!(found.is_err(), "{text}: {found:?}");
    }
    let problem = to("a@f.g <b@f.g>").unwrap_err();
    assert_eq!(problem, "\"a@f.g\" stands before \"<b@f.g>\": which of them is meant?");
    assert_eq!(to("a@f.g, b@c@d").unwrap_err(), "\"b@c@d\" is not an address");
    let long = to(&"b@c@d".repeat(100)).unwrap_err();
    assert!(long.len() < 200, "{long}");
}

#[test]
fn a_field_that_is_too_long_names_no_author() {
    let text = "a@b.c,".repeat(3000);
    assert_eq!(author(&value(&text), None), List::default());
    assert_eq!(to(&text).unwrap().len(), 3000);
}
