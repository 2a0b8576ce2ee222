//! WIT to Rust, for hosts: types, traits to be implemented for what components import, and typed calls of what they export.
//!
//! `innkeeper::component::bindgen!` is the usual way here. This library gives the same as text, for build scripts that keep what is made where it can be read:
//!
//! ```
//! let wit = "package example:greeter; world greeter { import name: func() -> string; export greet: func(hello: string) -> string; }";
//! let generated = innkeeper_bindgen::Bindgen::new().inline(wit).generate()?;
//! assert!(generated.code.contains("pub trait GreeterImports"));
//! # Ok::<(), innkeeper_bindgen::Error>(())
//! ```
//!
//! What is read is in `source`; which module and which name anything has in Rust is worked out once, in `places`; the other files write: `types` what stands where a type is used, `definitions` the
//! types that have names, `imports` and `exports` functions, `world` what holds all of one world.
//!
//! Architecture invariants: nothing here knows the engine; what is generated uses public names of `innkeeper::component` only.

#![forbid(unsafe_code)]

mod code;
mod definitions;
mod error;
mod exports;
mod functions;
mod imports;
mod names;
mod options;
mod places;
mod source;
mod types;
mod world;

use std::path::{Path, PathBuf};

pub use error::Error;
pub use options::{Bindgen, Mode};

/// What was made of WIT.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Generated {
    /// Rust, to be read as the contents of a module.
    pub code: String,
    /// The files that were read: where one changes, the code does.
    pub files: Vec<PathBuf>,
    /// Functions that were left out, as `interface#function: reason`, where that is allowed.
    pub omitted: Vec<String>,
}

impl Bindgen {
    /// Makes the code.
    ///
    /// # Errors
    /// WIT that cannot be read; worlds that are not there; functions whose types cannot be passed yet, unless they may be left out.
    pub fn generate(&self) -> Result<Generated, Error> {
        let source = source::Source::read(self)?;
        let places = places::Places::new(self, &source)?;
        let mut code = code::Code::default();
        let omitted = world::write(&mut code, (self, &source, &places))?;
        Ok(Generated { code: code.text(), files: source.files, omitted })
    }

    /// Makes the code and writes it to a file, unless that holds the same already. In a build script `cargo` is told which files it depends on.
    ///
    /// # Errors
    /// As [`Bindgen::generate`]; a file that cannot be written.
    pub fn write_file(&self, to: impl AsRef<Path>) -> Result<Generated, Error> {
        let to = to.as_ref();
        let generated = self.generate()?;
        for file in &generated.files {
            println!("cargo:rerun-if-changed={}", file.display());
        }
        let header = "// Made from WIT by innkeeper-bindgen. Change the WIT instead.\n\n";
        let text = format!("{header}{}", generated.code);
        if std::fs::read_to_string(to).is_ok_and(|known| known == text) {
            return Ok(generated);
        }
        std::fs::write(to, text)
            .map_err(|error| Error::new(format!("{} cannot be written: {error}", to.display())))?;
        Ok(generated)
    }
}
