//! Keys: what a guest is granted, as plain data.
//!
//! [`Keys`] is built by [`Keys::builder`], from flags or from a [`Policy`], and says nothing about handles.
//! It is checked once, when [`crate::host::Host::open`] turns it into handles; after that nothing here is consulted,
//! so changing a `Keys` never changes a running guest.

mod custom_stream;
mod determinism;
mod directory;
mod error;
mod grants;
mod http;
mod learn;
mod limits;
mod network;
pub mod policy;
mod preload;
mod quantity;
mod stdio;
mod tuning;
mod words;

pub use custom_stream::{Sink, Source};
pub use determinism::{Clocks, Random};
pub(crate) use directory::plain_guest_path;
pub use directory::{Access, DirKey, DirectoryOrder, KernelFiles, LockedRoot};
pub use error::KeyError;
pub use grants::{Keys, KeysBuilder};
pub use http::{HttpHost, HttpKey, HttpMethods, HttpScheme, HttpTarget, PathPattern};
pub use limits::WasiLimits;
pub use network::{
    AddressRange, HostName, ListenKey, NamePattern, NetAction, NetHost, NetKey, PortSet, canonical,
    parse_address,
};
pub use policy::{Policy, PolicyError};
pub(crate) use preload::{Preloaded, PreloadedKind};
pub use quantity::{duration_in_words, parse_duration, parse_size};
pub use stdio::{Capture, FileMode, StdinKey, StdoutKey};
pub use tuning::{NameAliases, ProbeAnswer, Resolver, WasiTuning};
pub use words::{KeyLine, KeyLineKind};
