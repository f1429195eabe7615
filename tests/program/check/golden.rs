//! Golden files, and what is different in each run taken out.

use std::path::Path;

/// Compares with a golden file, or writes it.
#[track_caller]
pub fn compare(name: &str, is: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/check").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, is).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(is == expected, "{} differs (UPDATE_GOLDEN=1 writes it anew); it is:\n{is}", path.display());
}

/// Takes out ports, times, ids and paths.
pub fn normal(text: &str, ports: &[u16]) -> String {
    let mut text = text.to_string();
    for port in ports {
        text = text.replace(&format!(":{port}"), ":PORT").replace(&format!("port {port}"), "port PORT");
    }
    let text: String = text.split_inclusive('\n').map(line).collect();
    text.replace(&std::env::temp_dir().display().to_string(), "/tmp")
}

fn line(line: &str) -> String {
    // A host without IPv6 has other words for it.
    if let Some((before, _)) = line.split_once("[::1]:PORT: ") {
        return format!("{before}[::1]:PORT: (not there)\n");
    }
    let mut line = line.to_string();
    for (begin, end, instead) in [
        ("ready at ", " [", "DATE"),
        ("exp in ", " min", "N"),
        ("oid ", ",", "OBJECT-ID"),
        ("-ObjectId '", "'", "OBJECT-ID"),
        ("-User '", "'", "OBJECT-ID"),
        ("-App '", "'", "OBJECT-ID"),
        ("Authorization -Identity '", "'", "OBJECT-ID"),
        ("PROD.OUTLOOK.COM ", "]", "TIME ID"),
        ("cannot resolve smtp.invalid: ", "\n", "REASON"),
        ("[trace ", "]", "ID"),
        ("[correlation ", "]", "ID"),
        ("2.0.0 OK <", "@", "ID"),
    ] {
        line = between(&line, begin, end, instead);
    }
    for (end, instead) in [(" days left", "N"), (" days ago", "N"), (" days,", "N")] {
        if let Some(at) = line.find(end) {
            let digits = line[..at].rfind(|c: char| !c.is_ascii_digit()).map_or(0, |before| before + 1);
            line.replace_range(digits..at, instead);
        }
    }
    // A session's id.
    while let Some(at) = line.find("[08DE") {
        line.replace_range(at..at + line[at..].find(']').map_or(5, |end| end), "[ID");
    }
    line
}

/// What stands between the two, replaced, wherever it does.
fn between(line: &str, begin: &str, end: &str, instead: &str) -> String {
    let (mut done, mut rest) = (String::new(), line);
    while let Some((before, behind)) = rest.split_once(begin) {
        let Some(stop) = behind.find(end) else { break };
        done.push_str(before);
        done.push_str(begin);
        done.push_str(instead);
        rest = &behind[stop..];
    }
    done + rest
}
