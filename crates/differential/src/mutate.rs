//! Mutants of real programs: what compilers make has long functions, loops in loops and calls in all directions, which a generator seldom does.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use wasm_mutate::WasmMutate;

use crate::generate::Module;
use crate::random::Random;

/// Changes that are made to a program, one after the other.
const MOST_CHANGES: u64 = 24;
/// Larger programs take the compiler seconds.
const MAX_PROGRAM_BYTES: usize = 100_000;
/// What a change may cost the mutator, in its own units.
const MUTATOR_FUEL: u64 = 2_000;

/// The mutant of a seed; none where there are no programs, or where no change was possible.
pub(crate) fn mutant(seed: u64) -> Option<Module> {
    let mut random = Random::new(seed);
    let programs = programs();
    let mut wasm = programs.get(usize::try_from(random.draw()).ok()? % programs.len().max(1))?.clone();
    let mut changes = 0;
    for _ in 0..=random.draw() % MOST_CHANGES {
        let mut mutator = WasmMutate::default();
        mutator.seed(random.draw()).fuel(MUTATOR_FUEL).preserve_semantics(false);
        // Some changes are not possible in some programs.
        let mutant = mutator.run(&wasm).ok().and_then(|mut mutants| mutants.next()?.ok());
        if let Some(mutant) = mutant {
            wasm = mutant;
            changes += 1;
        }
    }
    if changes == 0 { None } else { Module::read(wasm) }
}

/// The project's own programs, in the order of their paths, so that a seed always leads to the same.
fn programs() -> &'static [Vec<u8>] {
    static PROGRAMS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PROGRAMS.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut paths = Vec::new();
        modules_in(&root.join("benches/programs"), &mut paths);
        modules_in(&root.join("guests"), &mut paths);
        paths.sort();
        let read = |path: &PathBuf| std::fs::read(path).ok().filter(|bytes| bytes.len() <= MAX_PROGRAM_BYTES);
        paths.iter().filter_map(read).collect()
    })
}

fn modules_in(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            modules_in(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "wasm") {
            paths.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{mutant, programs};

    #[test]
    fn a_seed_leads_to_one_mutant() {
        assert!(programs().len() > 20);
        let mutants: Vec<_> = (0..20).filter_map(mutant).map(|module| module.wasm).collect();
        assert!(mutants.len() > 10, "{}", mutants.len());
        let again: Vec<_> = (0..20).filter_map(mutant).map(|module| module.wasm).collect();
        assert_eq!(mutants, again);
        assert!(mutants.iter().all(|wasm| !programs().contains(wasm)));
    }
}
