//! `--profile`: where a guest spends its time, as a flame graph and as folded stacks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use inferno::flamegraph;
use inferno::flamegraph::color::{MultiPalette, Palette};
use innkeeper::{FrameInfo, FrameTier, FuncIndex, InterruptHandle, OmittedSamples, Profile};

use crate::output::Output;
use crate::report::{self, Problem, short};
use crate::writable::Writable;

/// Time between samples.
const TICK: Duration = Duration::from_millis(1);

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
pub(crate) fn write(profile: &Profile, files: Files, guest: &str) -> Result<(), Problem> {
    let stacks = folded(profile, |_| "");
    if stacks.is_empty() {
        let reason = format!(
            "no sample was taken, so no profile is written: the guest ran for less than {} ms or so",
            TICK.as_millis()
        );
        report::warning(&Problem::new(guest, reason).help("profile a longer run"));
        return Ok(());
    }
    files.stacks.write(|to| to.write_all((stacks.join("\n") + "\n").as_bytes()))?;
    let mut options = flamegraph::Options::default();
    options.title = guest.to_owned();
    options.count_name = "ms".to_owned();
    options.subtitle = Some(totals(profile));
    // It colours names by their endings, which it does not print.
    options.colors = Palette::Multi(MultiPalette::Java);
    let coloured = folded(profile, |tier| match tier {
        FrameTier::Compiled => "_[j]",
        _ => "_[k]",
    });
    let mut graph = Vec::new();
    let drawn = flamegraph::from_lines(&mut options, coloured.iter().map(String::as_str), &mut graph);
    files.graph.write(|to| {
        drawn.map_err(io::Error::other)?;
        to.write_all(&with_dark_style(graph))
    })
}

/// What all samples amount to.
fn totals(profile: &Profile) -> String {
    let compiled: u64 = profile
        .stacks()
        .filter(|(stack, _)| stack.first().is_some_and(|frame| frame.tier == FrameTier::Compiled))
        .map(|(_, ticks)| ticks)
        .sum();
    let percent = compiled as f64 * 100.0 / profile.ticks().max(1) as f64;
    let stacks = profile.stacks().count();
    let ms = u128::from(profile.ticks()) * TICK.as_millis();
    let omitted = match profile.omitted() {
        OmittedSamples { samples: 0, .. } => String::new(),
        OmittedSamples { ticks, .. } => format!(", {ticks} ms of it in stacks that found no room"),
    };
    format!(
        "{ms} ms in {stacks} different stacks{omitted}: {percent:.0} % compiled (green), the rest interpreted (orange), \
         each with the time of the host's calls it made; ctrl-F searches, a click enlarges"
    )
}

/// A graph that is dark where the system is. What is said beside the boxes is light then; names in boxes, whose colours stay, are not.
fn with_dark_style(mut graph: Vec<u8>) -> Vec<u8> {
    const STYLE: &[u8] =
        b"<style>@media (prefers-color-scheme: dark) { #background stop { stop-color: #14171d }\n\
        #title, #subtitle, #details, #search, #matched, #unzoom { fill: #d9dee8 } }</style>";
    const END: &[u8] = b"</svg>";
    if let Some(end) = graph.windows(END.len()).rposition(|bytes| bytes == END) {
        graph.splice(end..end, STYLE.iter().copied());
    }
    graph
}

/// A line for each distinct stack: functions from the outermost in, separated by semicolons, and the time in ticks. Behind each name is what `ending` says of
/// the tier; stacks that differ in nothing else than that are told apart only where it says something.
fn folded(profile: &Profile, ending: impl Fn(FrameTier) -> &'static str) -> Vec<String> {
    let mut ticks_of: BTreeMap<String, u64> = BTreeMap::new();
    for (stack, ticks) in profile.stacks().filter(|(stack, _)| !stack.is_empty()) {
        let named = |frame: &FrameInfo| name(frame.func_name.as_deref(), frame.func) + ending(frame.tier);
        let names: Vec<String> = stack.iter().rev().map(named).collect();
        *ticks_of.entry(names.join(";")).or_default() += ticks;
    }
    let mut lines: Vec<String> = ticks_of.iter().map(|(names, ticks)| format!("{names} {ticks}")).collect();
    let OmittedSamples { samples, ticks } = profile.omitted();
    if samples > 0 {
        lines.push(format!("(… and {samples} more samples whose stacks found no room) {ticks}"));
    }
    lines.sort_unstable();
    lines
}

/// A function's name, demangled, without what separates names in a line.
pub(crate) fn name(name: Option<&str>, func: FuncIndex) -> String {
    let name = match name {
        Some(name) => short(&format!("{:#}", rustc_demangle::demangle(name))),
        None => format!("func[{}]", func.0),
    };
    name.replace(';', ":")
}
