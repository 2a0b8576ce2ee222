//! Every bound that the engine puts on modules and guests, in one place.
//!
//! Reaching one is a clear error or a trap, never an abort of the host. The module's own bounds (function sizes, counts of
//! types, locals and so on) are those that wasmparser checks, which are the JavaScript embedding's.

/// Bounds on what a store's guests may use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of guest stack: frames of interpreted functions. Deeper recursion traps. Rounded up to whole pages.
    pub guest_stack_bytes: usize,
    /// Bytes of the native stack that guest code runs on, beside the guest stack. Deeper recursion traps. Rounded up to whole pages.
    pub native_stack_bytes: usize,
    /// How often host calls guest calls host may nest on one thread of the host, whichever stores the guests are of, and in one store, whichever thread it
    /// is on; each level uses the host's own stack. A level also needs [`Limits::HOST_HEADROOM_BYTES`] of that, or traps.
    pub host_nesting: u32,
    /// Bytes that a guest may make the host hold, all kinds of things together: the limit of the [`crate::Budget`] that a store gets which is
    /// made without one. None: half of the memory that the machine has, or the process may use.
    pub memory_bytes: Option<u64>,
    /// Bytes that objects of garbage-collected types, exceptions and host objects of a store may take together.
    pub heap_bytes: usize,
    /// Bytes that one linear memory may have, beside what its type says; none: no more bounds than that. Growing beyond fails as at the type's maximum.
    pub memory_size: Option<u64>,
    /// Elements that one table may have.
    pub table_elements: u64,
    /// Instances that a store may hold.
    pub instances: usize,
    /// Memories that a store may hold.
    pub memories: usize,
    /// Tables that a store may hold.
    pub tables: usize,
}

impl Limits {
    /// Bytes of stack that a function of the host can count on, from wherever a guest calls it: functions of the host run on the stack of the thread that has
    /// called the guest, and a call within such a function begins only where there is as much left. A thread whose own stack is smaller than twice this keeps half of it.
    pub const HOST_HEADROOM_BYTES: usize = 512 << 10;
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            guest_stack_bytes: 16 << 20,
            native_stack_bytes: 16 << 20,
            host_nesting: 128,
            memory_bytes: None,
            heap_bytes: 4 << 30,
            memory_size: None,
            table_elements: 10_000_000,
            instances: 10_000,
            memories: 1_000_000,
            tables: 1_000_000,
        }
    }
}
