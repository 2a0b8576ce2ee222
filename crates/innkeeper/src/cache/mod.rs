//! The code cache, and modules that are compiled ahead of time.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod absent;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod compiling;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use absent::*;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use compiling::*;
