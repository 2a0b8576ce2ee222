//! `--static`: directories whose files `inn serve` gives itself.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeeper::wasi::keys::{Access, DirKey, Keys};
use innkeeper_http::{Files, HostPattern, Routes};
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::cache;
use crate::report::{Problem, visible};
use crate::values::CacheFlag;
use crate::writable::Writable;

/// A path of requests, and the directory whose files are there.
#[derive(Clone, Debug)]
pub(crate) struct StaticFlag {
    pub(super) path: String,
    pub(super) directory: PathBuf,
}

impl StaticFlag {
    /// Reads `/PATH=DIR`.
    pub(crate) fn parse(text: OsString) -> Result<StaticFlag, String> {
        let bytes = text.as_bytes();
        let equals = bytes.iter().position(|byte| *byte == b'=').ok_or("write /PATH=DIR")?;
        let (path, directory) = (&bytes[..equals], OsStr::from_bytes(&bytes[equals + 1..]));
        let path = str::from_utf8(path).ok().filter(|path| is_plain(path));
        let path = path.ok_or("the path is to have letters, digits and /-._~ alone")?;
        if !path.starts_with('/') || path.trim_end_matches('/').is_empty() {
            return Err(String::from("the path is to begin with / and a name: / itself is the program's"));
        }
        if directory.is_empty() {
            return Err(String::from("write a directory after ="));
        }
        Ok(StaticFlag { path: path.to_owned(), directory: directory.into() })
    }
}

/// These keys, and as if guests could read them the directories whose files clients are given: nothing that no guest may see is for clients.
pub(super) fn shown(keys: &Keys, flags: &[StaticFlag]) -> Keys {
    let mut shown = keys.clone();
    shown
        .directories
        .extend(flags.iter().map(|flag| DirKey::new(&flag.directory, &flag.path, Access::ReadOnly)));
    shown
}

/// Refuses directories in which the code cache or its key is kept: whoever has the key could forge code that later runs believe.
pub(super) fn require_no_secret(flags: &[StaticFlag], cache: Option<&CacheFlag>) -> Result<(), Problem> {
    if flags.is_empty() {
        return Ok(());
    }
    let shown = Writable::shown_to(&shown(&Keys::default(), flags));
    for secret in cache::out_of_sight(cache) {
        let around = openat(CWD, &secret, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        // What is not there can be made later, and is no secret of anybody's yet.
        let Ok(directory) = around else { continue };
        let name = |path: &Path| visible(&path.to_string_lossy());
        let given = shown.around(&directory).map_err(|error| Problem::new(name(&secret), error))?;
        if let Some(given) = given {
            let reason = "the code cache or its key is kept there, which no client may read";
            return Err(Problem::new(format!("--static {}", name(given)), reason)
                .help("give a directory with nothing but what is meant for clients")
                .mistake());
        }
    }
    Ok(())
}

/// Whether a path is written in one way only. Of other characters, clients could write others than are looked for.
pub(super) fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}

/// Files that are open, with the path that they have for clients.
pub(super) type OpenFiles = Vec<(String, Arc<Files>)>;

/// Opens the directories, once: a guest could lead the way elsewhere by the next time.
pub(super) fn open(flags: &[StaticFlag]) -> Result<OpenFiles, Problem> {
    let open = |StaticFlag { path, directory }: &StaticFlag| {
        let files = Files::new(path, directory).map_err(|error| {
            Problem::new(visible(&directory.to_string_lossy()), format!("no directory of files: {error}"))
        })?;
        Ok((path.clone(), Arc::new(files)))
    };
    flags.iter().map(open).collect()
}

/// Adds the files beside a program that is served for this host.
pub(super) fn add(routes: &mut Routes, host: Option<&HostPattern>, files: &OpenFiles) -> Result<(), Problem> {
    for (path, files) in files {
        let files: Arc<Files> = Arc::clone(files);
        if !routes.add_of_host(host, path, files) {
            return Err(Problem::new("--static", format!("{path} is there twice")).mistake());
        }
    }
    Ok(())
}
