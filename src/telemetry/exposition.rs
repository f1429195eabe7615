//! The metrics' text: OpenMetrics as its library writes it, and Prometheus' own format 0.0.4, made of that.

use std::fmt::Write as _;

/// OpenMetrics' content type.
pub(super) const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The plain format's.
pub(super) const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// OpenMetrics names a family without its suffix, and knows units, infos and an end; the plain format names each series
/// as it is, and knows none of them.
pub(super) fn plain(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    let mut help = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // The type, which decides on the name, comes behind it.
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                kind => ("", kind),
            };
            // Writing into a String does not fail.
            if let Some((_, words)) = help.take() {
                let _ = writeln!(out, "# HELP {name}{suffix} {words}");
            }
            let _ = writeln!(out, "# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_their_series() {
        let openmetrics = "\
# HELP m_build The program.
# TYPE m_build info
m_build_info{version=\"1\"} 1
# HELP m_octets_bytes Content.
# TYPE m_octets_bytes counter
# UNIT m_octets_bytes bytes
m_octets_bytes_total 10
# HELP m_ready 1 while ready.
# TYPE m_ready gauge
m_ready 0
# HELP m_phase_seconds Time.
# TYPE m_phase_seconds histogram
# UNIT m_phase_seconds seconds
m_phase_seconds_sum 0.5
m_phase_seconds_count 1
m_phase_seconds_bucket{le=\"+Inf\"} 1
# EOF
";
        let plain_text = "\
# HELP m_build_info The program.
# TYPE m_build_info gauge
m_build_info{version=\"1\"} 1
# HELP m_octets_bytes_total Content.
# TYPE m_octets_bytes_total counter
m_octets_bytes_total 10
# HELP m_ready 1 while ready.
# TYPE m_ready gauge
m_ready 0
# HELP m_phase_seconds Time.
# TYPE m_phase_seconds histogram
m_phase_seconds_sum 0.5
m_phase_seconds_count 1
m_phase_seconds_bucket{le=\"+Inf\"} 1
";
        assert_eq!(plain(openmetrics), plain_text);
    }
}
