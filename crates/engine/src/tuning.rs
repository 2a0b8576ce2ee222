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
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            memory_layout: MemoryLayout::Auto,
            collection: Collection::WhenDue,
            parallel_validation_bytes: 256 << 10,
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
