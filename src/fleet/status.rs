//! How a fleet stands, for `mailshim fleet status`: replicas, who holds which connection, the pace, pauses.

use super::engine::{Engine, Failed, Reach, ServerFacts};
use super::options::FleetOptions;
use super::schema;

/// A fleet as its engine sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What the server says of itself.
    pub facts: ServerFacts,
    /// A line for each replica that was seen within 45 s.
    pub pods: Vec<String>,
    /// Every mailbox.
    pub mailboxes: Vec<MailboxStatus>,
}

/// One mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailboxStatus {
    /// Its address.
    pub name: String,
    /// What is known of it, a line each.
    pub lines: Vec<String>,
}

/// Asks the engine.
///
/// # Errors
/// A sentence: it is not reached, or the schema is not there.
pub async fn status(options: &FleetOptions, reach: Reach) -> Result<Status, Failed> {
    let engine = Engine::new(options, reach);
    let facts = engine.connect(&options.schema).await?;
    schema::judge(&facts, options)?;
    let s = &options.schema;
    let pods = format!(
        "select format('%s, seen %s s ago, mailshim %s: %s connections, %s a minute, %s recipients a day', name, \
         round(extract(epoch from clock_timestamp() - seen)), version, connections, per_minute, per_day) \
         from {s}.pod where seen > clock_timestamp() - interval '45 seconds' order by name"
    );
    let slots = format!(
        "select mailbox, format('connection %s: %s since %s s', n, pod, round(extract(epoch from clock_timestamp() - taken))) \
         from {s}.slot where until > clock_timestamp() order by mailbox, n"
    );
    let mailboxes = format!(
        "select id, name, \
         format('%s mails in the last minute, %s booked', \
           (select count(*) from unnest(sent) t where t between clock_timestamp() - interval '1 minute' and clock_timestamp()), \
           (select count(*) from unnest(sent) t where t > clock_timestamp())), \
         case when paused_until > clock_timestamp() then format('paused for %s s: %s', \
           round(extract(epoch from paused_until - clock_timestamp())), paused_by) end, \
         case when breaker_until is not null then format('no sign-in for %s s: %s', \
           greatest(0, round(extract(epoch from breaker_until - clock_timestamp()))), breaker_by) end, \
         case when connections is not null then format('%s connections after a 432', connections) end, \
         (select format('%s replicas wait for a connection', count(*)) from {s}.waiting w \
           where w.mailbox = m.id and w.seen > clock_timestamp() - interval '6 seconds' having count(*) > 0), \
         (select format('%s recipients in the last 24 hours', sum(count)) from {s}.recipients r where r.mailbox = m.id \
           having sum(count) > 0) \
         from {s}.mailbox m order by name"
    );
    let pods = engine.call(&pods, &[]).await?.iter().map(|row| row.get(0)).collect();
    let slots: Vec<(i64, String)> =
        engine.call(&slots, &[]).await?.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rows = engine.call(&mailboxes, &[]).await?;
    let mailboxes = rows.iter().map(|row| {
        let id: i64 = row.get(0);
        let mut lines: Vec<String> =
            (2..8).filter_map(|column| row.get::<_, Option<String>>(column)).collect();
        lines.extend(slots.iter().filter(|(mailbox, _)| *mailbox == id).map(|(_, line)| line.clone()));
        MailboxStatus { name: row.get(1), lines }
    });
    Ok(Status { facts, pods, mailboxes: mailboxes.collect() })
}
