//! Names that begin with `MAILSHIM_` and are none of ours: a slip of the pen, or Kubernetes.

use super::variables::spellings;

/// Kubernetes injects these into every pod of a namespace with a Service called `mailshim` or `mailshim-…`
/// ("service links"): they are nobody's mistake.
pub(super) fn is_service_link(name: &str, value: Option<&str>) -> bool {
    let Some(rest) = name.strip_prefix("MAILSHIM_") else {
        return false;
    };
    if !rest.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
        return false;
    }
    // `mailshim-relay` gives MAILSHIM_RELAY_SERVICE_HOST; `mailshim` itself gives MAILSHIM_SERVICE_HOST.
    let rest = format!("_{rest}");
    rest.ends_with("_SERVICE_HOST")
        || rest.ends_with("_SERVICE_PORT")
        || rest.split_once("_SERVICE_PORT_").is_some_and(|(_, port_name)| !port_name.is_empty())
        || (rest.ends_with("_PORT") && value.is_some_and(has_protocol))
        || rest.match_indices("_PORT_").any(|(at, port)| is_port_and_protocol(&rest[at + port.len()..]))
}

fn has_protocol(value: &str) -> bool {
    ["tcp://", "udp://", "sctp://"].iter().any(|protocol| value.starts_with(protocol))
}

/// `25_TCP`, `25_TCP_ADDR`, `25_TCP_PORT`, `25_TCP_PROTO`.
fn is_port_and_protocol(text: &str) -> bool {
    let parts: Vec<_> = text.split('_').collect();
    let (port, protocol) = match parts[..] {
        [port, protocol] | [port, protocol, "ADDR" | "PORT" | "PROTO"] => (port, protocol),
        _ => return false,
    };
    port.parse::<u16>().is_ok() && matches!(protocol, "TCP" | "UDP" | "SCTP")
}

/// What other programs call it, without the prefix, and what it is here: too far away for a slip of the pen.
const SYNONYMS: [(&str, &str); 24] = [
    ("ADDRESS", "MAILSHIM_LISTEN"),
    ("APP_ID", "MAILSHIM_CLIENT_ID"),
    ("APPLICATION_ID", "MAILSHIM_CLIENT_ID"),
    ("AUTHORITY", "AZURE_AUTHORITY_HOST"),
    ("BIND", "MAILSHIM_LISTEN"),
    ("DEBUG", "MAILSHIM_LOG"),
    ("DIRECTORY_ID", "MAILSHIM_TENANT_ID"),
    ("EMAIL", "MAILSHIM_MAILBOX"),
    ("HTTPS_PROXY", "MAILSHIM_EGRESS_PROXY"),
    ("HTTP_PROXY", "MAILSHIM_EGRESS_PROXY"),
    ("LOG_LEVEL", "MAILSHIM_LOG"),
    ("METRICS_LISTEN", "MAILSHIM_HTTP_LISTEN"),
    ("PORT", "MAILSHIM_LISTEN"),
    ("PROXY", "MAILSHIM_EGRESS_PROXY"),
    ("RATE_LIMIT", "MAILSHIM_MESSAGES_PER_MINUTE"),
    ("RELAYHOST", "MAILSHIM_UPSTREAM"),
    ("SECRET", "MAILSHIM_CLIENT_SECRET"),
    ("SENDER", "MAILSHIM_FROM"),
    ("SMTP_HOST", "MAILSHIM_UPSTREAM"),
    ("SMTP_PASSWORD", "MAILSHIM_PASSWORD"),
    ("SMTP_PORT", "MAILSHIM_UPSTREAM"),
    ("SMTP_USER", "MAILSHIM_MAILBOX"),
    ("USER", "MAILSHIM_MAILBOX"),
    ("USERNAME", "MAILSHIM_MAILBOX"),
];

/// The name that was probably meant.
pub(super) fn did_you_mean(name: &str) -> Option<String> {
    let rest = name.strip_prefix("MAILSHIM_")?;
    if let Some((_, meant)) = SYNONYMS.iter().find(|(other, _)| *other == rest) {
        return Some((*meant).to_string());
    }
    // Half of a short name is another word, and four edits are no slip.
    let near = (rest.len() / 2).min(3);
    spellings()
        .filter_map(|known| {
            let distance = edit_distance(rest, known.strip_prefix("MAILSHIM_")?);
            (distance <= near).then_some((distance, known))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Levenshtein's distance, row by row; a name of any length costs at most one row of a known name.
fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, distance) in [("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("abc", "abc", 0)]
        {
            assert_eq!(edit_distance(a, b), distance, "{a} {b}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        for (name, meant) in [
            ("MAILSHIM_LISTENN", Some("MAILSHIM_LISTEN")),
            ("MAILSHIM_MAIL_BOX", Some("MAILSHIM_MAILBOX")),
            ("MAILSHIM_TENANT", Some("MAILSHIM_TENANT_ID")),
            ("MAILSHIM_CLIENTSECRET", Some("MAILSHIM_CLIENT_SECRET")),
            ("MAILSHIM_PASSWORD_FIEL", Some("MAILSHIM_PASSWORD_FILE")),
            ("MAILSHIM_LOG_FORMATT", Some("MAILSHIM_LOG_FORMAT")),
            ("MAILSHIM_LOG_LEVEL", Some("MAILSHIM_LOG")),
            ("MAILSHIM_SMTP_HOST", Some("MAILSHIM_UPSTREAM")),
            ("MAILSHIM_USERNAME", Some("MAILSHIM_MAILBOX")),
            ("MAILSHIM_Listen", None),
            ("MAILSHIM_FOO", None),
            ("MAILSHIM_", None),
            ("MAILSHIM_SOMETHING_ELSE", None),
        ] {
            assert_eq!(did_you_mean(name).as_deref(), meant, "{name}");
        }
    }

    #[test]
    fn a_synonym_is_no_name_of_ours_and_leads_to_one() {
        for (other, meant) in SYNONYMS {
            assert!(spellings().all(|known| known != format!("MAILSHIM_{other}")), "{other}");
            assert!(spellings().any(|known| known == meant), "{meant}");
        }
    }

    #[test]
    fn service_links_of_kubernetes() {
        let port = "tcp://10.0.0.7:25";
        for (name, value, expected) in [
            ("MAILSHIM_SERVICE_HOST", "10.0.0.7", true),
            ("MAILSHIM_SERVICE_PORT", "25", true),
            ("MAILSHIM_SERVICE_PORT_SMTP", "25", true),
            ("MAILSHIM_PORT", port, true),
            ("MAILSHIM_PORT", "udp://10.0.0.7:25", true),
            ("MAILSHIM_PORT_25_TCP", port, true),
            ("MAILSHIM_PORT_25_TCP_ADDR", "10.0.0.7", true),
            ("MAILSHIM_PORT_25_TCP_PORT", "25", true),
            ("MAILSHIM_PORT_25_TCP_PROTO", "tcp", true),
            ("MAILSHIM_XYZ_SERVICE_HOST", "10.0.0.7", true),
            ("MAILSHIM_XYZ_SERVICE_PORT_METRICS_2", "9025", true),
            ("MAILSHIM_XYZ_PORT", port, true),
            ("MAILSHIM_XYZ_PORT_9025_TCP_ADDR", "10.0.0.7", true),
            ("MAILSHIM_A_PORT_B_PORT_25_TCP", port, true),
            ("MAILSHIM_PORT", "25", false),
            ("MAILSHIM_PORT_SMTP", "25", false),
            ("MAILSHIM_PORT_99999_TCP", port, false),
            ("MAILSHIM_PORT_25_TCP_NAME", port, false),
            ("MAILSHIM_SERVICE_PORT_", "25", false),
            ("MAILSHIM_SERVICE", "25", false),
            ("MAILSHIM_service_host", "10.0.0.7", false),
            ("MAILSHIMX_SERVICE_HOST", "10.0.0.7", false),
        ] {
            assert_eq!(is_service_link(name, Some(value)), expected, "{name}={value}");
        }
        assert!(!is_service_link("MAILSHIM_PORT", None));
    }
}
