//! The platform: plain functions over the operating system, one module per platform with the same signatures.
//!
//! Each function that acts for a guest takes the [`super::gate::Permit`] that proves a decision was made. Nothing here decides,
//! waits or retries, except after a signal.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(super) use linux::*;

#[cfg(not(target_os = "linux"))]
compile_error!("innkeeper-wasi has no platform module for this system yet: add a sibling of host/sys/linux");
