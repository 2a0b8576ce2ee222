//! The bench programs, each from loaded module to the end of `_start`.

use std::path::{Path, PathBuf};

use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p1::{self, Context};
use innkeeper::{Config, Engine, Linker, Module, Store};

use crate::Figure;
use crate::timing::best;

const TRIES: usize = 3;

/// Gives each program's figure to `show` as soon as it is there.
pub(crate) fn figures(folder: &Path, show: impl Fn(&Figure)) -> Result<(), String> {
    let complain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(complain)?.collect::<Result<Vec<_>, _>>();
    let mut programs: Vec<PathBuf> =
        entries.map_err(complain)?.into_iter().map(|entry| entry.path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    programs.sort();
    let engine = innkeeper::engine(Config::default());
    for program in programs {
        let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&program).map_err(|error| format!("{}: {error}", program.display()))?;
        let module = Module::new(&engine, bytes).map_err(|error| format!("{name}: {error}"))?;
        let (time, ()) = best(TRIES, || run(&engine, &module, &name))?;
        show(&Figure { what: format!("run {name}"), value: format!("{:.0} ms", time.as_secs_f64() * 1e3) });
    }
    Ok(())
}

fn run(engine: &Engine, module: &Module, name: &str) -> Result<(), String> {
    let text = |error: innkeeper::Error| format!("{name}: {error}");
    let keys = Keys::builder().argument(name).build();
    let context = Context::new(&keys).map_err(|error| format!("{name}: {error}"))?;
    let mut store = Store::new(engine, context).map_err(text)?;
    let mut linker = Linker::new(engine);
    p1::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    let instance = linker.instantiate(&mut store, module).map_err(text)?;
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(text)?;
    start.call(&mut store, ()).map_err(text)
}
