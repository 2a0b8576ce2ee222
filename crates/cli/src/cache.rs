//! The code cache as the command sees it: where it is, whether it can be used beside the keys of a guest, what is in it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use etcetera::BaseStrategy;
use innkeeper::wasi::keys::{Access, Keys};
use innkeeper::{
    Cache, CacheDirectory, Census, Config, Module, PrecompiledError, Progress, Tiers, fill_cache,
    fill_cache_with_called,
};

use crate::args::{CacheArgs, CacheCommand};
use crate::background;
use crate::input::Input;
use crate::report::{self, Problem, visible};
use crate::values::CacheFlag;

/// What the directory is called among those of other programs.
const NAME: &str = "innkeeper";

/// The cache for a run with these keys. A directory that was asked for and cannot be used is a problem; the usual one is done without.
pub(crate) fn choose(flag: Option<&CacheFlag>, keys: &Keys) -> Result<Cache, Problem> {
    let is_asked_for = flag.is_some();
    let Some(path) = directory(flag) else { return Ok(Cache::off()) };
    let opened = match Cache::in_directory(&path) {
        Ok(cache) => cache,
        Err(error) if is_asked_for => return Err(unusable(&path, &error)),
        Err(_) => return Ok(Cache::off()),
    };
    let Some(granted) = granted_with(&opened, keys) else { return Ok(opened) };
    let reason = format!(
        "the code cache cannot be inside a directory that the guest is granted, or around it, and {} is granted",
        visible(&granted.to_string_lossy())
    );
    let problem = Problem::new(path.to_string_lossy(), reason)
        .help("choose another directory with --cache DIR, or --cache off");
    if is_asked_for {
        return Err(problem);
    }
    if opened.directory().is_some_and(CacheDirectory::is_first_refusal) {
        report::warning(&problem);
    }
    Ok(Cache::off())
}

/// The granted directory from which a guest could reach the cache, or which is in it.
fn granted_with(cache: &Cache, keys: &Keys) -> Option<PathBuf> {
    let directory = cache.directory()?;
    let granted = keys.directories.iter().filter(|key| !matches!(key.access, Access::Temporary { .. }));
    granted.map(|key| &key.host).find(|host| directory.overlaps(host)).cloned()
}

/// Where the cache is to be; none where there is to be none, or nobody knows where.
fn directory(flag: Option<&CacheFlag>) -> Option<PathBuf> {
    match flag {
        Some(CacheFlag::Off) => None,
        Some(CacheFlag::Directory(path)) => Some(path.clone()),
        None => Some(etcetera::choose_base_strategy().ok()?.cache_dir().join(NAME)),
    }
}

fn unusable(path: &std::path::Path, error: &innkeeper::CacheError) -> Problem {
    Problem::new(path.to_string_lossy(), error)
        .help("name a directory that belongs to you and that nobody else may write to, or use --cache off")
}

/// Says what is in the cache, fills or empties it.
pub(crate) fn cache(args: &CacheArgs) -> Result<ExitCode, Problem> {
    let (CacheCommand::Info { cache } | CacheCommand::Fill { cache, .. } | CacheCommand::Clear { cache }) =
        &args.command;
    let flag = cache.clone().map(CacheFlag::Directory);
    let path = directory(flag.as_ref()).ok_or_else(|| {
        Problem::from_message("there is no home directory to look for the cache in")
            .help("name one with --cache DIR")
    })?;
    let has_time = is_background(&args.command).then(background::retire);
    let has_time = || has_time.as_ref().is_none_or(|has_time| has_time());
    let opened = CacheDirectory::open(&path, CacheDirectory::DEFAULT_LIMIT_BYTES)
        .map_err(|error| unusable(&path, &error))?;
    let failed = |error: std::io::Error| Problem::new(path.to_string_lossy(), error);
    let text = match &args.command {
        CacheCommand::Info { .. } => {
            let contents = opened.contents().map_err(failed)?;
            format!(
                "directory  {}\nmodules    {}\nsize       {}\nlimit      {}\n",
                visible(&path.to_string_lossy()),
                contents.files,
                size(contents.bytes),
                size(opened.limit_bytes()),
            )
        }
        CacheCommand::Fill { file, called: true, .. } => {
            fill(file, opened, |module, progress| fill_cache_with_called(module, progress, &has_time))?
        }
        CacheCommand::Fill { file, .. } => fill(file, opened, fill_cache)?,
        CacheCommand::Clear { .. } => {
            let cleared = opened.clear().map_err(failed)?;
            let modules = if cleared.files == 1 { "module" } else { "modules" };
            format!("removed {} {modules}, {}\n", cleared.files, size(cleared.bytes))
        }
    };
    report::output(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn is_background(command: &CacheCommand) -> bool {
    matches!(command, CacheCommand::Fill { background: true, .. })
}

/// Compiles a module into the cache with `compile`, and says what was compiled.
fn fill(
    file: &OsStr,
    directory: CacheDirectory,
    compile: impl FnOnce(&Module, Progress<'_>) -> Result<Census, PrecompiledError>,
) -> Result<String, Problem> {
    let mut input = Input::read(file)?;
    let engine = innkeeper::engine_cached(Config::default(), Tiers::Auto, directory.into());
    let module = input.module(&engine)?;
    let progress = report::Progress::new("compiling functions");
    let census = compile(&module, &|done, of| progress.tell(done, of));
    progress.finish();
    let census = census.map_err(|error| Problem::new(&input.name, error))?;
    Ok(format!("{}: {}", input.name, compiled(&census)))
}

/// What was compiled and what was not, as a person reads it.
pub(crate) fn compiled(census: &Census) -> String {
    let mut text = format!("{} functions compiled\n", census.compiled);
    for (reason, count) in &census.refused {
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
