//! The code cache, and modules and components that are compiled ahead of time.

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod absent;
mod compilable;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod compiling;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
pub use absent::*;
pub use compilable::Compilable;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use compiling::*;
