//! Every knob that changes speed or footprint and cannot change what a guest computes.

/// Knobs of the engine; the defaults come from measurements.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// How memories are laid out in the host's address space.
    pub memory_layout: MemoryLayout,
    /// When garbage is collected.
    pub collection: Collection,
    /// Modules with at least this many bytes of code are validated on several threads.
    pub parallel_validation_bytes: usize,
    /// What is compiled, where a tier compiles what is hot.
    pub tier_up: TierUp,
    /// Which calls in compiled code are replaced by the callee's body.
    pub inlining: Inlining,
    /// Which loops in compiled code are there several times in a row.
    pub unrolling: Unrolling,
    /// How components call each other.
    pub adapters: Adapters,
    /// In which order tasks of components go on that could all go on: in that in which they became ready, or in one that this number chooses, always the same one. A component that computes something else then relies
    /// on an order that nobody has promised.
    pub schedule_seed: Option<u64>,
}

/// How values go from one component to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapters {
    /// By code that is generated for the types of each function, and executed as guests' code is.
    Generated,
    /// By one walk over types, which makes a value of the host's of each; what generated code is compared with.
    Walked,
}

/// When interpreted code is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TierUp {
    /// A function is compiled when it has been called so often.
    pub calls: u32,
    /// Each time that so many back-edges to loops' headers have been taken, the loop that took the last one is looked at.
    pub back_edges: u32,
    /// A loop that has been looked at so often is compiled, to be entered in its middle.
    pub looks: u32,
    /// Whether guests wait for what is being compiled.
    pub compilation: Compilation,
}

/// Which calls in compiled code are replaced by the callee's body: of functions that the same module defines, do not call themselves, and, as far as
/// is known, have been called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inlining {
    /// Bytes that a body may have in the binary format, its declarations of locals included.
    pub body_bytes: u32,
    /// How deep bodies may lie in each other; 0 for no inlining at all.
    pub depth: u32,
    /// Bytes that all bodies in one function may have together.
    pub caller_bytes: u32,
}

impl Inlining {
    /// Every call is one.
    #[must_use]
    pub fn never() -> Inlining {
        Inlining { body_bytes: 0, depth: 0, caller_bytes: 0 }
    }
}

impl Default for Inlining {
    fn default() -> Inlining {
        Inlining { body_bytes: 96, depth: 4, caller_bytes: 2048 }
    }
}

/// Which loops in compiled code are there several times in a row, and go back less often: of those that call nothing and have no other loop inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unrolling {
    /// One with at most so many instructions is there twice; 0 for none at all.
    pub twice_operators: u32,
    /// One with at most so many instructions is there four times.
    pub four_times_operators: u32,
}

impl Unrolling {
    /// Every loop is there once.
    #[must_use]
    pub fn never() -> Unrolling {
        Unrolling { twice_operators: 0, four_times_operators: 0 }
    }
}

impl Default for Unrolling {
    fn default() -> Unrolling {
        Unrolling { twice_operators: 120, four_times_operators: 40 }
    }
}

/// Whether guests wait for what is being compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compilation {
    /// They go on in the interpreter meanwhile.
    InBackground,
    /// They wait; for tests, which then see the same switches each time.
    AtOnce,
}

impl TierUp {
    /// Nothing is ever hot, for a tier that has none above it. Loops are still looked at, for whoever requests a safepoint.
    #[must_use]
    pub fn never() -> TierUp {
        TierUp { calls: u32::MAX, back_edges: 4096, looks: u32::MAX, compilation: Compilation::InBackground }
    }

    /// Loops are compiled when they first come round, functions when they are called a second time, and both are waited for; for tests.
    #[must_use]
    pub fn eager() -> TierUp {
        TierUp { calls: 2, back_edges: 1, looks: 1, compilation: Compilation::AtOnce }
    }
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            memory_layout: MemoryLayout::Auto,
            collection: Collection::WhenDue,
            parallel_validation_bytes: 256 << 10,
            tier_up: TierUp {
                calls: 500,
                back_edges: 500,
                looks: 16,
                compilation: Compilation::InBackground,
            },
            inlining: Inlining::default(),
            unrolling: Unrolling::default(),
            adapters: Adapters::Generated,
            schedule_seed: None,
        }
    }
}

/// When garbage is collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// When the heap has doubled.
    WhenDue,
    /// Before every allocation; for tests.
    EveryAllocation,
}

/// How memories are laid out in the host's address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryLayout {
    /// Reserve where the operating system allows it, else exact.
    Auto,
    /// Reserve all that a 32-bit address can reach plus guard pages; growing never moves the memory.
    Reserved,
    /// Map what is in use and a guard page; growing may move the memory.
    Exact,
}
