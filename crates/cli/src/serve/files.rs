//! `--static`: directories whose files `inn serve` gives itself.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
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

/// Refuses directories of files in which something is kept that no client may read: the code cache or its key, of which whoever has it could forge code that later runs believe; or what `says_what_is_granted`. `shown`
/// has the directories that clients are given.
pub(super) fn require_no_secret<'a>(
    shown: &Writable,
    cache: Option<&CacheFlag>,
    says_what_is_granted: impl IntoIterator<Item = &'a Path>,
) -> Result<(), Problem> {
    let caches = cache::out_of_sight(cache).into_iter().map(|path| (path, CACHE));
    // Where it is, and not where a link to it is; what is not there is told by whoever reads it.
    let real = says_what_is_granted.into_iter().filter_map(|path| path.canonicalize().ok());
    let around = real.filter_map(|path| path.parent().map(Path::to_owned));
    for (secret, what) in caches.chain(around.map(|path| (path, GRANTS))) {
        let around = openat(CWD, &secret, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        // What is not there can be made later, and is no secret of anybody's yet.
        let Ok(directory) = around else { continue };
        let name = |path: &Path| visible(&path.to_string_lossy());
        let given = shown.around(&directory).map_err(|error| Problem::new(name(&secret), error))?;
        if let Some(given) = given {
            return Err(Problem::new(format!("--static {}", name(given)), what)
                .help("give a directory with nothing but what is meant for clients")
                .mistake());
        }
    }
    Ok(())
}

/// Why files are not given to clients.
const CACHE: &str = "the code cache or its key is kept there, which no client may read";
const GRANTS: &str =
    "the configuration or a policy is kept there, which can have what no client may read, such as variables";

/// Whether a path is written in one way only. Of other characters, clients could write others than are looked for.
pub(super) fn is_plain(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte))
}

/// Files that are open, with the path that they have for clients.
pub(super) type OpenFiles = Vec<(String, Arc<Files>)>;

/// The files of these directories, which are open.
pub(super) fn of(flags: &[StaticFlag], directories: &[Arc<OwnedFd>]) -> OpenFiles {
    let files = |(flag, opened): (&StaticFlag, &Arc<OwnedFd>)| {
        let files = Files::within(&flag.path, Arc::clone(opened), &flag.directory);
        (flag.path.clone(), Arc::new(files))
    };
    flags.iter().zip(directories).map(files).collect()
}

/// A directory of files cannot be opened.
pub(super) fn no_files(directory: &Path, error: &std::io::Error) -> Problem {
    Problem::new(visible(&directory.to_string_lossy()), format!("no directory of files: {error}"))
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
