//! What others are given to watch the shim with speaks of what is there: rules, their tests, the dashboard, the runbook.

use std::collections::BTreeSet;

use office365::{Office365, Settings};

use super::http::start;

const RULES: &str = include_str!("../../../examples/prometheus/mailshim.rules.yml");
const RULE_TESTS: &str = include_str!("../../../examples/prometheus/mailshim.test.yml");
const DASHBOARD: &str = include_str!("../../../examples/prometheus/grafana.json");
const RUNBOOK: &str = include_str!("../../../docs/runbook.md");

/// Every word that begins so.
fn words<'a>(text: &'a str, start: &'a str) -> BTreeSet<&'a str> {
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let words = text.split(|c| !letter(c)).filter(|word| word.starts_with(start));
    words.map(|word| word.trim_end_matches(':')).filter(|word| word.len() > start.len()).collect()
}

#[test]
fn every_metric_that_is_spoken_of_is_in_a_live_scrape_from_the_start() {
    let office365 = Office365::start(Settings::default());
    let (_shim, probes) = start(&office365, "127.0.0.1:0", &[]);
    let scrape = probes.ask("GET", "/metrics").body;
    let samples = scrape.lines().filter(|line| !line.starts_with('#'));
    let there: BTreeSet<_> = samples.filter_map(|line| line.split(['{', ' ']).next()).collect();
    for text in [RULES, RULE_TESTS, DASHBOARD, RUNBOOK] {
        let spoken_of = words(text, "mailshim_");
        assert!(text == RUNBOOK || spoken_of.len() > 5, "{spoken_of:?}");
        let gone: Vec<_> = spoken_of.difference(&there).collect();
        assert!(gone.is_empty(), "not in /metrics: {gone:?}\n{scrape}");
    }
}

#[test]
fn every_alert_has_a_heading_a_link_to_it_and_a_test_and_no_heading_is_left_over() {
    let alerts: BTreeSet<_> =
        RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    for alert in &alerts {
        let heading = format!("\n## {alert}\n");
        assert!(RUNBOOK.contains(&heading), "no heading: {alert}");
        assert!(RULES.contains(&format!("runbook: docs/runbook.md#{}\n", alert.to_lowercase())), "{alert}");
        let tests = RULE_TESTS.split("alertname: ").filter(|test| test.starts_with(&format!("{alert}\n")));
        assert!(tests.into_iter().any(|test| test.contains("exp_labels")), "no test wakes {alert}");
    }
    let headings = RUNBOOK.lines().filter_map(|line| line.strip_prefix("## Mailshim"));
    for heading in headings {
        assert!(alerts.contains(format!("Mailshim{heading}").as_str()), "of no alert: {heading}");
    }
}
