//! Text to plain values. A problem is the rest of a sentence that begins with the value: "is not …".

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use crate::names::digits;

/// A whole number between two bounds, both included.
pub(super) fn number(least: usize, most: usize) -> impl Fn(&str) -> Result<usize, String> {
    move |text| {
        digits(text)
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| format!("is not a whole number from {least} to {most}"))
    }
}

/// A duration between two bounds, both included.
pub(crate) fn duration(least: &'static str, most: &'static str) -> impl Fn(&str) -> Result<Duration, String> {
    move |text| {
        plain_duration(text)
            .filter(|value| Some(*value) >= plain_duration(least) && Some(*value) <= plain_duration(most))
            .ok_or_else(|| {
                format!(
                    "is not a duration from {least} to {most}: \
                     write a whole number and its unit, such as 45s, 2m, 1h or 5d; 0 needs its unit too: 0s"
                )
            })
    }
}

fn plain_duration(text: &str) -> Option<Duration> {
    const UNITS: [(char, u64); 4] = [('s', 1), ('m', 60), ('h', 3600), ('d', 86400)];
    let (count, seconds) =
        UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)))?;
    digits::<u64>(count)?.checked_mul(seconds).map(Duration::from_secs)
}

/// A size in bytes between two bounds, both included.
pub(super) fn size(least: &'static str, most: &'static str) -> impl Fn(&str) -> Result<u64, String> {
    move |text| {
        plain_size(text)
            .filter(|value| Some(*value) >= plain_size(least) && Some(*value) <= plain_size(most))
            .ok_or_else(|| {
                format!(
                    "is not a size from {least} to {most}: \
                     write a whole number and KB, MB, GB (powers of 1000) or KiB, MiB, GiB (powers of 1024), \
                     such as 35MB or 35MiB, or plain bytes, such as 36700160"
                )
            })
    }
}

fn plain_size(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("kb", 1000),
        ("mb", 1000 * 1000),
        ("gb", 1000 * 1000 * 1000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    // Nobody means megabits: the case of the letters is free.
    let text = text.to_ascii_lowercase();
    let (count, bytes) =
        UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes))).unwrap_or((&text, 1));
    digits::<u64>(count)?.checked_mul(bytes)
}

/// A file that can be read now; what it holds is for another to judge.
pub(super) fn readable_file(text: &str) -> Result<PathBuf, String> {
    // A directory opens, but does not read.
    File::open(text).and_then(|mut file| file.read(&mut [0])).map(|_| PathBuf::from(text)).map_err(|error| {
        format!("does not name a file that can be read ({error}), such as /etc/mailshim/ca.pem")
    })
}

/// Five groups of hexadecimal digits: how Entra writes tenant ids, client ids and the *ids* of secrets.
pub(super) fn is_guid(text: &str) -> bool {
    text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let read = duration("0s", "5d");
        for (text, seconds) in [("0s", 0), ("45s", 45), ("2m", 120), ("1h", 3600), ("5d", 432_000)] {
            assert_eq!(read(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "0",
            "45",
            "s",
            "-1s",
            "+1s",
            "1.5h",
            "1h30m",
            "45 s",
            "45S",
            "6d",
            "99999999999999999999s",
            "9999999999999999999d",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(duration("1s", "10m")("0s").is_err());
        assert!(duration("1s", "10m")("11m").is_err());
    }

    #[test]
    fn sizes() {
        let read = size("1KB", "2GiB");
        for (text, bytes) in [
            ("35MB", 35_000_000),
            ("35MiB", 36_700_160),
            ("35mib", 36_700_160),
            ("1KB", 1000),
            ("1KiB", 1024),
            ("1GB", 1_000_000_000),
            ("2GiB", 2_147_483_648),
            ("1000", 1000),
        ] {
            assert_eq!(read(text), Ok(bytes), "{text}");
        }
        for text in ["", "35M", "35 MB", "3.5MB", "+5MB", "MB", "999", "3GiB", "99999999999GiB", "35MBs"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers() {
        let read = number(1, 50);
        assert_eq!((read("1"), read("50")), (Ok(1), Ok(50)));
        for text in ["0", "51", "", "-1", "+3", "three", "3.0", "99999999999999999999"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn guids() {
        assert!(is_guid("00000002-0000-0ff1-ce00-000000000000"));
        for text in
            ["", "contoso.com", "00000002-0000-0ff1-ce00-00000000000g", "000000020000-0ff1-ce00-000000000000"]
        {
            assert!(!is_guid(text), "{text}");
        }
    }
}
