//! `mailshim run`: listen and relay until SIGTERM or SIGINT.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::exit::{SOFTWARE, USAGE};
use super::handover::Starter;
use super::{hardening, notify};
use crate::cli::serve::{self, Failed, FirstSignIn};
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::task;
use crate::telemetry;

/// Threads for what blocks (name look-ups, files). A hanging name server fills no more than these.
const BLOCKING_THREADS: usize = 4;

pub(super) fn run() -> ExitCode {
    // First of all: the environment and, soon, the memory hold secrets.
    let hardened = hardening::harden();
    // Started by exec, it would be known as "exe" to ps and pgrep.
    let _ = rustix::thread::set_name(c"mailshim");
    let (vars, starter) = match Starter::meet(std::env::vars_os()) {
        Ok(met) => met,
        Err(error) => {
            telemetry::before_the_log(&format!(
                "mailshim: process 1 does not hand the configuration over: {error}"
            ));
            return ExitCode::FAILURE;
        }
    };
    let config = match Config::from_env(vars) {
        Ok(config) => config,
        Err(errors) => {
            telemetry::before_the_log(&errors.to_string());
            return ExitCode::from(USAGE);
        }
    };
    let _log = telemetry::init(&config.log);
    if let Err(error) = hardened {
        telemetry::not_hardened(&error);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            telemetry::start_failed(&format!("the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(serve(&config, starter));
    // Not dropped: that would wait for a look-up that blocks, for 30 s with glibc.
    runtime.shutdown_background();
    code
}

async fn serve(config: &Config, starter: Starter) -> ExitCode {
    // Before a port is bound: whoever sees it open may signal at once.
    let stop = first_signal();
    telemetry::started(
        &config.identity.mailbox.to_string(),
        &config.upstream.to_string(),
        config.identity.sign_in.name(),
    );
    config.warnings.iter().for_each(|warning| telemetry::configuration_warning(warning));
    let sockets = match serve::bind(config).await {
        Ok(sockets) => sockets,
        Err(problem) => {
            telemetry::start_failed(&problem);
            return ExitCode::FAILURE;
        }
    };
    let addresses: Vec<_> = sockets.smtp.iter().filter_map(|listener| listener.local_addr().ok()).collect();
    // Before the line that whoever starts us waits for.
    let probes = sockets.http.as_ref().and_then(|listener| listener.local_addr().ok());
    probes.into_iter().for_each(telemetry::probes_listening);
    addresses.iter().for_each(|address| telemetry::listening(*address));
    // Polled for the first time when all is set up: whoever waits must not go on before a mistake is found there.
    let stop = async move {
        starter.tell_listening(&addresses);
        notify::ready(std::env::var_os(notify::NOTIFY_SOCKET).as_deref());
        stop.await;
    };
    match serve::run(config, Deadlines::default(), sockets, FirstSignIn::AtStart, stop).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::SetUp(problem)) => {
            telemetry::start_failed(&problem);
            ExitCode::from(USAGE)
        }
        Err(Failed::Died(_)) => ExitCode::from(SOFTWARE),
    }
}

/// Takes the signals from here on. Ends with the first SIGTERM or SIGINT; the second SIGINT ends the process at once.
fn first_signal() -> impl Future<Output = ()> {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            // Without handlers the signals still end the process, only without grace.
            return std::future::pending().await;
        };
        task::spawn(other_signals());
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        task::spawn(async move {
            interrupt.recv().await;
            telemetry::flush();
            std::process::exit(130);
        });
    }
}

/// SIGUSR1 raises the log's level. SIGHUP is harmless: a closed terminal, or an administrator's habit, must not end mail.
async fn other_signals() {
    let (Ok(mut hangup), Ok(mut user)) = (signal(SignalKind::hangup()), signal(SignalKind::user_defined1()))
    else {
        return;
    };
    loop {
        tokio::select! {
            _ = hangup.recv() => {}
            _ = user.recv() => telemetry::raise_level(),
        }
    }
}
