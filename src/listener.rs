//! The loopback sockets: binding, accepting, and the way from the first signal to the end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::accounts::{Accounts, Allowance};
use crate::config::{Config, Listen, LoopbackAddr, SignIn};
use crate::deadlines::Deadlines;
use crate::handoff::Delivery;
use crate::identity::Identity;
use crate::identity::http::Http;
use crate::message::Budget;
use crate::message::policy::Policy;
use crate::relay::Relay;
use crate::session::Sessions;
use crate::session::machine::Limits;
use crate::smtp::reply::Reply;
use crate::telemetry;
use crate::upstream::connection::Connector;
use crate::upstream::dial::Dialer;
use crate::upstream::tls;
use crate::upstream::watch::Watcher;

/// How far the process has come on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Mail is taken.
    Running,
    /// What is in hand is finished; nothing new is taken.
    Draining,
    /// Nothing may wait any longer.
    Ending,
}

/// Why the process cannot go on.
#[derive(Debug)]
pub enum Failed {
    /// Something in the set-up that is only seen when it is used.
    SetUp(String),
    /// A part that everything needs has panicked.
    Died(JoinError),
}

/// What the process listens on.
#[derive(Debug)]
pub struct Sockets {
    /// The app's.
    pub smtp: Vec<TcpListener>,
    /// `/livez`, `/readyz` and `/metrics`.
    pub http: Option<TcpListener>,
}

/// Binds every address.
///
/// # Errors
/// A sentence that says how to go on.
pub async fn bind(config: &Config) -> Result<Sockets, String> {
    let smtp = bind_smtp(&config.listen).await?;
    let http = match config.http_listen {
        None => None,
        Some(address) => match TcpListener::bind(address).await {
            Ok(listener) => Some(listener),
            Err(error) => {
                let problem = format!(
                    "cannot listen on {address} for /metrics and /readyz ({error}): set MAILSHIM_HTTP_LISTEN to \
                     another address, or to off"
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

async fn bind_smtp(listen: &Listen) -> Result<Vec<TcpListener>, String> {
    let mut listeners = Vec::new();
    for address in &listen.addresses {
        match TcpListener::bind(address.get()).await {
            Ok(listener) => listeners.push(listener),
            // Nobody asked for IPv6; a host without it is fine.
            Err(error) if listen.is_default && address.get().is_ipv6() && is_no_ipv6(&error) => {}
            Err(error) => return Err(why_not_bound(address.get(), &error)),
        }
    }
    Ok(listeners)
}

fn is_no_ipv6(error: &io::Error) -> bool {
    // EAFNOSUPPORT has no ErrorKind of its own.
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97)
}

fn why_not_bound(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let fix = match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 are reserved here: give the container the capability NET_BIND_SERVICE, or the sysctl \
             net.ipv4.ip_unprivileged_port_start={port}, or set MAILSHIM_LISTEN=127.0.0.1:2525 and the app to port 2525"
        ),
        io::ErrorKind::AddrInUse => format!(
            "another program listens there, maybe a mail server of the image or a second mailshim: stop it (ss -ltnp \
             shows it), or set MAILSHIM_LISTEN to another port than {port}"
        ),
        io::ErrorKind::AddrNotAvailable => {
            "this host does not have that address: leave it out of MAILSHIM_LISTEN".to_string()
        }
        _ => "check MAILSHIM_LISTEN".to_string(),
    };
    format!("cannot listen on {address} ({error}): {fix}")
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
    stop: impl Future<Output = ()>,
) -> Result<(), Failed> {
    let (life, seen_life) = watch::channel(Life::Running);
    let deadlines = Arc::new(deadlines);
    let (connector, identity) = upstream(config, &deadlines, &Watchers::default()).map_err(Failed::SetUp)?;
    let allowance = Allowance {
        connections: config.max_connections,
        messages_per_minute: config.messages_per_minute,
        recipients_per_day: config.recipients_per_day,
    };
    let login_as_sender = config.login_as_sender.clone();
    let accounts =
        Arc::new(Accounts::new(&config.mailbox.to_string(), connector, allowance, login_as_sender));
    let account = Arc::clone(accounts.main());
    let relay = Relay::new(Arc::clone(&accounts), config.hold, seen_life.clone());
    let sessions = Sessions {
        limits: Limits {
            hostname: config.hostname.clone(),
            max_message_size: config.max_message_size,
            max_recipients: config.max_recipients,
            login_required: config.app_login.is_some(),
        },
        app_login: config.app_login.clone(),
        delivery: Delivery::Direct(relay),
        policy: Arc::new(policy(config)),
        budget: Budget::default(),
        deadlines,
        life: seen_life,
    };

    // Each of these runs for as long as mail is taken; one that ends before has panicked.
    let mut vital: JoinSet<()> = JoinSet::new();
    vital.spawn(async move { identity.keep_fresh(telemetry::renewal).await });
    let permits = Arc::new(Semaphore::new(config.max_sessions));
    if let Some(http) = sockets.http {
        vital.spawn(telemetry::http::serve(http, sessions.budget.clone()));
        // Somebody may ask whether mail would go out: it is found out at the start, not by the first mail.
        vital.spawn(async move { account.keep_ready().await });
    }
    for listener in sockets.smtp {
        vital.spawn(accept(listener, sessions.clone(), Arc::clone(&permits)));
    }
    let stop = async {
        stop.await;
        telemetry::shutting_down(config.shutdown_delay, config.shutdown_grace);
        sleep(config.shutdown_delay).await;
    };
    tokio::select! {
        () = stop => {}
        Some(Err(died)) = vital.join_next() => return Err(Failed::Died(died)),
    }

    // Dropping the tasks closes the listeners: a new connection is refused from here on.
    vital.shutdown().await;
    life.send_replace(Life::Draining);
    let all_sessions_ended = || permits.acquire_many(u32::try_from(config.max_sessions).unwrap_or(u32::MAX));
    let last_words = (config.shutdown_grace / 10).min(Duration::from_secs(1));
    if timeout(config.shutdown_grace - last_words, all_sessions_ended()).await.is_err() {
        // What still waits is answered now.
        life.send_replace(Life::Ending);
        let left = timeout(last_words, all_sessions_ended()).await.is_err();
        telemetry::grace_ended(left.then(|| config.max_sessions - permits.available_permits()));
    }
    let _ = timeout(last_words, accounts.close()).await;
    telemetry::stopped();
    Ok(())
}

/// The sender policy that the configuration asks for.
pub fn policy(config: &Config) -> Policy {
    Policy {
        from_policy: config.from_policy,
        from: config.from.clone(),
        null_sender_stays: config.sign_in == SignIn::None,
        allowed_senders: config.allowed_senders.clone(),
        allowed_recipients: config.allowed_recipients.clone(),
        login_as_sender: config.login_as_sender.clone(),
        redirect_to: config.redirect_to.clone(),
        hostname: config.hostname.clone(),
        domain: config.mailbox.domain().to_string(),
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
    let upstream_tls = match &config.client_certificate {
        // One store of roots for both, where nobody watches: it takes memory.
        None if !watchers.upstream.is_somebody() => Arc::clone(&tls),
        certificate => tls::watched_client_config(roots, certificate.as_ref(), &watchers.upstream)?,
    };
    let dialer = Dialer::new(deadlines, config.egress_proxy.clone());
    let http = Http::new(dialer.watched_by(watchers.token.clone()), Arc::clone(&tls), deadlines);
    let identity = Arc::new(Identity::new(config, http));
    let connector = Connector {
        dialer: dialer.watched_by(watchers.upstream.clone()),
        tls: upstream_tls,
        host: config.upstream.host.clone(),
        port: config.upstream.port,
        hostname: config.hostname.clone(),
        identity: Arc::clone(&identity),
        deadlines: Arc::clone(deadlines),
    };
    Ok((connector, identity))
}

/// Accepts for as long as it is polled; the sessions live on without it.
async fn accept(listener: TcpListener, sessions: Sessions, permits: Arc<Semaphore>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => match Arc::clone(&permits).try_acquire_owned() {
                // The listener is bound to loopback; this holds even if that were ever to break.
                _ if LoopbackAddr::new(peer).is_none() => telemetry::peer_refused(peer),
                // A panic ends this one task: it must not cost the other sessions their mail.
                Ok(permit) => drop(tokio::spawn(serve(sessions.clone(), socket, permit))),
                Err(_) => too_many(&socket),
            },
            Err(error) => {
                // Out of descriptors, usually: trying again at once would only burn the processor.
                telemetry::accept_failed(&error);
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn serve(sessions: Sessions, socket: TcpStream, permit: OwnedSemaphorePermit) {
    // Replies are small and waited for.
    let _ = socket.set_nodelay(true);
    let ending = sessions.serve(Box::new(socket)).await;
    telemetry::session_ended(ending);
    drop(permit);
}

/// RFC 5321 section 3.1 knows 554 here; 421 says that it may pass later.
fn too_many(socket: &TcpStream) {
    telemetry::too_many_sessions();
    let reply = Reply::new(421, "4.3.2 Too many connections at once (MAILSHIM_MAX_SESSIONS)");
    let _ = socket.try_write(&reply.encode());
}
