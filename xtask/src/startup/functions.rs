//! Where the functions of an executable file begin, as its symbols tell.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use object::{Object, ObjectSymbol, SymbolKind};

/// Addresses are those of the file, which the process has elsewhere.
pub(super) struct Functions {
    pub(super) starts: BTreeSet<u64>,
    /// Where execution begins.
    pub(super) entry: u64,
}

impl Functions {
    /// Reads the symbols of `path`.
    ///
    /// # Errors
    ///
    /// Where the file is none that this system runs, or was stripped of its symbols.
    pub(super) fn read(path: &Path) -> Result<Functions, String> {
        let complain = |reason: &dyn std::fmt::Display| format!("{}: {reason}", path.display());
        let bytes = fs::read(path).map_err(|error| complain(&error))?;
        let file = object::File::parse(&*bytes).map_err(|error| complain(&error))?;
        let functions = file.symbols().filter(|symbol| {
            symbol.is_definition() && symbol.kind() == SymbolKind::Text && symbol.size() > 0
        });
        let starts: BTreeSet<u64> = functions.map(|function| function.address()).collect();
        if starts.is_empty() {
            return Err(complain(&"no symbols of functions: it was stripped"));
        }
        Ok(Functions { starts, entry: file.entry() })
    }
}
