//! `--profile`: where a guest spends its time, as a flame graph and as folded stacks.

mod flame;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flame::{Captions, Graph};
use innkeeper::{FrameInfo, FrameTier, InterruptHandle, OmittedSamples, Profile};

use crate::output::Output;
use crate::program_names::ProgramNames;
use crate::report::{self, Problem};
use crate::writable::Writable;

/// Time between samples.
const TICK: Duration = Duration::from_millis(1);

/// What the line begins with that counts the samples whose stacks found no room.
pub(crate) const OMITTED: &str = "(… and ";

/// What the line begins with that says which module or component the stacks are of. To other tools it is a stack that took no time.
pub(crate) const OF_MODULE: &str = "(of module ";

/// What tells a module's bytes from those of any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModuleHash(blake3::Hash);

impl ModuleHash {
    pub(crate) fn of(bytes: &[u8]) -> ModuleHash {
        ModuleHash(blake3::hash(bytes))
    }

    /// The line of a profile that says that it is of this module.
    pub(crate) fn line(self) -> String {
        format!("{OF_MODULE}{}) 0", self.0.to_hex())
    }
}

/// Asks for samples until it is dropped.
pub(crate) struct Sampler {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Asks the guest of a store for samples, which the store must have begun to gather.
    pub(crate) fn start(handle: InterruptHandle) -> Result<Sampler, Problem> {
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_over);
        let work = move || {
            while !seen.load(Ordering::Relaxed) {
                std::thread::park_timeout(TICK);
                handle.sample();
            }
        };
        let thread = std::thread::Builder::new().name("profiler".to_owned()).spawn(work);
        let thread = thread.map_err(|error| Problem::new("the profiler", error))?;
        Ok(Sampler { is_over, thread: Some(thread) })
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to say, not even that it panicked.
            let _ = thread.join();
        }
    }
}

/// Where a profile goes.
pub(crate) struct Files {
    graph: Output,
    stacks: Output,
}

impl Files {
    /// Opens a file for the flame graph, and one beside it for the stacks it is made from, with the extension `folded`.
    pub(crate) fn open(path: &OsStr, writable: &Writable) -> Result<Files, Problem> {
        let stacks = PathBuf::from(path).with_extension("folded");
        Ok(Files { graph: Output::open(path, writable)?, stacks: Output::open(stacks, writable)? })
    }
}

/// Writes the flame graph and the stacks, if there are any.
pub(crate) fn write(
    profile: &Profile,
    files: Files,
    (guest, names, module_hash): (&str, &ProgramNames, ModuleHash),
) -> Result<(), Problem> {
    let stacks = Stacks::of(profile, (names, module_hash));
    if stacks.ticks_of.is_empty() {
        let reason = format!(
            "no sample was taken, so no profile is written: the guest ran for less than {} ms or so",
            TICK.as_millis()
        );
        report::warning(&Problem::new(guest, reason).help("profile a longer run"));
        return Ok(());
    }
    files.stacks.write(|to| to.write_all(stacks.folded().as_bytes()))?;
    let captions = Captions { title: guest.to_owned(), subtitle: stacks.in_words() };
    let graph = stacks.graph().svg(&captions);
    files.graph.write(|to| to.write_all(graph.as_bytes()))
}

/// The stacks of a profile, from the outermost function in, by names, with the time of each.
struct Stacks {
    ticks_of: HashMap<Vec<(String, FrameTier)>, u64>,
    ticks: u64,
    omitted: OmittedSamples,
    module_hash: ModuleHash,
    /// Whether all functions have names, and not their indices alone.
    has_names: bool,
}

impl Stacks {
    fn of(profile: &Profile, (names, module_hash): (&ProgramNames, ModuleHash)) -> Stacks {
        let mut ticks_of: HashMap<Vec<(String, FrameTier)>, u64> = HashMap::new();
        let mut has_names = true;
        for (stack, ticks) in profile.stacks().filter(|(stack, _)| !stack.is_empty()) {
            has_names &= stack.iter().all(|frame| frame.func_name.is_some() || frame.tier == FrameTier::Host);
            let named = |frame: &FrameInfo| (names.of_frame(frame), frame.tier);
            *ticks_of.entry(stack.iter().rev().map(named).collect()).or_default() += ticks;
        }
        Stacks { ticks_of, ticks: profile.ticks(), omitted: profile.omitted(), module_hash, has_names }
    }

    /// A line for each distinct stack: functions from the outermost in, separated by semicolons, and the time in ticks. Stacks that differ in nothing else than
    /// who executed them are one.
    fn folded(&self) -> String {
        let mut ticks_of: BTreeMap<String, u64> = BTreeMap::new();
        for (stack, ticks) in &self.ticks_of {
            let names: Vec<&str> = stack.iter().map(|(name, _)| name.as_str()).collect();
            *ticks_of.entry(names.join(";")).or_default() += ticks;
        }
        let mut lines: Vec<String> =
            ticks_of.iter().map(|(names, ticks)| format!("{names} {ticks}\n")).collect();
        let OmittedSamples { samples, ticks } = self.omitted;
        if samples > 0 {
            lines.push(format!("{OMITTED}{samples} more samples whose stacks found no room) {ticks}\n"));
        }
        lines.sort_unstable();
        lines.insert(0, self.module_hash.line() + "\n");
        lines.concat()
    }

    fn graph(&self) -> Graph {
        let mut graph = Graph::default();
        for (stack, ticks) in &self.ticks_of {
            graph.add(stack.clone(), *ticks);
        }
        graph
    }

    /// What all samples amount to.
    fn in_words(&self) -> String {
        let count = self.ticks_of.len();
        let omitted = match self.omitted {
            OmittedSamples { samples: 0, .. } => String::new(),
            OmittedSamples { ticks, .. } => format!(", and {ticks} ms in stacks that found no room"),
        };
        let names = match self.has_names {
            true => "",
            false => "; func[N] has no name in the module: build it with names (-g, or without stripping)",
        };
        format!("{} samples, one a millisecond, of {count} different stacks{omitted}{names}", self.ticks)
    }
}
