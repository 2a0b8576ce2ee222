//! The code cache: what is known of a module from one run to the next.
//!
//! One file a [`key::Key`]: the module's bytes, the build of the compiler, the processor and the settings. That there is one says that the module is
//! valid; in it are the machine code of functions that were hot ([`format`] has the layout), which of them to compile next, and adapters. [`directory`]
//! decides which files are believed, [`saved`] uses them, [`keep`] writes them. A file that was compiled ahead of time ([`precompiled`]) is of the same
//! format, with the module in it.
//!
//! Must stay true: what is not exactly what was written for this very key is not used; neither is it an error: the module is validated and compiled again.

mod directory;
pub(crate) mod format;
pub(crate) mod keep;
pub(crate) mod key;
#[allow(unsafe_code, reason = "files are mapped")]
mod mapping;
mod precompiled;
mod saved;
pub(crate) mod write;

use std::path::Path;
use std::sync::Arc;

pub use directory::{CacheContents, CacheDirectory, CacheError};
pub use precompiled::{Precompiled, PrecompiledError};

pub(crate) use saved::SavedCode;

use key::Key;

/// Where an engine finds machine code that was made earlier, and leaves what it makes. None of it is needed: without, code is made again.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    directory: Option<Arc<CacheDirectory>>,
    precompiled: Option<Arc<Precompiled>>,
}

impl Cache {
    /// No cache.
    #[must_use]
    pub fn off() -> Cache {
        Cache::default()
    }

    /// A directory of files, one a module, of [`CacheDirectory::DEFAULT_LIMIT_BYTES`] at the most.
    ///
    /// Whoever can write there decides what this process executes: no guest may be granted the directory, or one that it is in.
    ///
    /// # Errors
    /// As [`CacheDirectory::open`].
    pub fn in_directory(path: &Path) -> Result<Cache, CacheError> {
        Ok(Cache::from(CacheDirectory::open(path, CacheDirectory::DEFAULT_LIMIT_BYTES)?))
    }

    /// No directory, and a module that was compiled ahead of time.
    #[must_use]
    pub fn of_precompiled(precompiled: Precompiled) -> Cache {
        Cache { directory: None, precompiled: Some(Arc::new(precompiled)) }
    }

    /// The directory, if there is one.
    #[must_use]
    pub fn directory(&self) -> Option<&CacheDirectory> {
        self.directory.as_deref()
    }

    /// Whether nothing is found here, and nothing left.
    pub(crate) fn is_off(&self) -> bool {
        self.directory.is_none() && self.precompiled.is_none()
    }

    /// The code that was made for a key, if there is a file that can be believed.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<SavedCode>> {
        if let Some(code) = self.precompiled.as_ref().and_then(|precompiled| precompiled.code_for(key)) {
            return Some(code);
        }
        let (file, bytes) = self.directory.as_ref()?.find(&key.file_name())?;
        let saved = SavedCode::open(&file, bytes).ok()?;
        (saved.head().key == *key).then(|| Arc::new(saved))
    }

    pub(crate) fn shared_directory(&self) -> Option<Arc<CacheDirectory>> {
        self.directory.clone()
    }
}

impl From<CacheDirectory> for Cache {
    fn from(directory: CacheDirectory) -> Cache {
        Cache { directory: Some(Arc::new(directory)), precompiled: None }
    }
}
