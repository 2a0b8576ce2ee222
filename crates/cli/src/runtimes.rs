//! Programs that need a standard library beside them: Ruby and CPython, built for WASI, by the files that they look for.
//!
//! For a note where such a program has failed: which directory it wants, and the flag that grants it where that is found beside the program. Guesses for a message only.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use innkeeper::wasi::host::{Explanation, Host, named};
use innkeeper::wasi::keys::{Access, DirKey};

use crate::wording::dir_flag;

/// A language whose programs look for its library as they start.
struct Runtime {
    name: &'static str,
    /// What its library is in, in a directory `lib`.
    library: &'static str,
}

const RUNTIMES: [Runtime; 2] =
    [Runtime { name: "Ruby", library: "ruby" }, Runtime { name: "CPython", library: "python3." }];

/// What a directory `lib` is called where a program was built to be installed in the usual places.
const UNPACKED: [&str; 3] = ["usr/local/lib", "usr/lib", "lib"];

/// What to say of a guest that has failed, if it has looked in vain for a standard library; `file` is where it was read from.
pub(crate) fn missing_library(host: &Host, file: &OsStr) -> Option<String> {
    let explanations = host.explain();
    let denied = explanations.iter().filter_map(|explanation| match explanation {
        Explanation::Denied(denial) => Some(denial.path.clone()),
        _ => None,
    });
    let wanted = denied.chain(host.missed_path()).find_map(|path| Wanted::of(&path))?;
    let Wanted { runtime, guest, library } = &wanted;
    let mend = match wanted.beside(Path::new(file)) {
        Some(found) => {
            dir_flag(&DirKey::new(found, guest, Access::ReadOnly)).map(|flag| format!("grant it with {flag}"))
        }
        None => None,
    };
    let mend = mend.unwrap_or_else(|| {
        format!("grant the directory `lib` that it was unpacked with: --dir DIR/lib::{guest}::ro")
    });
    Some(format!(
        "this is {runtime}, which looks for its standard library in {}; {mend}",
        named(&format!("{guest}/{library}"))
    ))
}

/// A library that a guest has looked for.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    runtime: &'static str,
    /// What the guest calls the directory `lib`.
    guest: String,
    /// The library's directory in it.
    library: String,
}

impl Wanted {
    /// The library that a path is in.
    fn of(path: &str) -> Option<Wanted> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let at = parts.iter().rposition(|part| *part == "lib")?;
        let library = parts.get(at + 1)?;
        let runtime = RUNTIMES.iter().find(|runtime| match runtime.library.strip_suffix('.') {
            Some(_) => library.starts_with(runtime.library),
            None => *library == runtime.library,
        })?;
        let guest = format!("/{}", parts[..=at].join("/"));
        Some(Wanted { runtime: runtime.name, guest, library: (*library).to_owned() })
    }

    /// The directory `lib` with the library in it, where the program was unpacked: `python.wasm` lies beside `lib`, and `ruby` in `bin` beside it. It is looked for in known
    /// places: the guest does not choose where.
    fn beside(&self, file: &Path) -> Option<PathBuf> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let unpacked = UNPACKED.iter().find(|unpacked| self.guest.strip_prefix('/') == Some(**unpacked));
        let mut found = unpacked.into_iter().chain(&["lib", "../lib"]).map(|lib| folder.join(lib));
        found.find(|lib| lib.join(&self.library).is_dir()).map(|lib| match lib.strip_prefix(".") {
            Ok(plain) => plain.to_owned(),
            Err(_) => lib,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standard_library_is_told_by_the_path_that_is_looked_for() {
        for (path, runtime, guest, library) in [
            ("/usr/local/lib/ruby/3.4.0/rubygems.rb", "Ruby", "/usr/local/lib", "ruby"),
            ("usr/local/lib/python3.13/encodings/__init__.py", "CPython", "/usr/local/lib", "python3.13"),
            ("/lib/python3.14/os.py", "CPython", "/lib", "python3.14"),
        ] {
            let wanted = Wanted { runtime, guest: guest.into(), library: library.into() };
            assert_eq!(Wanted::of(path), Some(wanted), "{path}");
        }
        for path in ["/lib/x", "/usr/lib/rubygems", "lib", "/data/ruby/x", "/lib/python313.zip/x"] {
            assert_eq!(Wanted::of(path), None, "{path}");
        }
    }
}
