//! Each way to sign in, through the running shim against the simulated Office 365, which checks every assertion.

mod shim;
mod ways;
mod rotation;
mod trouble;
mod login;
