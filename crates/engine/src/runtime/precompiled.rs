//! Modules with their machine code, as bytes and as files.
//!
//! What such bytes hold is executed: the names of what takes them say `unsafe`, and whoever calls it says where they come from. What a tier makes of them is its own
//! ([`crate::tier::Tier::deserialize`]); all that is common is here.

use std::path::Path;

use crate::engine::Engine;
use crate::error::Error;
use crate::module::Module;
use crate::tier::Serialized;

impl Module {
    /// Compiles the module and gives it with its machine code, for [`Module::deserialize`] in another process or engine of the same build, on a processor with the same features.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precompiled`], where the module's engine does not compile.
    pub fn serialize(&self) -> Result<Vec<u8>, Error> {
        let no_compiler = || {
            Error::precompiled(
                "cannot be made: the engine only interprets, so that there is no machine code to keep; keep the module's own bytes (Module::bytes)",
            )
        };
        self.0.compiler().ok_or_else(no_compiler)?.serialize(&self.0)
    }

    /// The module that [`Module::serialize`] gave, ready to run: nothing is decoded anew but its outline, nothing validated or compiled. An engine takes any number of such modules.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precompiled`], where the bytes are something else, are not whole or not as they were written, or were made by another build, for another processor or
    /// for an engine that is configured otherwise.
    ///
    /// # Safety
    /// The bytes are what this library has made and nobody has changed since: they hold machine code, which is executed as it is. A checksum finds accidents out, and no forgery.
    /// What comes from elsewhere is loaded with [`Module::new`].
    pub unsafe fn deserialize(engine: &Engine, bytes: impl AsRef<[u8]>) -> Result<Module, Error> {
        // SAFETY: passed on.
        unsafe { Module::of_serialized(engine, Serialized::Bytes(bytes.as_ref())) }
    }

    /// As [`Module::deserialize`], from a file, which is opened once, here: what becomes of its name later makes no difference.
    ///
    /// # Errors
    /// As [`Module::deserialize`], and where the file cannot be read.
    ///
    /// # Safety
    /// As [`Module::deserialize`], of what is in the file.
    pub unsafe fn deserialize_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Module, Error> {
        // SAFETY: passed on.
        unsafe { Module::of_serialized(engine, Serialized::File(path.as_ref())) }
    }

    /// # Safety
    /// As [`Module::deserialize`].
    unsafe fn of_serialized(engine: &Engine, serialized: Serialized<'_>) -> Result<Module, Error> {
        // SAFETY: the callers pass on what theirs have promised.
        let (bytes, preparation) = unsafe { engine.tier().deserialize(engine.config(), serialized)? };
        Module::of_prepared(engine, bytes, preparation)
    }
}
