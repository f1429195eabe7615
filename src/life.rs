//! How far the process has come on its way out, as a value to await.

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
