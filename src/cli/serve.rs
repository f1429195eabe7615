//! The running shim: every room wired to the next by what the configuration says, and the way from the first signal to
//! the end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::engine::{Around, reach};
use super::spooling::{Spool, SpoolFailed, tell_forgotten_mail};
use super::trim;
use crate::alert;
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::delivery::Delivery;
use crate::delivery::directory::Accounts;
use crate::delivery::intake::Intake;
use crate::delivery::relay::Relay;
use crate::fleet::{Fleet, Shares};
use crate::identity::{Identity, RenewalEvent};
use crate::life::Life;
use crate::message::Budget;
use crate::redact::without_error_numbers;
use crate::session::accept::{self, accept};
use crate::session::places::Places;
use crate::session::{Memory, Sessions};
use crate::task;
use crate::telemetry;
use crate::transport::dial::Dialer;
use crate::transport::http::Http;
use crate::transport::tls;
use crate::transport::watch::Watcher;
use crate::upstream::connector::Connector;

/// Why the process cannot go on.
#[derive(Debug)]
pub enum Failed {
    /// Something in the set-up that is only seen when it is used.
    SetUp(String),
    /// A part that everything needs has panicked.
    Died(JoinError),
}

impl From<SpoolFailed> for Failed {
    fn from(failed: SpoolFailed) -> Self {
        match failed {
            SpoolFailed::SetUp(problem) => Self::SetUp(problem),
            SpoolFailed::Died(died) => Self::Died(died),
        }
    }
}

/// What the process listens on.
#[derive(Debug)]
pub struct Sockets {
    /// The app's.
    pub smtp: Vec<TcpListener>,
    /// `/livez`, `/readyz` and `/metrics`.
    pub http: Option<TcpListener>,
}

/// When the first sign-in is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstSignIn {
    /// At the start: what is wrong is told before the first mail finds it.
    AtStart,
    /// With the first mail, for tests that count connections.
    WithFirstMail,
}

/// Binds every address.
///
/// # Errors
/// A sentence that says how to go on.
pub async fn bind(config: &Config) -> Result<Sockets, String> {
    let smtp = accept::bind(&config.listen).await?;
    let http = match config.http_listen {
        None => None,
        Some(address) => match TcpListener::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                let problem = format!(
                    "cannot listen on {address} for /metrics and /readyz ({}): set MAILSHIM_HTTP_LISTEN to \
                     another address, or to off",
                    without_error_numbers(&error.to_string())
                );
                // Nobody asked for it, and mail goes without it.
                if !config.http_listen_is_default {
                    return Err(problem);
                }
                telemetry::configuration_warning(&problem);
                None
            }
        },
    };
    Ok(Sockets { smtp, http })
}

/// Serves until `stop` ends, then drains: `config.shutdown_delay` of normal life, then at most
/// `config.shutdown_grace` to finish what is in hand.
///
/// # Errors
/// The set-up is wrong where only its use shows it, or a part that everything needs has died.
pub async fn run(
    config: &Config,
    deadlines: Deadlines,
    sockets: Sockets,
    first_sign_in: FirstSignIn,
    stop: impl Future<Output = ()>,
) -> Result<(), Failed> {
    let (life, seen_life) = watch::channel(Life::Running);
    let deadlines = Arc::new(deadlines);
    let (connector, identity) = upstream(config, &deadlines, &Watchers::default()).map_err(Failed::SetUp)?;
    let fleet = fleet(config, &deadlines).map_err(Failed::SetUp)?;
    let login_as_sender = config.policy.login_as_sender.clone();
    let accounts = Arc::new(Accounts::new(
        Arc::clone(&identity),
        connector,
        config.allowance,
        login_as_sender,
        fleet.clone(),
        seen_life.clone(),
    ));
    let account = Arc::clone(accounts.main());
    let budget = Budget::default();
    // Each of these runs for as long as mail is taken; one that ends before has panicked.
    let mut vital: JoinSet<()> = JoinSet::new();
    let mut spool = match &config.spool {
        Some(options) => {
            let spool = Spool::start(options, config, &accounts, &budget, &seen_life, &mut vital);
            Some(spool.map_err(Failed::SetUp)?)
        }
        None => {
            tell_forgotten_mail();
            None
        }
    };
    let delivery = match &spool {
        Some(spool) => Delivery::Spooled(Intake::new(spool.store.clone(), Arc::clone(&accounts))),
        None => Delivery::Direct(Relay::new(Arc::clone(&accounts), config.hold, seen_life.clone())),
    };
    let sessions = Sessions {
        limits: config.session.limits.clone(),
        app_login: config.session.app_login.clone(),
        delivery,
        policy: Arc::new(config.policy.clone()),
        budget,
        memory: Memory::default(),
        deadlines: Arc::clone(&deadlines),
        life: seen_life,
    };

    // Not vital: mail goes on without it. Dropped at the end, with what it has not told.
    let mut woken = JoinSet::new();
    if let Some(options) = config.alerts.clone() {
        let http = alert_http(config, &deadlines).map_err(Failed::SetUp)?;
        telemetry::alerts_are_wanted();
        woken.spawn(task::boxed(async move { alert::run(&options, &http).await }));
    }
    vital.spawn(task::boxed(async move {
        identity.keep_fresh(|event| tell_renewal(identity.mailbox(), event)).await;
    }));
    let max_sessions = sessions_that_fit(config.session.max_sessions, getrlimit(Resource::Nofile).current);
    if max_sessions < config.session.max_sessions {
        telemetry::few_descriptors(max_sessions, config.session.max_sessions);
    }
    let mut fleet_failed = fleet.clone().map(|fleet| tokio::spawn(async move { fleet.keep().await }));
    let places = Places::new(max_sessions, deadlines.app_silence);
    if let Some(http) = sockets.http {
        let sources = telemetry::Sources {
            mailbox: account.mailbox().to_string(),
            started: SystemTime::now(),
            limit: config.allowance.messages_per_minute,
            connections: config.allowance.connections,
            spool: spool.is_some(),
            fleet: fleet.is_some(),
            obstacles: Box::new({
                let accounts = Arc::clone(&accounts);
                move |most| accounts.obstacles(most)
            }),
        };
        vital.spawn(task::boxed(telemetry::http::serve(http, sources, sessions.budget.clone())));
    }
    // The log tells whether mail would go out, whether or not anybody can ask over HTTP.
    if first_sign_in == FirstSignIn::AtStart {
        vital.spawn(task::boxed(async move { account.keep_ready().await }));
    }
    let (small, every) = (Arc::clone(&places), deadlines.trim);
    vital.spawn(task::boxed(async move { trim::keep_small(&small, every).await }));
    for listener in sockets.smtp {
        vital.spawn(task::boxed(accept(listener, sessions.clone(), Arc::clone(&places))));
    }
    let stop = async {
        stop.await;
        telemetry::shutting_down(config.shutdown_delay, config.shutdown_grace);
        sleep(config.shutdown_delay).await;
    };
    tokio::select! {
        () = stop => {}
        Some(Err(died)) = vital.join_next() => return Err(Failed::Died(died)),
        failed = Spool::failed(&mut spool) => return Err(failed.into()),
        failed = ended(&mut fleet_failed) => return Err(failed),
    }

    // Dropping the tasks closes the listeners: a new connection is refused from here on.
    vital.shutdown().await;
    life.send_replace(Life::Draining);
    let last_words = (config.shutdown_grace / 10).min(Duration::from_secs(1));
    let ends = Instant::now() + config.shutdown_grace - last_words;
    if timeout_at(ends, places.all_free()).await.is_err() {
        // What still waits is answered now.
        life.send_replace(Life::Ending);
        let left = timeout(last_words, places.all_free()).await.is_err();
        telemetry::grace_ended(left.then(|| places.taken()));
    }
    if let Some(spool) = spool {
        // No more mail comes from here on.
        spool.end(ends, config.shutdown_grace, last_words, &life).await;
    }
    let _ = timeout(last_words, accounts.close()).await;
    if let Some(fleet) = &fleet {
        // What this replica had is another's at once.
        fleet.finish(last_words).await;
    }
    telemetry::stopped();
    Ok(())
}

/// This process's part in its fleet, if it has one.
fn fleet(config: &Config, deadlines: &Deadlines) -> Result<Option<Fleet>, String> {
    let Some(options) = &config.fleet else { return Ok(None) };
    let around = Around {
        ca_file: config.ca_file.as_deref(),
        egress_proxy: config.egress_proxy.as_ref(),
        identity: Some(&config.identity),
    };
    let shares = Shares {
        connections: config.allowance.connections,
        per_minute: config.allowance.messages_per_minute,
        per_day: config.allowance.recipients_per_day,
    };
    Ok(Some(Fleet::new(options.clone(), shares, reach(options, &around, deadlines)?)))
}

/// Ends when the fleet cannot be used, or the task that keeps it has panicked; never without one.
async fn ended(fleet: &mut Option<JoinHandle<Result<(), String>>>) -> Failed {
    let Some(fleet) = fleet else { return std::future::pending().await };
    match fleet.await {
        Ok(Err(problem)) => Failed::SetUp(problem),
        Ok(Ok(())) => std::future::pending().await,
        Err(died) => Failed::Died(died),
    }
}

/// Descriptors that are open when we listen: the streams of the process, the runtime's, the listeners.
const OPEN_DESCRIPTORS: u64 = 16;
/// What is kept for connections to Office 365 and the token service, look-ups, probes and files: an app that takes every
/// descriptor for sessions must not keep its own mail from leaving.
const KEPT_DESCRIPTORS: u64 = 16;

/// The sessions at once that the limit on open files leaves room for; no limit is `None`.
fn sessions_that_fit(wanted: usize, limit: Option<u64>) -> usize {
    let room = limit.map(|limit| limit.saturating_sub(OPEN_DESCRIPTORS + KEPT_DESCRIPTORS).max(1));
    room.and_then(|room| usize::try_from(room).ok()).map_or(wanted, |room| wanted.min(room))
}

fn tell_renewal(mailbox: &str, event: &RenewalEvent) {
    match event {
        RenewalEvent::Renewed { good_for, renew_in, .. } => telemetry::token_renewed(*good_for, *renew_in),
        RenewalEvent::Failed { fault, again_in, still_good_for } => {
            telemetry::token_not_renewed(mailbox, fault, *again_in, *still_good_for);
        }
    }
}

/// Who is told what is seen on the two ways out: nobody, but in `check`.
#[derive(Clone, Debug, Default)]
pub struct Watchers {
    /// Of the way to Office 365.
    pub upstream: Watcher,
    /// Of the way to the token service.
    pub token: Watcher,
}

/// How connections are opened, and as whom.
///
/// # Errors
/// A file that the configuration names cannot be used.
pub fn upstream(
    config: &Config,
    deadlines: &Arc<Deadlines>,
    watchers: &Watchers,
) -> Result<(Connector, Arc<Identity>), String> {
    let roots = config.ca_file.as_deref();
    // The token service is not shown the certificate: it is for the connector.
    let tls = tls::watched_client_config(roots, None, &watchers.token)?;
    let upstream_tls = match &config.connector_certificate {
        // One store of roots for both, where nobody watches: it takes memory.
        None if !watchers.upstream.is_somebody() => Arc::clone(&tls),
        certificate => tls::watched_client_config(roots, certificate.as_ref(), &watchers.upstream)?,
    };
    let dialer = Dialer::new(deadlines, config.egress_proxy.clone());
    let http = Http::new(dialer.watched_by(watchers.token.clone()), Arc::clone(&tls), deadlines);
    let identity = Arc::new(Identity::new(&config.identity, http));
    let connector = Connector {
        dialer: dialer.watched_by(watchers.upstream.clone()),
        tls: upstream_tls,
        host: config.upstream.host.clone(),
        port: config.upstream.port,
        hostname: config.hostname.clone(),
        deadlines: Arc::clone(deadlines),
    };
    Ok((connector, identity))
}

/// The way to whoever is to be woken: as to the token service, and without its watcher.
fn alert_http(config: &Config, deadlines: &Arc<Deadlines>) -> Result<Http, String> {
    let tls = tls::watched_client_config(config.ca_file.as_deref(), None, &Watcher::default())?;
    Ok(Http::new(Dialer::new(deadlines, config.egress_proxy.clone()), tls, deadlines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_leave_descriptors_for_the_mail_to_leave_by() {
        for (limit, sessions) in [(None, 64), (Some(1024), 64), (Some(96), 64), (Some(95), 63), (Some(10), 1)]
        {
            assert_eq!(sessions_that_fit(64, limit), sessions, "{limit:?}");
        }
    }
}
