//! The schema: made by its owner, used by a role with fewer rights.

use super::engine::{Engine, Failed, Reach, ServerFacts};
use super::options::FleetOptions;

/// The schema that this program makes and needs. It runs on the one before, too.
pub(super) const VERSION: i32 = 1;
/// The oldest schema that it runs on.
const OLDEST: i32 = 1;

/// The SQL that makes the schema of this name, or brings it up to date.
pub fn script(schema: &str) -> String {
    include_str!("schema.sql").replace("{schema}", schema).replace("{version}", &VERSION.to_string())
}

/// Makes the schema, or brings it up to date, all or nothing.
///
/// # Errors
/// A sentence.
pub async fn init(options: &FleetOptions, reach: Reach) -> Result<ServerFacts, Failed> {
    let engine = Engine::new(options, reach);
    let facts = engine.connect(&options.schema).await?;
    // Without a lock two at once could both find that a table is missing.
    let script =
        format!("begin;\nselect pg_advisory_xact_lock(7302117);\n{}\ncommit;", script(&options.schema));
    engine.run(&script).await?;
    Ok(ServerFacts { schema: Some(VERSION), ..facts })
}

/// Whether this program can run on what was found.
pub(super) fn judge(facts: &ServerFacts, options: &FleetOptions) -> Result<(), Failed> {
    match facts.schema {
        Some(version) if (OLDEST..=VERSION).contains(&version) => Ok(()),
        Some(version) => Err(Failed::new(
            format!("the schema {} has version {version}, and this mailshim needs {VERSION}", options.schema),
            "Run mailshim fleet init of the newer of the two.",
        )),
        None => Err(Failed::new(
            format!("there is no schema {} that the role {} may use", options.schema, options.user),
            "Run mailshim fleet init as its owner, and grant the role USAGE, EXECUTE and DML on it.",
        )),
    }
}
