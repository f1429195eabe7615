//! `mailshim run`: listen and relay until SIGTERM or SIGINT.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::USAGE;
use crate::config::Config;
use crate::deadlines::Deadlines;
use crate::listener::{self, Failed};
use crate::telemetry;

/// Threads for what blocks (name look-ups, files). A hanging name server fills no more than these.
const BLOCKING_THREADS: usize = 4;

/// A part that everything needs has panicked (`EX_SOFTWARE` of sysexits.h).
const SOFTWARE: u8 = 70;

pub(super) fn run() -> ExitCode {
    let config = match Config::from_env(std::env::vars_os()) {
        Ok(config) => config,
        Err(errors) => {
            // Before the log: its format may be among the mistakes.
            eprintln!("{errors}");
            return ExitCode::from(USAGE);
        }
    };
    telemetry::init(&config.log);
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
    let code = runtime.block_on(serve(&config));
    // Not dropped: that would wait for a look-up that blocks, for 30 s with glibc.
    runtime.shutdown_background();
    code
}

async fn serve(config: &Config) -> ExitCode {
    telemetry::started(&config.mailbox.to_string(), &config.upstream.to_string(), config.sign_in.name());
    config.warnings.iter().for_each(|warning| telemetry::configuration_warning(warning));
    let listeners = match listener::bind(&config.listen).await {
        Ok(listeners) => listeners,
        Err(problem) => {
            telemetry::start_failed(&problem);
            return ExitCode::FAILURE;
        }
    };
    for address in listeners.iter().filter_map(|listener| listener.local_addr().ok()) {
        telemetry::listening(address);
    }
    match listener::run(config, Deadlines::default(), listeners, first_signal()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::SetUp(problem)) => {
            telemetry::start_failed(&problem);
            ExitCode::from(USAGE)
        }
        Err(Failed::Died(_)) => ExitCode::from(SOFTWARE),
    }
}

/// Ends with the first SIGTERM or SIGINT; the second SIGINT ends the process at once.
async fn first_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals still end the process, only without grace.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        interrupt.recv().await;
        std::process::exit(130);
    });
}
