//! Memory that a storm of mail has left behind goes back to the system: the allocator keeps what is freed, and beside the
//! app in the same container it is the app's memory that is missing.

use std::time::Duration;

use tokio::time::sleep;

use crate::session::places::Places;

/// Gives back what is free, each `every` in which a session was active; for as long as it is polled.
pub(super) async fn keep_small(places: &Places, every: Duration) {
    loop {
        sleep(every).await;
        if places.were_active() {
            give_back();
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "one C function of glibc, which no crate wraps; nothing else here is unsafe")]
fn give_back() {
    // SAFETY: malloc_trim(3) takes a number, touches no memory that is in use, and may be called by any thread (MT-Safe).
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> core::ffi::c_int;
    }
    malloc_trim(0);
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
const fn give_back() {}
