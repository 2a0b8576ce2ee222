//! What waits to be compiled, and what of it comes next.
//!
//! How hot something is changes while it waits, so that everything is looked at again now and then: after each job where there are few, and after so many jobs where there are very
//! many that all the looking takes a time in proportion to their number.
//!
//! Must stay true: what is put in is given out once, or forgotten and told to its module to become hot again. Not here: locks and threads.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Weak};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{Hot, ModuleParts};

use crate::worth::{self, function_of};

/// Everything is looked at so many times at most while half of it is compiled.
const LOOKS: usize = 64;

/// What is to be compiled.
pub(super) struct Job {
    module: Weak<ModuleParts>,
    what: Hot,
    /// Whether something else has been preferred.
    has_waited: bool,
}

/// A function: its module's address, which no other has while a job of it is there, and its index.
type Of = (usize, u32);

#[derive(Default)]
pub(super) struct Waiting {
    functions: Vec<Job>,
    /// Loops, by their functions.
    loops: BTreeMap<Of, Vec<Job>>,
    /// What comes next, the first of it last.
    next: Vec<Job>,
}

impl Job {
    pub(super) fn new(module: Weak<ModuleParts>, what: Hot) -> Job {
        Job { module, what, has_waited: false }
    }

    /// What is to be compiled, if its module is still there.
    pub(super) fn begin(self) -> Option<(Arc<ModuleParts>, Hot)> {
        Some((self.module.upgrade()?, self.what))
    }

    /// Lets it become hot again.
    pub(super) fn forget(&self) {
        if let Some(module) = self.module.upgrade() {
            module.code().cool(&self.what);
        }
    }

    fn of(&self) -> Of {
        (Weak::as_ptr(&self.module).addr(), function_of(&self.what).0)
    }

    fn is_loop(&self) -> bool {
        matches!(self.what, Hot::Loop(_))
    }
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.loops.is_empty() && self.next.is_empty()
    }

    pub(super) fn push(&mut self, job: Job) {
        match &job.what {
            Hot::Function(_) => self.functions.push(job),
            Hot::Loop(_) => self.loops.entry(job.of()).or_default().push(job),
        }
    }

    pub(super) fn append(&mut self, mut other: Waiting) {
        self.functions.append(&mut other.functions);
        self.next.append(&mut other.next);
        for (of, mut loops) in other.loops {
            self.loops.entry(of).or_default().append(&mut loops);
        }
    }

    /// What comes next, if that has been chosen.
    pub(super) fn take_next(&mut self) -> Option<Job> {
        self.next.pop()
    }

    /// Takes all loops of a function: something of it has been compiled.
    pub(super) fn take_loops_of(&mut self, module: &ModuleParts, func: DefinedFuncIndex) -> Vec<Job> {
        let of = (std::ptr::from_ref(module).addr(), func.0);
        let mut loops = self.loops.remove(&of).unwrap_or_default();
        loops.extend(self.next.extract_if(.., |job| job.is_loop() && job.of() == of));
        loops
    }

    /// Chooses what comes next: what is worth most. Forgets what is worth nothing any more, and what is of modules that are gone.
    pub(super) fn choose(&mut self) {
        let functions: HashSet<Of> = self.functions.iter().map(Job::of).collect();
        let loops = std::mem::take(&mut self.loops).into_values().flatten();
        let all = std::mem::take(&mut self.functions).into_iter().chain(loops);
        let mut chosen = Vec::new();
        for mut job in all {
            let Some(module) = job.module.upgrade() else { continue };
            let worth = worth::of(&module, &job.what);
            if worth == 0 && job.has_waited {
                job.forget();
                continue;
            }
            job.has_waited = true;
            if job.is_loop() && functions.contains(&job.of()) {
                // Its function comes first.
                self.push(job);
            } else {
                chosen.push((worth, job));
            }
        }
        chosen.sort_by_key(|(worth, _)| *worth);
        let rest = chosen.len() - chosen.len().div_ceil(LOOKS);
        self.next.extend(chosen.drain(rest..).map(|(_, job)| job));
        chosen.into_iter().for_each(|(_, job)| self.push(job));
    }
}
