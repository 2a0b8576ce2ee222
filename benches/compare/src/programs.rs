//! What is run.

use std::path::{Path, PathBuf};

use crate::arguments::Arguments;

#[derive(Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// What the program is granted, as `HOST::GUEST`; hosts run in its folder.
    pub(crate) directories: Vec<String>,
}

impl Program {
    pub(crate) fn name(&self) -> String {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        match self.arguments.iter().find(|word| word.len() < 10) {
            Some(word) => format!("{stem} {word}"),
            None => stem.into_owned(),
        }
    }
}

/// Sizes for which compiled code takes one to some seconds, where that is another size than the program's own.
const LONG: &[(&str, &str)] = &[
    ("ackermann", "2500"),
    ("base64", "340000"),
    ("collatz", "8000000"),
    ("compress", "140000"),
    ("crc32", "560000"),
    ("dispatch", "2000000"),
    ("dot-simd", "300000"),
    ("fib", "41"),
    ("json", "320000"),
    ("lisp", "150"),
    ("mandelbrot", "6000"),
    ("mandelbrot-simd", "10000"),
    ("matrix", "1000"),
    ("nbody", "10000000"),
    ("pattern", "500000"),
    ("sha256", "140000"),
    ("sieve", "100000000"),
    ("sort", "6000000"),
    ("stack-vm", "20000000"),
    ("states", "24000"),
    ("stream", "700"),
    ("trees", "20"),
    ("words", "8000"),
];

/// The built programs, in the order of their names, and then others that were asked for.
pub(crate) fn programs(arguments: &Arguments) -> Result<Vec<Program>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("programs");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let only = arguments.only.as_deref();
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .filter(|path| only.is_none_or(|only| path.file_stem().is_some_and(|stem| stem == only)))
        .collect();
    paths.sort();
    if let Some(only) = only
        && paths.is_empty()
    {
        return Err(format!("there is no program `{only}` in benches/programs"));
    }
    let sized = |path: PathBuf| {
        let mut program = Program { path, arguments: Vec::new(), directories: Vec::new() };
        let name = program.name();
        // No arguments yet: the name is the file's.
        let long = LONG.iter().find(|(known, _)| arguments.long && *known == name);
        program.arguments.extend(long.map(|(_, size)| (*size).to_owned()));
        program
    };
    Ok(paths.into_iter().map(sized).chain(arguments.also.iter().cloned()).collect())
}
