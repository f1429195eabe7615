//! Values by file, and what must never be printed.

use super::*;

#[test]
fn values_by_file() {
    let file = |content: &[u8]| TempFile::new(content);
    let (secret, listen, crlf) = (file(b"s3cret\n"), file(b"127.0.0.1:2525\n"), file(b"30s\r\n"));
    let config = with(&[
        ("MAILSHIM_CLIENT_SECRET", ""),
        ("MAILSHIM_CLIENT_SECRET_FILE", secret.path()),
        ("MAILSHIM_LISTEN_FILE", listen.path()),
        ("MAILSHIM_HOLD_FILE", crlf.path()),
    ])
    .unwrap();
    assert_eq!((config.listen.is_default, config.hold), (false, Duration::from_secs(30)));
    let (_, read_again) = by_secret(&config);
    assert_eq!(read_again.read().unwrap().expose(), "s3cret");
    std::fs::write(&secret.0, "rotated\r\n").unwrap();
    assert_eq!(read_again.read().unwrap().expose(), "rotated", "a secret's file is read again");
    assert_eq!(config.warnings, Vec::<String>::new());
    // More than an editor's line end is said, and not taken for the secret.
    std::fs::write(&secret.0, "\u{feff}again\n\n").unwrap();
    assert_eq!(read_again.read().unwrap().expose(), "again");
    let again =
        with(&[("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_CLIENT_SECRET_FILE", secret.path())]).unwrap();
    assert!(again.warnings.len() == 1 && again.warnings[0].starts_with("MAILSHIM_CLIENT_SECRET_FILE: "));
    std::fs::write(&secret.0, "\u{feff}\n\n").unwrap();
    assert!(read_again.read().unwrap_err().ends_with("is empty"));

    let (empty, newline, latin1, huge) = (file(b""), file(b"\n"), file(b"\xe9"), file(&[b'x'; 70_000]));
    for (path, part) in [
        (empty.path(), "the file that it names is empty"),
        (newline.path(), "the file that it names is empty"),
        (latin1.path(), "cannot be read: stream did not contain valid UTF-8"),
        (huge.path(), "is longer than"),
        ("/nowhere/secret", "cannot be read: No such file"),
        ("/", "cannot be read: / is a directory (a container gets an empty one"),
        ("/etc/no-such-secret", "cannot be read: there is no /etc/no-such-secret"),
        // In the root, or in a folder that is not there, it may be the secret itself.
        ("/s3cret", "cannot be read: No such file"),
    ] {
        let changes = [("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_CLIENT_SECRET_FILE", path)];
        assert_refused(&changes, "MAILSHIM_CLIENT_SECRET_FILE: ", part);
        assert_refused(&[("MAILSHIM_LISTEN_FILE", path)], "MAILSHIM_LISTEN_FILE: ", part);
    }
    let blank = file(b" \n");
    let part = "the file that it names is empty";
    assert_refused(&[("MAILSHIM_LISTEN_FILE", blank.path())], "MAILSHIM_LISTEN_FILE: ", part);
    for (name, by_file) in [
        ("MAILSHIM_CLIENT_SECRET", "MAILSHIM_CLIENT_SECRET_FILE"),
        ("MAILSHIM_LISTEN", "MAILSHIM_LISTEN_FILE"),
    ] {
        let changes = [(name, "127.0.0.1:25"), (by_file, listen.path())];
        assert_refused(&changes, &format!("{name}: is set, and so is {by_file}"), "set one of them");
    }
    assert_refused(&[("MAILSHIM_CA_FILE_FILE", listen.path())], "MAILSHIM_CA_FILE_FILE: ", "is no variable");
}

/// Compose's list form keeps quotes; a Kubernetes Secret made with `echo` ends its line.
#[test]
fn what_looks_like_an_accident_in_a_client_secret_is_named_and_never_shown() {
    for (secret, part) in [
        ("\"q8Q~hidden\"", "a quote at both ends"),
        ("'q8Q~hidden'", "a quote at both ends"),
        ("q8Q~ hidden", "a blank"),
        ("q8Q~hidd\u{e9}n", "beyond ASCII"),
    ] {
        let file = TempFile::new(secret.as_bytes());
        for changes in [
            vec![("MAILSHIM_CLIENT_SECRET", secret)],
            vec![("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_CLIENT_SECRET_FILE", file.path())],
        ] {
            let warnings = with(&changes).unwrap().warnings;
            let [warning] = &warnings[..] else { panic!("{secret}: {warnings:?}") };
            assert!(warning.starts_with(changes.last().unwrap().0) && warning.contains(part), "{warning}");
            assert!(!warning.contains("q8Q") && !warning.contains("hidd"), "{warning}");
        }
    }
}

#[test]
fn who_is_woken_is_an_https_address_by_value_or_by_file() {
    let file = TempFile::new(b"https://hooks.example/s3cret\n");
    assert_eq!(with(&[]).unwrap().alerts, None);
    for changes in [
        ("MAILSHIM_ALERT_URL", "https://hooks.example/s3cret"),
        ("MAILSHIM_ALERT_URL", "https://hooks.example/s3cret\n"),
        ("MAILSHIM_ALERT_URL_FILE", file.path()),
    ] {
        let config = with(&[changes]).unwrap();
        assert!(config.alerts.is_some());
        assert!(!format!("{config:?}").contains("s3cret"), "{config:?}");
    }
    let bad = TempFile::new(b"http://hooks.example/s3cret\n");
    for (value, part) in [
        ("http://hooks.example/s3cret", "begins with https://"),
        ("s3cret", "begins with https://"),
        ("https://user:s3cret@hooks.example", "a login before its host"),
        ("https://hooks.example/s3 cret", "percent-encode"),
        ("\"https://hooks.example/s3cret\"", "quotes around it"),
        ("https://", "names no host"),
    ] {
        assert_refused(&[("MAILSHIM_ALERT_URL", value)], "MAILSHIM_ALERT_URL: ", part);
        assert!(!format!("{:?}", with(&[("MAILSHIM_ALERT_URL", value)])).contains("cret"), "{value}");
    }
    assert_refused(
        &[("MAILSHIM_ALERT_URL_FILE", bad.path())],
        "MAILSHIM_ALERT_URL_FILE: ",
        "begins with https://",
    );
}

#[test]
fn no_secret_is_ever_printed() {
    let secret = TempFile::new(CANARY.as_bytes());
    let login = [("MAILSHIM_APP_USERNAME", "app"), ("MAILSHIM_APP_PASSWORD", CANARY)];
    let ways: [&[_]; 3] = [
        &[],
        &[("MAILSHIM_AUTH", "password"), ("MAILSHIM_PASSWORD", CANARY)],
        &[("MAILSHIM_CLIENT_SECRET", ""), ("MAILSHIM_CLIENT_SECRET_FILE", secret.path())],
    ];
    for way in ways {
        let config = with(&[way, &login].concat()).unwrap();
        assert!(!format!("{config:?} {config:#?}").contains(CANARY), "{config:?}");
    }

    // A secret where something else belongs: in the wrong variable, in a URL, as the path of its own file, and in a
    // file that is named for something else.
    let url = format!("https://user:{CANARY}@contoso.com:587");
    let mut changes: Vec<(String, String)> = Vec::new();
    for variable in VARIABLES {
        if !variable.secret && !variable.echoed {
            changes.push((variable.name.to_string(), CANARY.to_string()));
            changes.push((variable.name.to_string(), url.clone()));
        }
        if let Some(by_file) = variables::file_form(variable.name) {
            changes.push((by_file.clone(), CANARY.to_string()));
            if !variable.secret {
                changes.push((by_file, secret.path().to_string()));
            }
        }
        changes.push((format!("{}S", variable.name), CANARY.to_string()));
    }
    for (name, value) in &changes {
        let base = name.strip_suffix("_FILE").filter(|_| variables::variable(name).is_none());
        let result = with(&[(name, value), (base.unwrap_or("PATH"), "")]);
        // A user name may be anything, and stands in the Config for all to see.
        let Err(errors) = result else {
            assert!(name.starts_with("MAILSHIM_APP_USERNAME") || !name.starts_with("MAILSHIM_"), "{name}");
            continue;
        };
        assert!(!format!("{errors} {errors:?}").contains(CANARY), "{name}: {errors}");
    }
}
