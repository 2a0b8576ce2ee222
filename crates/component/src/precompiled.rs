//! Components with their machine code, as bytes and as files.
//!
//! What such bytes hold is executed: the names of what takes them say `unsafe`, and whoever calls it says where they come from. This is the only file of the crate that has
//! the word; it passes on what callers promise, and does nothing with it.
#![allow(unsafe_code, reason = "whoever loads machine code vouches for it")]

use std::path::Path;

use innkeeper_engine::tier::Serialized;
use innkeeper_engine::{Engine, Error, Nest};

use crate::component::Component;
use crate::decode::Decoded;
use crate::features::Features;

impl Component {
    /// Compiles all modules of the component, and what is generated for calls between its instances, and gives the component with its machine code, for
    /// [`Component::deserialize`] in another process or engine of the same build, on a processor with the same features.
    ///
    /// # Errors
    /// [`innkeeper_engine::ErrorKind::Precompiled`], where the component's engine does not compile, or there is no module in the component; what
    /// [`Component::all_modules`] fails with.
    pub fn serialize(&self) -> Result<Vec<u8>, Error> {
        self.nest().serialize(&self.all_modules()?)
    }

    /// The component that [`Component::serialize`] gave, with its machine code: the component and its types are decoded and validated, and the bodies of its functions neither
    /// validated nor compiled. An engine takes any number of such components. `inn compile` makes the same bytes.
    ///
    /// # Errors
    /// [`innkeeper_engine::ErrorKind::Precompiled`], where the bytes are something else, are not whole or not as they were written, or were made by another build, for another
    /// processor or for an engine that is configured otherwise; otherwise as [`Component::new`].
    ///
    /// # Safety
    /// The bytes are what this library has made and nobody has changed since: they hold machine code, which is executed as it is. A checksum finds accidents out, and no forgery.
    /// What comes from elsewhere is loaded with [`Component::new`].
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Component, Error> {
        // SAFETY: passed on.
        unsafe { Component::of_serialized(engine, Serialized::Bytes(bytes.as_ref()), Features::default()) }
    }

    /// As [`Component::deserialize`], from a file, which is opened once, here: what becomes of its name later makes no difference.
    ///
    /// # Errors
    /// As [`Component::deserialize`], and where the file cannot be read.
    ///
    /// # Safety
    /// As [`Component::deserialize`], of what is in the file.
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Component, Error> {
        // SAFETY: passed on.
        unsafe { Component::of_serialized(engine, Serialized::File(path.as_ref()), Features::default()) }
    }

    /// As [`Component::deserialize`], where components may use these parts of the component model: those that the component was made with.
    ///
    /// # Errors
    /// As [`Component::deserialize`].
    ///
    /// # Safety
    /// As [`Component::deserialize`].
    pub unsafe fn deserialize_with_features(
        engine: &Engine,
        bytes: impl AsRef<[u8]>,
        features: Features,
    ) -> Result<Component, Error> {
        // SAFETY: passed on.
        unsafe { Component::of_serialized(engine, Serialized::Bytes(bytes.as_ref()), features) }
    }

    /// # Safety
    /// As [`Component::deserialize`].
    unsafe fn of_serialized(
        engine: &Engine,
        serialized: Serialized<'_>,
        features: Features,
    ) -> Result<Component, Error> {
        let decoded = Decoded::by(|visit| {
            // SAFETY: the callers pass on what theirs have promised.
            unsafe { Nest::deserialize(engine, serialized, features.flags(), visit) }
        })?;
        Component::of_decoded(engine, decoded, features)
    }
}
