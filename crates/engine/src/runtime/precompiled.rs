//! Modules and components with their machine code, as bytes and as files.
//!
//! What such bytes hold is executed: the names of what takes them say `unsafe`, and whoever calls it says where they come from. What a tier makes of them is its own
//! ([`crate::tier::Tier::deserialize`]); all that is common is here.

use std::path::Path;

use crate::engine::Engine;
use crate::error::Error;
use crate::module::Module;
#[cfg(feature = "component")]
use crate::module::{Nest, Visit};
use crate::tier::{ModuleParts, Preparation, Serialized};

impl Module {
    /// Compiles the module and gives it with its machine code, for [`Module::deserialize`] in another process or engine of the same build, on a processor with the same features.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precompiled`], where the module's engine does not compile.
    pub fn serialize(&self) -> Result<Vec<u8>, Error> {
        serialize(&[&self.0], self.bytes()).map_err(|error| error.of_precompiled("module"))
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
        let read = unsafe { deserialize(engine, serialized) };
        let (bytes, preparation) = read.map_err(|error| error.of_precompiled("module"))?;
        if is_component(&bytes) {
            return Err(Error::precompiled("is a component; load it with Component::deserialize")
                .of_precompiled("module"));
        }
        Module::of_prepared(engine, bytes, preparation)
    }
}

#[cfg(feature = "component")]
impl Nest {
    /// Compiles the component and gives it with its machine code, for [`Nest::deserialize`]. `modules` are all of the component's, in their order, and after them those that are
    /// generated for it ([`Nest::adapter`]).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Precompiled`], where the component's engine does not compile, or there is no module to be compiled.
    pub fn serialize(&self, modules: &[Module]) -> Result<Vec<u8>, Error> {
        let parts: Vec<&ModuleParts> = modules.iter().map(|module| &*module.0).collect();
        serialize(&parts, self.bytes()).map_err(|error| error.of_precompiled("component"))
    }

    /// The component that [`Nest::serialize`] gave: everything is decoded and validated as in [`Nest::new`] but the bodies of functions, which are not looked at.
    ///
    /// # Errors
    /// As [`Module::deserialize`], and as [`Nest::new`].
    ///
    /// # Safety
    /// As [`Module::deserialize`].
    pub unsafe fn deserialize(
        engine: &Engine,
        serialized: Serialized<'_>,
        features: wasmparser::WasmFeatures,
        visit: &mut Visit<'_>,
    ) -> Result<Nest, Error> {
        // SAFETY: passed on.
        let read = unsafe { deserialize(engine, serialized) };
        let (bytes, preparation) = read.map_err(|error| error.of_precompiled("component"))?;
        if !is_component(&bytes) {
            return Err(Error::precompiled("is a core module; load it with Module::deserialize")
                .of_precompiled("component"));
        }
        Nest::of_prepared(engine, (bytes, preparation), features, visit)
    }
}

fn serialize(modules: &[&ModuleParts], whole: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(first) = modules.first() else {
        return Err(Error::precompiled(
            "cannot be made: there is no module in it, and so nothing to compile",
        ));
    };
    let no_compiler = || {
        Error::precompiled(
            "cannot be made: the engine only interprets, so that there is no machine code to keep; keep the bytes that it was made from",
        )
    };
    first.compiler().ok_or_else(no_compiler)?.serialize(modules, whole)
}

/// # Safety
/// As [`Module::deserialize`].
unsafe fn deserialize(
    engine: &Engine,
    serialized: Serialized<'_>,
) -> Result<(Vec<u8>, Box<dyn Preparation>), Error> {
    // SAFETY: the callers pass on what theirs have promised.
    unsafe { engine.tier().deserialize(engine.config(), serialized) }
}

/// Whether the header is that of a component: the format's version, and then the layer.
fn is_component(bytes: &[u8]) -> bool {
    bytes.get(6..8) == Some(&[1, 0])
}
