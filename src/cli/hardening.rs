//! Keeps the secrets in this process's memory and environment from other processes of the same user: the app runs as
//! that user, and could otherwise read `/proc/PID/environ`, attach a debugger, or find a core dump.
//!
//! Not against root with `CAP_SYS_PTRACE`, which a container's root has only if it was given. What a child would inherit
//! is used only where there is none: the app can be dumped and debugged as ever.
//!
//! Between `execve` and [`hide_memory`] the memory is open, unless the program's file cannot be read by its user: then
//! the kernel starts it undumpable (root's with mode 0511, as in the image).

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use rustix::thread::set_no_new_privs;

/// All of it, for a process that starts no other.
///
/// # Errors
/// The kernel's; what comes after it is left out.
pub(super) fn harden() -> io::Result<()> {
    hide_memory()?;
    forbid_core_files()?;
    // No execve gives us the rights of a file's owner: whoever took us over would stay as small as we are.
    Ok(set_no_new_privs(true)?)
}

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
fn forbid_core_files() -> io::Result<()> {
    Ok(setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?)
}
