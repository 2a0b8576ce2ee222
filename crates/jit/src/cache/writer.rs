//! What is new of a module, or of a component with all its modules, since its file was read or written, and when it is worth writing.
//!
//! A module of which nothing got hot has no file, unless it is so large that validating it takes time. While a program runs, what is new is written
//! when it is as much again as what was written before, so that all writing together costs about as much as writing once; at the end, whatever is new is
//! written: what is not would be compiled again by every run. Whoever compiles for later runs writes more often, for runs that begin meanwhile.
//!
//! Must stay true: what one run has compiled the next finds, and what nobody would feel is not compiled for later ones. So runs of the same program come to an end of compiling.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use blake3::Hash;
use innkeeper_engine::Lacking;

use super::SealedDirectory;
use super::contents::{Contents, Function, padding};
use super::entry_point::{EntryPoint, PartFunc};
use super::format::{self, SavedTrampoline};
use super::key::Key;
use super::saved::SavedCode;
use crate::code_memory::HeldCode;
use crate::module::lock;
use crate::tables::Tables;
use crate::worth::Use;

/// What is kept from run to run.
pub(crate) struct CacheWriter {
    key: Key,
    directory: Arc<SealedDirectory>,
    saved: Option<Arc<SavedCode>>,
    state: Mutex<State>,
    /// Held while the file is written.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// What was compiled, by where it is entered.
    made: BTreeMap<EntryPoint, Made>,
    /// Functions that were hot, compiled or not.
    hot: BTreeSet<PartFunc>,
    /// Of each part what was called and is interpreted, as far as it has been noted.
    used: BTreeMap<u32, Vec<Use>>,
    /// Functions that were called and are interpreted, those first whose code would be worth most; none where nobody would feel that they are.
    called: Vec<PartFunc>,
    /// Functions that were called and are interpreted, and nobody would feel that.
    unfelt: HashSet<PartFunc>,
    /// Whether the file has been written before it was known what was called.
    lacks_calls: bool,
    /// Functions that cannot be compiled, or not while nothing else is to be done.
    refused: BTreeSet<PartFunc>,
    /// Functions that are being compiled for later runs, and since when.
    trying: BTreeMap<PartFunc, Instant>,
    /// Those of them that the end came too early for: others get their turn first next time.
    unfinished: Vec<PartFunc>,
    /// Trampolines that the file lacked when it was read, and that have been noted since.
    trampolines: usize,
    news: News,
    /// Whether the file has everything.
    is_complete: bool,
}

/// What has not been written.
#[derive(Clone, Copy, Default)]
struct News {
    /// Bytes of code.
    bytes: usize,
    /// Functions of which something is to be cached for the next run: their code, that they are wanted, or that they are not.
    functions: usize,
    /// That the module is valid.
    verdict: bool,
}

/// A function that was compiled, or one of its loops.
#[derive(Clone)]
struct Made {
    code: HeldCode,
    tables: Tables,
    digest: Hash,
}

/// When the question comes up whether to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// In the background, while the guest runs.
    Idle,
    /// At the end; whoever asks waits.
    End,
    /// Between two functions that are compiled for later runs, some of which may begin meanwhile.
    Step,
    /// At the end of compiling for later runs: whatever is new.
    Filled,
}

/// Modules and components of at least so many bytes have a file that says that they are valid, if nothing else; validating them takes about a millisecond.
const VERDICT_BYTES: usize = 256 << 10;
/// A function that was being compiled for later runs so long when a run ended will not be compiled unless it gets hot.
const TOO_LONG: Duration = Duration::from_secs(1);
/// One that was being compiled for less is no worse off than the others.
const NOTED: Duration = Duration::from_millis(10);
/// New code that is not worth writing while the guest runs.
const FEW_BYTES: usize = 64 << 10;
/// Whoever compiles for later runs writes new code of so many bytes, which take milliseconds to compile,
const STEP_BYTES: usize = 4 << 10;
/// as any function takes as long as so many,
const BYTES_OF_FUNCTION: usize = 256;
/// and that are at least this part of what was written: to compile code takes several hundred times as long as to write it.
const STEP_PART: usize = 16;

impl CacheWriter {
    pub(crate) fn new(
        key: Key,
        directory: Arc<SealedDirectory>,
        saved: Option<Arc<SavedCode>>,
        bytes: usize,
    ) -> CacheWriter {
        let verdict = saved.is_none() && bytes >= VERDICT_BYTES;
        let state = State { news: News { verdict, ..News::default() }, ..State::default() };
        CacheWriter { key, directory, saved, state: Mutex::new(state), writing: Mutex::new(()) }
    }

    /// Notes what has been compiled, to be entered there from a frame that is laid out like this.
    pub(crate) fn made(&self, entry: EntryPoint, frame: &[u8], code: HeldCode, tables: &Tables) {
        let bytes = code.bytes();
        let digest = format::digest(bytes, padding(bytes), tables.bytes(), frame);
        let mut state = lock(&self.state);
        state.news.bytes += bytes.len();
        state.news.functions += 1;
        state.made.insert(entry, Made { code, tables: tables.clone(), digest });
    }

    /// Notes a function that is hot.
    pub(crate) fn hot(&self, func: PartFunc) {
        let in_file = |saved: &Arc<SavedCode>| saved.head().profile.contains(&func);
        let is_known = self.saved.as_ref().is_some_and(in_file);
        let mut state = lock(&self.state);
        if state.hot.insert(func) && !is_known {
            state.news.functions += 1;
        }
    }

    /// Notes functions of a part that have been called and are interpreted.
    pub(crate) fn called(&self, part: u32, called: Vec<Use>) {
        lock(&self.state).used.insert(part, called);
    }

    /// Works out what is to be listed of the functions that were noted as called. Gives what of them might have machine code and has none.
    pub(crate) fn settle_called(&self) -> Lacking {
        let of_part = |(part, used): (&u32, &Vec<Use>)| {
            let part = *part;
            used.clone().into_iter().map(move |used| (PartFunc { part, func: used.func }, used))
        };
        let mut called: Vec<(PartFunc, Use)> = lock(&self.state).used.iter().flat_map(of_part).collect();
        called.retain(|(func, _)| !self.has(*func));
        let branches = called.iter().fold(0u64, |sum, (_, used)| sum.saturating_add(used.branches));
        let hot: Vec<PartFunc> = lock(&self.state).hot.iter().copied().collect();
        let hot = hot.into_iter().filter(|func| !self.has(*func)).count();
        let lacking = Lacking { functions: called.len(), hot, branches };
        let listed: HashSet<PartFunc> =
            self.saved.iter().flat_map(|saved| saved.head().profile.iter().copied()).collect();
        let is_felt = lacking.is_much();
        called.sort_by_key(|(func, used)| (std::cmp::Reverse(used.worth), *func));
        let mut state = lock(&self.state);
        let noted: HashSet<PartFunc> = state.called.iter().chain(&state.unfelt).copied().collect();
        // The file is to list what would be felt, and nothing else of what was called.
        let is_news = |func: &PartFunc| listed.contains(func) != is_felt && !noted.contains(func);
        state.news.functions += called.iter().filter(|(func, _)| is_news(func)).count();
        for (func, since) in std::mem::take(&mut state.trying) {
            let took = since.elapsed();
            if took > TOO_LONG {
                state.refused.insert(func);
            } else if took > NOTED {
                state.unfinished.push(func);
            }
            state.news.functions += usize::from(took > NOTED);
        }
        let called = called.into_iter().map(|(func, _)| func);
        (state.called, state.unfelt) = match is_felt {
            true => (called.collect(), HashSet::new()),
            false => (Vec::new(), called.collect()),
        };
        if std::mem::take(&mut state.lacks_calls) {
            state.news.functions += state.called.len();
        }
        lacking
    }

    /// Notes how many trampolines were used that are not in the file. Where there is none, they alone are not worth one.
    pub(crate) fn used_trampolines(&self, count: usize) {
        let mut state = lock(&self.state);
        if self.saved.is_some() && count > state.trampolines {
            state.news.functions += count - state.trampolines;
            state.trampolines = count;
        }
    }

    /// Notes that a function is going to be compiled for later runs.
    pub(crate) fn try_later(&self, func: PartFunc) {
        lock(&self.state).trying.insert(func, Instant::now());
    }

    /// Notes that it has been.
    pub(crate) fn tried(&self, func: PartFunc) {
        lock(&self.state).trying.remove(&func);
    }

    /// Notes a function that cannot be compiled.
    pub(crate) fn refused(&self, func: PartFunc) {
        let is_known = self.has(func);
        let mut state = lock(&self.state);
        state.news.functions += usize::from(!is_known && state.refused.insert(func));
    }

    /// Whether it is known how compiling a function ends: there is code for it, made now or earlier, or there cannot be.
    pub(crate) fn has(&self, func: PartFunc) -> bool {
        let is_saved = |saved: &Arc<SavedCode>| {
            saved.head().refused.binary_search(&func).is_ok() || saved.has(EntryPoint::start(func))
        };
        let state = lock(&self.state);
        state.made.contains_key(&EntryPoint::start(func))
            || state.refused.contains(&func)
            || self.saved.as_ref().is_some_and(is_saved)
    }

    /// Writes the file if that is worth it. Nobody is told where that fails: the file is as it was, and the next run compiles again.
    pub(crate) fn write_if_worth_it(
        &self,
        occasion: Occasion,
        trampolines: impl FnOnce() -> Vec<SavedTrampoline>,
    ) {
        let _writing = lock(&self.writing);
        let mut state = lock(&self.state);
        if state.is_complete || !state.is_worth_writing(occasion, self.saved_bytes()) {
            return;
        }
        let news = std::mem::take(&mut state.news);
        state.lacks_calls = occasion == Occasion::Idle;
        let made = state.made.clone();
        let mut refused = state.refused.clone();
        // What was used most first, then what earlier runs have used and did not get its turn.
        let mut profile = state.called.clone();
        profile.extend(&state.hot);
        let (unfinished, unfelt) = (state.unfinished.clone(), state.unfelt.clone());
        // Who compiles meanwhile is not kept waiting.
        drop(state);
        let newer = self.newer();
        for saved in self.saved.as_deref().into_iter().chain(&newer) {
            profile.extend(&saved.head().profile);
            refused.extend(&saved.head().refused);
        }
        profile.retain(|func| !unfinished.contains(func) && !unfelt.contains(func));
        profile.extend(unfinished);
        let functions = self.functions(&made, newer.as_ref());
        let starts = functions.iter().map(|function| function.entry).filter(|entry| entry.is_start());
        let mut known: BTreeSet<PartFunc> = starts.map(|entry| entry.func).collect();
        known.extend(&refused);
        profile.retain(|func| known.insert(*func));
        let contents = Contents {
            key: self.key,
            module: &[],
            functions,
            profile,
            refused: refused.into_iter().collect(),
            trampolines: with_trampolines_of(newer.as_ref(), trampolines()),
        };
        if self.write(contents).is_err() {
            // There may be room another time.
            let mut state = lock(&self.state);
            state.news.bytes += news.bytes;
            state.news.functions += news.functions;
            state.news.verdict |= news.verdict;
        }
    }

    /// Writes everything that there will ever be to say.
    pub(crate) fn complete(&self, contents: Contents<'_>) -> io::Result<()> {
        let _writing = lock(&self.writing);
        self.write(contents)?;
        lock(&self.state).is_complete = true;
        Ok(())
    }

    fn write(&self, contents: Contents<'_>) -> io::Result<()> {
        let ready = contents.ready(self.directory.seal())?;
        self.directory.directory.write(&self.key.file_name(), ready.bytes(), |to| ready.write(to))
    }

    /// The file as it is now, which others may have written since it was read: what they found out is not to be lost.
    fn newer(&self) -> Option<SavedCode> {
        self.directory.find(&self.key)
    }

    /// What was made, and of what was saved all that has not been made again or found damaged, with what others have saved beside it; ascending. Loops of
    /// functions that have code from their start on are not entered any more.
    fn functions<'a>(
        &'a self,
        made: &'a BTreeMap<EntryPoint, Made>,
        newer: Option<&'a SavedCode>,
    ) -> Vec<Function<'a>> {
        let mut functions: BTreeMap<EntryPoint, Function<'a>> = BTreeMap::new();
        for saved in newer.into_iter().chain(self.saved.as_deref()) {
            for (at, function) in saved.head().functions.iter().enumerate() {
                if !saved.is_damaged(at) {
                    let (entry, digest) = (function.entry, function.digest);
                    let (code, tables) = saved.bytes(at);
                    functions.insert(entry, Function { entry, code, tables, digest });
                } else {
                    functions.remove(&function.entry);
                }
            }
        }
        for (entry, Made { code, tables, digest }) in made {
            let function =
                Function { entry: *entry, code: code.bytes(), tables: tables.bytes(), digest: *digest };
            functions.insert(*entry, function);
        }
        let has_start = |entry: &EntryPoint| functions.contains_key(&EntryPoint::start(entry.func));
        let is_entered = |(entry, _): &(&EntryPoint, _)| entry.is_start() || !has_start(entry);
        functions.iter().filter(is_entered).map(|(_, function)| *function).collect()
    }

    fn saved_bytes(&self) -> usize {
        self.saved.as_ref().map_or(0, |saved| saved.addresses().len())
    }
}

/// Trampolines, with those of another file that are for something else.
fn with_trampolines_of(
    newer: Option<&SavedCode>,
    mut trampolines: Vec<SavedTrampoline>,
) -> Vec<SavedTrampoline> {
    let known: HashSet<_> = trampolines.iter().map(|trampoline| trampoline.key.clone()).collect();
    let others = newer.into_iter().flat_map(|newer| &newer.head().trampolines);
    trampolines.extend(others.filter(|trampoline| !known.contains(&trampoline.key)).cloned());
    trampolines.sort_by(|a, b| a.key.cmp(&b.key));
    trampolines
}

impl State {
    fn is_worth_writing(&self, occasion: Occasion, saved_bytes: usize) -> bool {
        let made_bytes: usize = self.made.values().map(|made| made.code.bytes().len()).sum();
        let written_bytes = saved_bytes + made_bytes - self.news.bytes.min(made_bytes);
        match occasion {
            Occasion::Filled => self.news.functions > 0,
            Occasion::Step => {
                let news = self.news.bytes + self.news.functions * BYTES_OF_FUNCTION;
                news >= STEP_BYTES.max(written_bytes / STEP_PART)
            }
            Occasion::Idle => self.news.bytes >= FEW_BYTES.max(written_bytes),
            Occasion::End => self.news.verdict || self.news.functions > 0,
        }
    }
}
