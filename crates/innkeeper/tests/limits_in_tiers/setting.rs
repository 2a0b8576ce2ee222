//! The settings that every case is tried in, and how one sees which tier is at work.

use innkeeper::{Cache, Compilation, Config, Engine, Module, TierUp, Tiers};
use tempfile::TempDir;

/// Which tiers execute guests, and when they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    Interpreter,
    /// Every function is compiled before it runs.
    Compiled,
    /// Every loop is entered in machine code when it first comes round, every function when it is called again; guests wait for that.
    TieringUpAtOnce,
    /// Only loops are, so that every call begins in the interpreter, and frames of both tiers alternate.
    LoopsAtOnce,
    /// As soon as possible while the guest goes on.
    TieringUpInBackground,
    /// Machine code from an earlier run.
    Cached,
}

/// What executes a guest's function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Executes {
    Interpreter,
    MachineCode,
}

impl Setting {
    /// What executes a loop when it is entered, and in the end.
    pub(crate) fn expected(self) -> (Executes, Executes) {
        match self {
            Setting::Interpreter => (Executes::Interpreter, Executes::Interpreter),
            Setting::Compiled | Setting::Cached => (Executes::MachineCode, Executes::MachineCode),
            Setting::TieringUpAtOnce | Setting::LoopsAtOnce | Setting::TieringUpInBackground => {
                (Executes::Interpreter, Executes::MachineCode)
            }
        }
    }

    /// Whether a guest is executed in the same way each time.
    pub(crate) fn is_repeatable(self) -> bool {
        self != Setting::TieringUpInBackground
    }

    fn tier_up(self) -> TierUp {
        match self {
            Setting::TieringUpAtOnce => TierUp::eager(),
            Setting::LoopsAtOnce => TierUp { calls: u32::MAX, ..TierUp::eager() },
            Setting::TieringUpInBackground => {
                TierUp { compilation: Compilation::InBackground, ..TierUp::eager() }
            }
            Setting::Interpreter | Setting::Compiled | Setting::Cached => Config::default().tuning.tier_up,
        }
    }

    /// An engine, and these modules in it.
    pub(crate) fn prepare(self, mut config: Config, binaries: &[Vec<u8>]) -> Prepared {
        config.tuning.tier_up = self.tier_up();
        let load = |engine: &Engine| -> Vec<Module> {
            binaries.iter().map(|binary| Module::new(engine, binary.clone()).unwrap()).collect()
        };
        let (engine, cache) = match self {
            Setting::Interpreter => (innkeeper::engine_with(config, Tiers::Interpreter), None),
            Setting::Compiled => (innkeeper::engine_with(config, Tiers::Compiled), None),
            Setting::Cached => {
                let directory = tempfile::tempdir().unwrap();
                let (code, seal) = (directory.path().join("code"), directory.path().join("seal"));
                let seal = innkeeper::CacheSeal::in_directory(&seal).unwrap();
                let cache = || Cache::in_directory(&code, seal.clone()).unwrap();
                drop(load(&innkeeper::engine_cached(config.clone(), Tiers::Compiled, cache())));
                (innkeeper::engine_cached(config, Tiers::Auto, cache()), Some(directory))
            }
            _ => (innkeeper::engine_with(config, Tiers::Auto), None),
        };
        let modules = load(&engine);
        Prepared { setting: self, engine, modules, _cache: cache }
    }
}

/// An engine with the modules of a test.
pub(crate) struct Prepared {
    setting: Setting,
    pub(crate) engine: Engine,
    pub(crate) modules: Vec<Module>,
    _cache: Option<TempDir>,
}

impl Prepared {
    /// Fails unless machine code came from where the setting says, and nothing was left to the interpreter.
    #[track_caller]
    pub(crate) fn check_statistics(&self, case: &str) {
        let statistics = self.engine.compile_statistics();
        let (compiled, cached) = (statistics.compiled > 0, statistics.cached > 0);
        let expected = match self.setting {
            Setting::Interpreter => (false, false),
            Setting::Cached => (false, true),
            _ => (true, false),
        };
        assert_eq!((compiled, cached), expected, "{case}: {statistics:?}");
        assert!(statistics.refused.is_empty(), "{case}: {statistics:?}");
    }
}
