//! The code cache as the command sees it: where it is, whether it can be used beside the keys of a guest, what is in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use etcetera::BaseStrategy;
use innkeeper::wasi::host::ChangesSeal;
use innkeeper::wasi::keys::{Access, Keys};
use innkeeper::{
    Cache, CacheDirectory, CacheSeal, Compilable, CompileStatistics, Config, PrecompiledError, Progress,
    Tiers, fill_cache, fill_cache_with_called,
};

use crate::background;
use crate::homes::homes;
use crate::input::Input;
use crate::mounts;
use crate::report::{self, Problem, visible};
use crate::values::CacheFlag;
use crate::work::WorkFlags;

/// What the directory is called among those of other programs.
const NAME: &str = "innkeeper";
/// What the directory of the key is called in that of what the program keeps.
const SEAL_NAME: &str = "cache-key";
/// The cache's directory where what is kept and what can be made again are in one place.
const BESIDE_SEAL: &str = "code";

/// Why there is no cache, of which nobody is told who does not ask.
pub(crate) type Reason = Problem;

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Say where the cache is and how much is in it
    Info {
        /// The directory, instead of the usual one
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
    },
    /// Compile functions of a module or component into the cache, so that its next run is as fast as any
    Fill {
        /// Only functions that earlier runs have called, those first that were called most often; not all that there are
        #[arg(long)]
        called: bool,
        /// As a run does it that leaves a process behind
        #[arg(long, hide = true, requires = "called")]
        background: bool,
        /// Milliseconds of processor time after which no further function is begun
        #[arg(long, hide = true, value_name = "MILLISECONDS")]
        budget: Option<u64>,
        /// Where the key of the cache is, for a process without a home directory
        #[arg(long, hide = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
        key: Option<PathBuf>,
        /// The module or component, .wasm or .wat, or - for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: OsString,
        /// The directory, instead of the usual one
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
        #[command(flatten)]
        work: WorkFlags,
    },
    /// Remove what is in the cache
    Clear {
        /// The directory, instead of the usual one
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
    },
}

/// The cache for a run with these keys. A directory that was asked for and cannot be used is a problem; the usual one is done without, for the reason given.
pub(crate) fn choose(flag: Option<&CacheFlag>, keys: &Keys) -> Result<(Cache, Option<Reason>), Problem> {
    match open(flag)? {
        (cache, None) => for_keys(cache, flag, keys).map(|cache| (cache, None)),
        (cache, reason) => Ok((cache, reason)),
    }
}

/// The cache for runs with any keys, as [`choose`] opens it.
pub(crate) fn open(flag: Option<&CacheFlag>) -> Result<(Cache, Option<Reason>), Problem> {
    require_parent(flag)?;
    let is_asked_for = flag.is_some();
    let Some(path) = directory(flag) else { return Ok((Cache::off(), None)) };
    let opened = CacheDirectory::open(&path, CacheDirectory::DEFAULT_LIMIT_BYTES)
        .map_err(|error| unusable(&path, &error));
    let sealed = opened.and_then(|opened| {
        let is_first = || !is_asked_for && seal_directory().is_some() && opened.is_first_refusal();
        match seal(None) {
            Err(problem) if is_first() => {
                // Without a key every run is as slow as the first.
                report::warning(&problem);
                Err(problem)
            }
            Err(problem) => {
                opened.remove_if_new();
                Err(problem)
            }
            Ok(seal) => sealed(opened, &path, seal),
        }
    });
    match sealed {
        Ok(cache) => Ok((cache, None)),
        Err(problem) if is_asked_for => Err(problem),
        Err(problem) => Ok((Cache::off(), Some(problem))),
    }
}

/// A cache that is open, for a run with these keys: none where a guest could reach the usual one.
pub(crate) fn for_keys(opened: Cache, flag: Option<&CacheFlag>, keys: &Keys) -> Result<Cache, Problem> {
    let Some(directory) = opened.directory() else { return Ok(opened) };
    let Some(granted) = granted_with(&opened, keys) else { return Ok(opened) };
    let reason = format!(
        "the code cache cannot be inside a directory that the guest is granted, or around it, and {} is granted",
        visible(&granted.to_string_lossy())
    );
    let problem = Problem::new(directory.path().to_string_lossy(), reason)
        .help("choose another directory with --cache DIR, or --cache off");
    if flag.is_some() {
        directory.remove_if_new();
        return Err(problem);
    }
    if directory.is_first_refusal() {
        report::warning(&problem);
    }
    Ok(Cache::off())
}

/// The key that files of a cache are believed by: in this directory, or the user's.
fn seal(named: Option<&Path>) -> Result<CacheSeal, Problem> {
    let path = named.map(Path::to_owned).or_else(seal_directory).ok_or_else(|| {
        Problem::from_message("there is no home directory to keep the key of the code cache in")
            .help("set HOME or XDG_STATE_HOME to an absolute path, or use --cache off")
    })?;
    CacheSeal::in_directory(&path).map_err(|error| {
        let thing = format!("{}, the key of the code cache", path.to_string_lossy());
        Problem::new(thing, error)
            .help("machine code in the cache is believed by a key that only this user can read; mend the directory, or use --cache off")
    })
}

/// What of the user's key is the seal of changes.
const CHANGES_CONTEXT: &str = "innkeeper 2026-11 seal of unfinished changes";

/// The key that unfinished changes of copy-on-write directories are believed by: derived from the user's; nothing where there is no place for one.
pub(crate) fn changes_seal() -> Result<Option<ChangesSeal>, Problem> {
    let Some(path) = seal_directory() else { return Ok(None) };
    let seal = CacheSeal::in_directory(&path).map_err(|error| {
        let thing = format!("{}, the user's key", visible(&path.to_string_lossy()));
        Problem::new(thing, error).help(
            "changes that are interrupted are believed by a key that only this user can read; mend the directory, or name another with XDG_STATE_HOME",
        )
    })?;
    Ok(Some(ChangesSeal::with_key(seal.derive(CHANGES_CONTEXT))))
}

/// Where the user's key is; nothing where nobody knows.
fn seal_directory() -> Option<PathBuf> {
    let usual = etcetera::choose_base_strategy().ok()?;
    let kept = usual.state_dir().unwrap_or_else(|| usual.data_dir());
    Some(kept.join(NAME).join(SEAL_NAME)).filter(|path| path.is_absolute())
}

/// What no guest may reach: the key, in whose place nothing else may be put, and the cache of this run or the usual one, which others may be using. Runs in
/// another environment have theirs in the home directory, whatever this one's names.
pub(crate) fn out_of_sight(flag: Option<&CacheFlag>) -> Vec<PathBuf> {
    let asked_for = flag.and_then(|flag| directory(Some(flag)));
    let usual = directory(None);
    let homes = homes();
    let seals = homes.iter().map(|home| home.join(".local/state").join(NAME).join(SEAL_NAME));
    // The key may be reached by itself, where somebody has mounted it.
    let keys =
        seal_directory().into_iter().chain(seals).flat_map(|seal| [seal.join(CacheSeal::FILE_NAME), seal]);
    let caches = homes.iter().map(|home| home.join(".cache").join(NAME));
    let found = keys.chain(usual).chain(caches).chain(asked_for);
    let mut found: Vec<PathBuf> = found.filter_map(|path| std::path::absolute(path).ok()).collect();
    // Each once, and those beside each other that have most of the way in common.
    found.sort();
    found.dedup();
    found
}

/// A cache in the directory, unless its key is there: whoever may write there would know what to write.
fn sealed(opened: CacheDirectory, path: &Path, seal: CacheSeal) -> Result<Cache, Problem> {
    if opened.overlaps(seal.directory()) {
        opened.remove_if_new();
        let seal = visible(&seal.directory().to_string_lossy());
        let reason = format!("a code cache cannot be where its key is kept, {seal}");
        return Err(
            Problem::new(path.to_string_lossy(), reason).help("choose another directory with --cache DIR")
        );
    }
    Ok(Cache::new(opened, seal))
}

/// The granted directory from which a guest could reach the cache, or which is in it.
fn granted_with(cache: &Cache, keys: &Keys) -> Option<PathBuf> {
    let directory = cache.directory()?;
    let granted = keys.directories.iter().filter(|key| !matches!(key.access, Access::Temporary { .. }));
    let overlaps = |host: &&PathBuf| directory.overlaps(host) || mounts::overlap(directory.path(), host);
    granted.map(|key| &key.host).find(overlaps).cloned()
}

/// Where the cache is to be; none where there is to be none, or nobody knows where.
fn directory(flag: Option<&CacheFlag>) -> Option<PathBuf> {
    match flag {
        Some(CacheFlag::Off) => None,
        Some(CacheFlag::Directory(path)) => Some(path.clone()),
        None => {
            let usual = etcetera::choose_base_strategy().ok()?.cache_dir().join(NAME);
            // Where the environment has one directory for both, the cache is beside its key and not around it.
            let is_around = seal_directory().is_some_and(|seal| seal.starts_with(&usual));
            let usual = if is_around { usual.join(BESIDE_SEAL) } else { usual };
            // Where HOME is relative, another program would look elsewhere.
            Some(usual).filter(|path| path.is_absolute())
        }
    }
}

/// Refuses a directory that is to be made in one that is not there: it is rather a mistake in the name than a wish.
fn require_parent(flag: Option<&CacheFlag>) -> Result<(), Problem> {
    let Some(CacheFlag::Directory(path)) = flag else { return Ok(()) };
    let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else { return Ok(()) };
    match parent.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let reason =
                format!("there is no directory {} to make it in", visible(&parent.to_string_lossy()));
            Err(Problem::new(visible(&path.to_string_lossy()), reason)
                .help("make that directory, or name another one with --cache"))
        }
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &innkeeper::CacheError) -> Problem {
    Problem::new(path.to_string_lossy(), error)
        .help("name a directory that belongs to you and that nobody else may write to, or use --cache off")
}

/// Says what is in the cache, fills or empties it.
pub(crate) fn cache(args: &CacheArgs) -> Result<ExitCode, Problem> {
    let (CacheCommand::Info { cache } | CacheCommand::Fill { cache, .. } | CacheCommand::Clear { cache }) =
        &args.command;
    let flag = cache.clone().map(CacheFlag::Directory);
    require_parent(flag.as_ref())?;
    let path = directory(flag.as_ref()).ok_or_else(|| {
        Problem::from_message("there is no home directory to look for the cache in")
            .help("name one with --cache DIR")
    })?;
    let has_time = match &args.command {
        CacheCommand::Fill { background: true, budget, .. } => {
            Some(background::retire(budget.map(Duration::from_millis)))
        }
        _ => None,
    };
    let has_time = || has_time.as_ref().is_none_or(|has_time| has_time());
    let opened = CacheDirectory::open(&path, CacheDirectory::DEFAULT_LIMIT_BYTES)
        .map_err(|error| unusable(&path, &error))?;
    let failed = |error: std::io::Error| Problem::new(path.to_string_lossy(), error);
    let text = match &args.command {
        CacheCommand::Info { .. } => {
            let contents = opened.contents().map_err(failed)?;
            format!(
                "directory  {}\nprograms   {}\nsize       {}\nlimit      {}\n",
                visible(&path.to_string_lossy()),
                contents.files,
                size(contents.bytes),
                size(opened.limit_bytes()),
            )
        }
        CacheCommand::Fill { file, called, key, background, work, .. } => {
            if !background {
                // What is left behind has bounds of its own.
                work.watch()?;
            }
            let cache = sealed(opened, &path, seal(key.as_deref())?)?;
            let fill = |input, compile: &Compile<'_>| fill(input, (work.config(), cache), compile);
            match called {
                true => {
                    let input = match background {
                        true => Input::read_regular_file(file),
                        false => Input::read(file),
                    };
                    fill(input?, &|code, progress| fill_cache_with_called(code, progress, &has_time))?
                }
                false => fill(Input::read(file)?, &fill_cache)?,
            }
        }
        CacheCommand::Clear { .. } => {
            let cleared = opened.clear().map_err(failed)?;
            let programs = if cleared.files == 1 { "program" } else { "programs" };
            format!("removed {} {programs}, {}\n", cleared.files, size(cleared.bytes))
        }
    };
    report::output(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Compiles a module or component into the cache of its engine.
type Compile<'a> = dyn Fn(&dyn Compilable, Progress<'_>) -> Result<CompileStatistics, PrecompiledError> + 'a;

/// Compiles a module or component into the cache with `compile`, and says what was compiled.
fn fill(
    mut input: Input,
    (config, cache): (Config, Cache),
    compile: &Compile<'_>,
) -> Result<String, Problem> {
    let engine = innkeeper::engine_cached(config, Tiers::Auto, cache);
    let code = input.code(&engine)?;
    let progress = report::Progress::new("compiling functions");
    let statistics = compile(code.compilable(), &|done, of| progress.tell(done, of));
    progress.finish();
    let statistics = statistics.map_err(|error| Problem::new(&input.name, error))?;
    Ok(format!("{}: {}", input.name, compiled(&statistics)))
}

/// What was compiled and what was not, as a person reads it.
pub(crate) fn compiled(statistics: &CompileStatistics) -> String {
    let mut text = format!("{} functions compiled\n", statistics.compiled);
    for (reason, count) in &statistics.refused {
        text += &format!("{count} stay interpreted: {reason}\n");
    }
    text
}

/// A size as a person reads it.
pub(crate) fn size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{bytes} bytes"),
    }
}
