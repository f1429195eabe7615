//! Keeps the secrets in this process's memory and environment from other processes of the same user: the app runs as
//! that user, and could otherwise read `/proc/PID/environ`, attach a debugger, or find a core dump.
//!
//! Not against root with `CAP_SYS_PTRACE`, which a container's root has only if it was given. Both measures end at
//! `execve` or are not used where a child would inherit them: the app can be dumped and debugged as ever.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dump, no `ptrace`, and `/proc/PID/{environ,mem,maps,fd}` closed, for this process alone: `execve` undoes it
/// (prctl(2), `PR_SET_DUMPABLE`).
///
/// # Errors
/// The kernel's.
pub(super) fn hide_memory() -> io::Result<()> {
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// No core file either should the first measure be undone. Children inherit a limit: not for a process that starts the
/// app.
///
/// # Errors
/// The kernel's.
pub(super) fn forbid_core_files() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}
