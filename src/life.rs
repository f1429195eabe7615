//! How far the process has come on its way out, as a value to await.

use tokio::sync::watch;

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

/// Ends when nothing may wait any longer: an answer now is better than a connection that is cut.
pub async fn ending(life: &watch::Receiver<Life>) {
    if life.clone().wait_for(|life| *life == Life::Ending).await.is_err() {
        std::future::pending().await
    }
}
