//! Modules and components that were compiled ahead of time: a file of machine code with the module or component in it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use innkeeper_engine::Config;
use rustix::fs::{MemfdFlags, memfd_create};

use super::SavedCode;
use super::format::{self, Seal, Unusable};
use super::key::{Key, Target, build_name};
use super::mapping::Sharing;
use crate::{Jit, compiler};

/// A module or component with machine code for all of its functions.
pub struct Precompiled {
    module: Vec<u8>,
    file: File,
    file_bytes: u64,
    key: Key,
    /// The code, until a module has it. Each module has a mapping of its own: what is known of its addresses goes with it.
    code: Mutex<Option<SavedCode>>,
}

/// Why a file of machine code cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PrecompiledError {
    /// The system cannot read it.
    #[error("cannot be read: {0}")]
    System(#[from] std::io::Error),
    /// It is something else.
    #[error("is no module or component that was compiled ahead of time")]
    Foreign,
    /// It is not as it was written.
    #[error("is damaged")]
    Damaged,
    /// It is a component without modules.
    #[error("there is no module in it, and so nothing to compile")]
    NoCode,
    /// A part of a component cannot be decoded, or takes more than the engine's limits allow.
    #[error("{0}")]
    Guest(innkeeper_engine::Error),
    /// There is no cache to fill.
    #[error("there is no cache to keep the code in")]
    NoCache,
    /// There is no compiler for this processor.
    #[error("there is no compiler for this processor or operating system")]
    NoCompiler,
    /// Another build of the compiler made it.
    #[error("was compiled by Innkeeper {made_by}, and this is {this}")]
    Build {
        /// Who made it.
        made_by: String,
        /// Who was asked to use it.
        this: String,
    },
    /// Its code may use instructions that this processor lacks, or not those that it has.
    #[error("was compiled for a processor with other features than this one's")]
    Processor,
    /// The engine is configured otherwise.
    #[error("was compiled for another layout of memories or other features of WebAssembly")]
    Settings,
}

impl PrecompiledError {
    /// Whether another configuration of the engine could use the file.
    #[must_use]
    pub fn is_of_settings(&self) -> bool {
        matches!(self, PrecompiledError::Settings)
    }
}

impl From<innkeeper_engine::Error> for PrecompiledError {
    fn from(error: innkeeper_engine::Error) -> PrecompiledError {
        PrecompiledError::Guest(error)
    }
}

impl Precompiled {
    /// Whether a file that begins with these bytes was compiled ahead of time, by whatever version.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        format::has_magic(bytes)
    }

    /// Opens a file that the caller trusts: its machine code will be executed as it is, with everything that this process may do. It is copied, so that
    /// a guest that is granted the file's directory does not change what is executed; a later run, and a further module of the same bytes, executes what the file has become.
    ///
    /// # Errors
    /// Where the file is not whole, or made for another build, processor or configuration than `config`.
    pub fn open_trusted(path: &Path, config: &Config) -> Result<Precompiled, PrecompiledError> {
        Precompiled::of_file(File::open(path)?, config)
    }

    /// As [`Precompiled::open_trusted`], of bytes that the caller trusts.
    ///
    /// # Errors
    /// As [`Precompiled::open_trusted`].
    pub fn of_trusted_bytes(bytes: &[u8], config: &Config) -> Result<Precompiled, PrecompiledError> {
        // Code is mapped from a file; this one has no name, and is gone with the last who uses it.
        let file = File::from(
            memfd_create("innkeeper-precompiled", MemfdFlags::CLOEXEC).map_err(std::io::Error::from)?,
        );
        file.write_all_at(bytes, 0)?;
        Precompiled::of_file(file, config)
    }

    fn of_file(file: File, config: &Config) -> Result<Precompiled, PrecompiledError> {
        let bytes = file.metadata()?.len();
        let code =
            SavedCode::open((&file, bytes), Seal::Digest, Sharing::Copied).map_err(|error| match error {
                Unusable::Foreign => PrecompiledError::Foreign,
                Unusable::Damaged => PrecompiledError::Damaged,
            })?;
        let head = code.head();
        let isa = compiler::isa(config.nan_bits).ok_or(PrecompiledError::NoCompiler)?;
        let mut config = config.clone();
        Jit::settle(&mut config);
        let (made, wanted) = (&head.key.target, Target::new(&*isa, &config));
        if made.build != wanted.build {
            return Err(PrecompiledError::Build { made_by: head.build_name.clone(), this: build_name() });
        }
        if made.processor != wanted.processor {
            return Err(PrecompiledError::Processor);
        }
        if made.settings != wanted.settings {
            return Err(PrecompiledError::Settings);
        }
        let mut module = vec![0; (head.sections.module.end - head.sections.module.start) as usize];
        file.read_exact_at(&mut module, head.sections.module.start)?;
        if Key::new(&module, *made) != head.key {
            return Err(PrecompiledError::Damaged);
        }
        let key = head.key;
        Ok(Precompiled { module, file, file_bytes: bytes, key, code: Mutex::new(Some(code)) })
    }

    /// The module or component, in the binary format, which is then no longer here.
    #[must_use]
    pub fn take_module(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.module)
    }

    /// The key, and the code, for one module or component.
    pub(crate) fn into_code(self) -> Option<(Key, Arc<SavedCode>)> {
        Some((self.key, self.code_for(&self.key)?))
    }

    /// The code, if it is that of a key.
    pub(super) fn code_for(&self, key: &Key) -> Option<Arc<SavedCode>> {
        if self.key != *key {
            return None;
        }
        let first = self.code.lock().unwrap_or_else(PoisonError::into_inner).take();
        let code = first
            .or_else(|| SavedCode::open((&self.file, self.file_bytes), Seal::Digest, Sharing::Copied).ok())?;
        (code.head().key == *key).then(|| Arc::new(code))
    }
}

impl std::fmt::Debug for Precompiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Precompiled").field("file_bytes", &self.file_bytes).finish_non_exhaustive()
    }
}
