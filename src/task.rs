//! Tasks whose types are forgotten. tokio is compiled once for each type of future that is spawned, with all that it does
//! to a task: some thirty of them were 100 KB of the binary. Boxed, all are one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;

/// A future of any type, for a set of tasks.
pub(crate) fn boxed<T>(
    future: impl Future<Output = T> + Send + 'static,
) -> Pin<Box<dyn Future<Output = T> + Send>> {
    Box::pin(future)
}

/// A task of its own: `tokio::spawn`.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(boxed(future))
}

/// Work that blocks, on a thread for such: `spawn_blocking`, for which nobody needs to wait.
pub(crate) fn start_blocking(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    tokio::task::spawn_blocking(Box::new(work) as Box<dyn FnOnce() + Send>)
}

/// The result of work that blocks; none where it panicked.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let result = Arc::new(Mutex::new(None));
    let here = Arc::clone(&result);
    let done = start_blocking(move || {
        let result = work();
        *here.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
    });
    done.await.ok()?;
    result.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn blocking_work_has_a_result_unless_it_panics() {
        assert_eq!(blocking(|| 7).await, Some(7));
        assert_eq!(blocking(|| -> u8 { panic!("on purpose") }).await, None);
    }
}
