//! Keys: what a guest is granted, as plain data.
//!
//! [`Keys`] is built by [`Keys::builder`], from flags or from a policy, and says nothing about handles.
//! It is checked once, when [`crate::host::Host::open`] turns it into handles; after that nothing here is consulted,
//! so changing a `Keys` never changes a running guest.

mod directory;
mod error;
mod grants;
mod limits;
mod network;
mod stdio;
mod tuning;

pub use directory::{Access, DirKey, LockedRoot};
pub use error::KeyError;
pub use grants::{Clocks, Keys, KeysBuilder, Random};
pub use limits::Limits;
pub use network::ListenKey;
pub use stdio::{Capture, StdinKey, StdoutKey};
pub use tuning::{ProbeAnswer, Resolver, Tuning};
