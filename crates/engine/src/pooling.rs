//! What an engine keeps of stores that are gone for those to come, and how many there may be at a time.

/// How many stores and memories an engine's embedder wants at a time, and how much waits for the next ones.
///
/// A store is made in about a microsecond where an earlier one has left its record, its stacks and its memories behind. These take address space (8 GiB for a memory, some 34 MiB
/// for stacks) and little memory while they wait: up to 512 KiB for stacks that were used, and [`Pooling::resident_memory_bytes`] for a memory.
///
/// Each instance with a memory takes some 8 GiB of addresses and five mappings, of which Linux allows a process 128 TiB and 65,530 (`vm.max_map_count`): more than some 13,000 at once are an error that says so. Whoever
/// wants more raises that number, or has memories take the addresses that they use ([`crate::MemoryLayout::Exact`]: 36 MiB and two mappings), at the price of slower accesses.
///
/// A module that is instantiated for the second time gets an *image* of what its memory begins with, which its instances share until they write to it. An image takes as much memory as it is long,
/// and a descriptor, until the module and its instances are gone. Where there are as many as there may be, instances of other modules have their data copied.
#[derive(Clone, Debug)]
pub struct Pooling {
    /// Stores that may exist at a time; one more is an error. None: any number. An [`crate::InterruptHandle`] that outlives its store is not one of them, and keeps the two pages of its record.
    pub most_stores: Option<usize>,
    /// Linear memories that all stores may have together, shared ones not counted; one more is an error. None: any number.
    pub most_memories: Option<usize>,
    /// Records and stacks that are kept for stores to come.
    pub idle_stores: usize,
    /// Memories that are kept for stores to come.
    pub idle_memories: usize,
    /// Bytes of a memory that wait with it, at most: pages that its last guest has written to are overwritten, with zeros or with what the module's image has there, so that the next guest writes to them
    /// without a fault. What is more than that is given back to the system, as is everything where the system does not tell which pages were written to (Linux 6.7 does).
    pub resident_memory_bytes: usize,
    /// Images that there may be at a time.
    pub most_images: usize,
    /// Bytes of all images together.
    pub most_image_bytes: usize,
}

impl Default for Pooling {
    fn default() -> Pooling {
        Pooling {
            most_stores: None,
            most_memories: None,
            idle_stores: 64,
            idle_memories: 64,
            resident_memory_bytes: 256 << 10,
            most_images: 256,
            most_image_bytes: 256 << 20,
        }
    }
}
