//! What `exec` tells of the app and the shim.

use std::io;

use tracing::{error, info, warn};

use super::supervisor::{Ended, News};

/// The app is root as we are.
pub(super) fn runs_as_root() {
    warn!(
        "the app runs as root, and nothing keeps mailshim's secrets from root: run the container as another user (docker \
         run --user, runAsUser)"
    );
}

/// A shim that is started again under the app can be attached to before it closes its memory.
pub(super) fn program_is_readable() {
    warn!(
        "the app can read mailshim's own file, and so can attach to a shim that is started again \
         (MAILSHIM_EXEC_ON_FAILURE=restart): let the file belong to root, with mode 0511, as in mailshim's image"
    );
}

/// The shim ends without its configuration.
pub(super) fn not_handed_over(problem: &str) {
    error!("the shim is not given its configuration: {problem}");
}

/// The shim listens, and the app runs.
pub(super) fn app_started(pid: i32, listen: &str) {
    info!(pid, listen, "the app starts");
}

/// It does not.
pub(super) fn app_not_started(program: &str, error: &io::Error) {
    let hint = match error.kind() {
        io::ErrorKind::NotFound => {
            ": no such file, or the interpreter that it names (#! line, dynamic loader) is missing"
        }
        io::ErrorKind::PermissionDenied => ": it is no executable file, or its file system is mounted noexec",
        _ => "",
    };
    error!(program, %error, "the app cannot be started{hint}");
}

/// A turn in the life of the two.
pub(super) fn tell(news: News) {
    match news {
        News::ShimSilent(bound) => {
            error!(?bound, "the shim does not listen: it is ended, the app is not started");
        }
        News::ShimEnded(how) => error!(
            %how,
            "the shim has ended under the app: the app gets SIGTERM and is waited for (MAILSHIM_EXEC_ON_FAILURE=stop)"
        ),
        News::ShimRestarts(how, pause) => error!(
            %how,
            ?pause,
            "the shim has ended under the app: it is started again after the pause (MAILSHIM_EXEC_ON_FAILURE=restart)"
        ),
        News::Draining(how, bound) => match how {
            Ended::Code(0) => info!(%how, ?bound, "the app has ended: the shim finishes what is in hand"),
            _ => warn!(%how, ?bound, "the app has ended: the shim finishes what is in hand"),
        },
        News::ShimKilled => {
            error!("the shim did not end within its grace and is killed (MAILSHIM_SHUTDOWN_GRACE)");
        }
    }
}
