//! The rung of the fleet's engine; there is none where there is no fleet.

use super::rung::Rung;
use crate::cli::engine::{Around, reach};
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::fleet::status::status;

/// What was seen of it, if there is one.
pub(super) async fn fleet(config: &Config, deadlines: &Deadlines) -> Option<Rung> {
    let options = config.fleet.as_ref()?;
    let mut rung = Rung::new("fleet");
    let around = Around {
        ca_file: config.ca_file.as_deref(),
        egress_proxy: config.egress_proxy.as_ref(),
        identity: Some(&config.identity),
    };
    let way = match reach(options, &around, deadlines) {
        Ok(way) => way,
        Err(problem) => {
            rung.fail(problem, Some("Correct the file that is named.".to_string()));
            return Some(rung);
        }
    };
    let status = match status(options, way).await {
        Ok(status) => status,
        Err(failed) => {
            let fix = Some(failed.fix).filter(|fix| !fix.is_empty()).map(ToString::to_string);
            rung.fail(failed.words, fix);
            return Some(rung);
        }
    };
    let facts = &status.facts;
    rung.see(format!("PostgreSQL {} at {}, signed in by {}", facts.version, facts.host, options.auth.name()));
    rung.see(format!("{} replicas seen within 45 s", status.pods.len()));
    rung.fact("host", facts.host.as_str());
    rung.fact("version", facts.version.as_str());
    rung.fact("replicas", status.pods.len());
    if !facts.fsync {
        rung.fail(
            "it runs with fsync = off: after a crash it forgets what it has acknowledged",
            Some("Set fsync = on in postgresql.conf.".to_string()),
        );
    }
    Some(rung)
}
