//! Objects of guests: structures, arrays, exceptions, and objects of the host; and the heap that owns them.
//!
//! A reference is one slot: 0 is null, an odd number is an `i31` (its bits shifted left by one), anything else is the address of a
//! [`VmObject`]. The heap never moves an object. Collection is mark and sweep: the guest's stack is scanned conservatively (any slot that
//! has an object's address keeps it), everything else by its type.
//!
//! Must stay true: an address that a slot holds is that of a living object as long as the slot can be read.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Arc;

use super::VmTag;
use super::record::InterruptHandle;
use crate::budget::{Budget, BudgetKind, Charge};
use crate::composite::{CompositeType, StorageType};
use crate::host_panics::FirstPanic;
use crate::registry::TypeRecord;
use crate::sys::release_pages;
use crate::tuning::Collection;
use crate::types::ValType;

/// The head of an object; its contents follow at [`VmObject::CONTENTS`].
#[repr(C, align(16))]
pub struct VmObject {
    /// The type of a structure or array; null for others.
    pub ty: *const TypeRecord,
    /// What it is.
    pub kind: ObjectKind,
    /// The last collection that has found it in use; see [`Heap::collection_number`].
    marked_by: u16,
    /// Elements of an array; slots of anything else.
    pub len: u32,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ObjectKind {
    /// A structure: each field takes whole slots.
    Struct,
    /// An array: elements take as many bytes as their type needs.
    Array,
    /// An exception: the address of its tag, then the slots of its values.
    Exception,
    /// An object of the host: a fat pointer of an `Arc`.
    Host,
}

impl VmObject {
    /// Bytes from an object's address to its contents.
    pub const CONTENTS: usize = size_of::<VmObject>();

    /// The first byte of the contents.
    ///
    /// # Safety
    /// `object` is an object of a living heap.
    #[inline(always)]
    #[must_use]
    pub unsafe fn contents(object: *mut VmObject) -> *mut u8 {
        // SAFETY: every object is allocated with its head.
        unsafe { object.cast::<u8>().add(VmObject::CONTENTS) }
    }
}

/// All objects of a store.
pub(crate) struct Heap {
    objects: Vec<NonNull<VmObject>>,
    bytes: usize,
    /// Bytes at which the next collection is due.
    threshold_bytes: usize,
    /// Objects of the host. What each keeps alive is known to nobody: so their number alone makes a collection due as well.
    hosts: usize,
    /// At how many of them the next collection is due.
    threshold_hosts: usize,
    limit_bytes: usize,
    /// At least what the objects cost; in steps, so that most allocations need not look at it.
    charge: Charge,
    collection: Collection,
    pending_marks: Vec<NonNull<VmObject>>,
    /// The number of the collection that is under way, or was last: an object is marked that has it. So nothing needs to be done to the marks of one that
    /// is given up. Zero is no collection's.
    collection_number: u16,
    /// Who can say that the guest is to stop, while a collection is under way.
    stop: Option<InterruptHandle>,
    /// Work until it is asked again.
    work_left: u32,
    is_given_up: bool,
}

/// Work between two looks whether the guest is to stop, in references that are looked up. Each takes some hundred nanoseconds at most, when nothing
/// of what it needs is in a cache of the processor.
const WORK: u32 = 1 << 14;

/// Elements that take as much time as looking up one reference where none of them is one.
const ELEMENTS_LIKE_A_REFERENCE: usize = 1 << 6;

/// Bytes that take as much time to be freed as looking up one reference.
const BYTES_LIKE_A_REFERENCE: usize = 4 << 10;

/// Pages that are given back to the system at once: some milliseconds.
const RELEASED_BYTES: usize = 32 << 20;

// SAFETY: objects are owned by the heap; access needs the store, which one thread holds at a time.
unsafe impl Send for Heap {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for Heap {}

/// What is allocated.
pub(crate) enum Allocation {
    /// A structure or an array of so many slots or elements.
    Typed(*const TypeRecord, u32),
    /// An exception with so many slots, its tag's included.
    Exception(u32),
    /// An object of the host.
    Host(Arc<dyn Any + Send + Sync>),
}

pub(crate) type HostObject = Arc<dyn Any + Send + Sync>;

/// What an object costs beside its own bytes: the allocator's record of it, and the heap's lists of objects and of those to be marked.
const OBJECT_COST_BYTES: usize = 32;

/// What is charged at once.
const CHARGED_BYTES: usize = 256 << 10;

const FIRST_THRESHOLD_BYTES: usize = 4 << 20;

const FIRST_THRESHOLD_HOSTS: usize = 1 << 10;

impl Heap {
    pub(crate) fn new(limit_bytes: usize, collection: Collection, budget: &Budget) -> Heap {
        Heap {
            charge: budget.empty(BudgetKind::Heap),
            objects: Vec::new(),
            bytes: 0,
            threshold_bytes: FIRST_THRESHOLD_BYTES,
            hosts: 0,
            threshold_hosts: FIRST_THRESHOLD_HOSTS,
            limit_bytes,
            collection,
            pending_marks: Vec::new(),
            collection_number: 0,
            stop: None,
            work_left: WORK,
            is_given_up: false,
        }
    }

    /// Whether a collection should come before an allocation, which takes `bytes`.
    pub(crate) fn is_due(&self, allocation: &Allocation, bytes: usize) -> bool {
        self.collection == Collection::EveryAllocation
            || self.bytes.saturating_add(bytes) > self.threshold_bytes
            || self.hosts >= self.threshold_hosts && matches!(allocation, Allocation::Host(_))
    }

    /// A new object where no collection should come before it and there is room.
    #[inline]
    pub(crate) fn allocate_if_not_due(
        &mut self,
        allocation: Allocation,
    ) -> Result<NonNull<VmObject>, Allocation> {
        match Heap::size_bytes(&allocation) {
            Some(bytes) if !self.is_due(&allocation, bytes) => self.allocate(allocation),
            _ => Err(allocation),
        }
    }

    /// Bytes that the allocation takes; none where that is more than there can be.
    pub(crate) fn size_bytes(allocation: &Allocation) -> Option<usize> {
        let contents = match allocation {
            Allocation::Typed(ty, len) => {
                // SAFETY: a type record lives as long as the modules of the instances that made objects of it, which the store drops after its heap.
                let unit = match unsafe { &(**ty).ty.composite } {
                    CompositeType::Array(element) => element.storage.size_bytes(),
                    _ => size_of::<u64>(),
                };
                unit.checked_mul(*len as usize)?
            }
            Allocation::Exception(len) => size_of::<u64>().checked_mul(*len as usize)?,
            Allocation::Host(_) => size_of::<HostObject>(),
        };
        contents.checked_add(VmObject::CONTENTS)?.checked_next_multiple_of(16)
    }

    /// A new object of zeros. What should have been allocated comes back where the limit, the budget or the system refuses: after a collection there
    /// may be room for it.
    pub(crate) fn allocate(&mut self, allocation: Allocation) -> Result<NonNull<VmObject>, Allocation> {
        let Some((object, bytes)) = self.room_for(&allocation) else { return Err(allocation) };
        let (ty, kind, len) = match &allocation {
            Allocation::Typed(ty, len) => {
                // SAFETY: as in `size_bytes`.
                let is_array = matches!(unsafe { &(**ty).ty.composite }, CompositeType::Array(_));
                (*ty, if is_array { ObjectKind::Array } else { ObjectKind::Struct }, *len)
            }
            Allocation::Exception(len) => (std::ptr::null(), ObjectKind::Exception, *len),
            Allocation::Host(_) => (std::ptr::null(), ObjectKind::Host, 2),
        };
        // SAFETY: just allocated, with room for the head and the contents.
        unsafe {
            object.write(VmObject { ty, kind, marked_by: 0, len });
            if let Allocation::Host(host) = allocation {
                VmObject::contents(object.as_ptr()).cast::<HostObject>().write(host);
                self.hosts += 1;
            }
        }
        self.bytes += bytes;
        self.objects.push(object);
        Ok(object)
    }

    /// Memory for an object, with its size, and room in the lists of objects.
    fn room_for(&mut self, allocation: &Allocation) -> Option<(NonNull<VmObject>, usize)> {
        let bytes = Heap::size_bytes(allocation)?;
        if self.bytes.checked_add(bytes)? > self.limit_bytes {
            return None;
        }
        let cost = self.cost_bytes().saturating_add(bytes).saturating_add(OBJECT_COST_BYTES);
        if cost as u64 > self.charge.bytes() {
            self.charge_for(cost)?;
        }
        let layout = Layout::from_size_align(bytes, 16).ok()?;
        self.objects.try_reserve(1).ok()?;
        // A collection, which comes where memory is short, may have to remember them all.
        let marks = self.objects.len() + 1 - self.pending_marks.len().min(self.objects.len());
        self.pending_marks.try_reserve(marks).ok()?;
        // SAFETY: the size is not zero: it has the head.
        let object = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some((object.cast(), bytes))
    }

    /// What all objects cost.
    fn cost_bytes(&self) -> usize {
        self.bytes.saturating_add(self.objects.len().saturating_mul(OBJECT_COST_BYTES))
    }

    /// Charges for objects that cost so much, and some more; near the budget's end just for those.
    #[cold]
    fn charge_for(&mut self, cost: usize) -> Option<()> {
        let stepped = cost.checked_next_multiple_of(CHARGED_BYTES)?;
        self.charge.set(stepped as u64).or_else(|_| self.charge.set(cost as u64)).ok()
    }

    /// The host's object behind a reference.
    pub(crate) fn host_object(&self, slot: u64) -> Option<HostObject> {
        let object = object_at(slot)?;
        // SAFETY: the slot is a reference of this store's, hence alive.
        unsafe {
            if (*object.as_ptr()).kind != ObjectKind::Host {
                return None;
            }
            Some((*VmObject::contents(object.as_ptr()).cast::<HostObject>()).clone())
        }
    }

    /// Starts a collection, which is given up where `stop` says that the guest is to stop: then nothing is marked or freed any more, and all that is
    /// unmarked stays for the next collection to find.
    ///
    /// Not inlined: what it sorts with would be left in the frame of whoever collects, and the scan of the native stack would take it for references.
    #[inline(never)]
    pub(crate) fn begin_collection(&mut self, stop: &InterruptHandle) {
        self.stop = Some(stop.clone());
        self.is_given_up = false;
        if self.collection_number == u16::MAX && !self.clear_marks() {
            // The next one begins with the marks again.
            return;
        }
        self.collection_number += 1;
        let mut objects = std::mem::take(&mut self.objects);
        sort_in_portions(&mut objects, || self.is_given_up_after(WORK));
        self.objects = objects;
    }

    /// Lets no mark of long ago count as a new one; false where the collection was given up.
    fn clear_marks(&mut self) -> bool {
        for i in 0..self.objects.len() {
            if self.is_given_up_after(1) {
                return false;
            }
            // SAFETY: the heap owns its objects, and frees none but in a sweep.
            unsafe { (*self.objects[i].as_ptr()).marked_by = 0 };
        }
        self.collection_number = 0;
        true
    }

    /// Ends a collection; false where it was given up.
    pub(crate) fn end_collection(&mut self) -> bool {
        self.stop = None;
        self.pending_marks.clear();
        !self.is_given_up
    }

    /// Notes work that was done; whether the collection is given up.
    #[inline]
    pub(crate) fn is_given_up_after(&mut self, work: u32) -> bool {
        if work < self.work_left {
            self.work_left -= work;
        } else {
            self.work_left = WORK;
            self.is_given_up |= self.stop.as_ref().is_some_and(InterruptHandle::is_stop_asked);
        }
        self.is_given_up
    }

    /// Keeps what slots may refer to that are no part of an object, whatever their bits are.
    pub(crate) fn mark_slots(&mut self, slots: &[u64]) {
        for portion in slots.chunks(ELEMENTS_LIKE_A_REFERENCE) {
            if self.is_given_up_after(1) {
                return;
            }
            portion.iter().for_each(|slot| self.mark_slot(*slot));
        }
    }

    /// Keeps what a slot may refer to, whatever the slot's bits are.
    pub(crate) fn mark_slot(&mut self, slot: u64) {
        let Some(object) = object_at(slot) else { return };
        // One that was given up may have left them out of order.
        if !self.is_given_up_after(1) && self.objects.binary_search(&object).is_ok() {
            self.mark(object);
        }
    }

    /// Keeps the object that a word of machine code's stack points into, if it does: a compiler may keep an address inside an object and
    /// forget that of its head.
    pub(crate) fn mark_address(&mut self, word: u64) {
        let address = word as usize;
        if self.is_given_up_after(1) {
            return;
        }
        let above = self.objects.partition_point(|object| object.as_ptr() as usize <= address);
        let Some(object) = above.checked_sub(1).map(|below| self.objects[below]) else { return };
        // SAFETY: the object is this heap's, hence alive.
        let bytes = unsafe { object_bytes(object) };
        // One past the end is where a walk over the elements may stand.
        if address - object.as_ptr() as usize <= bytes {
            self.mark(object);
        }
    }

    /// Keeps everything that can be reached from what was marked so far. Not inlined, as [`Heap::begin_collection`].
    #[inline(never)]
    pub(crate) fn trace(&mut self) {
        while let Some(object) = self.pending_marks.pop() {
            if self.is_given_up_after(1) {
                return;
            }
            // SAFETY: only objects of this heap are pushed, and none is freed before the sweep.
            unsafe { self.trace_contents(object.as_ptr()) };
        }
    }

    /// Frees what was not marked. Objects of the host go to `hosts`: their destructors are the host's code, and may do anything, so that they are run when the
    /// heap is as it should be again. Not inlined, as [`Heap::begin_collection`].
    #[inline(never)]
    pub(crate) fn sweep(&mut self, hosts: &mut Vec<HostObject>) {
        // From the end, so that what takes the place of a freed one has been looked at. Their order is that of addresses only while marking.
        for i in (0..self.objects.len()).rev() {
            let object = self.objects[i];
            // SAFETY: the object is this heap's; unmarked, nothing refers to it any more. Destructors of the host run after the sweep, so that whatever they do
            // finds the
            // heap consistent.
            unsafe {
                let is_marked = (*object.as_ptr()).marked_by == self.collection_number;
                // The system takes its time for each page that it gets back.
                let pages = if is_marked { 0 } else { object_bytes(object) / BYTES_LIKE_A_REFERENCE };
                if self.is_given_up_after(1 + pages as u32) {
                    return;
                }
                if is_marked {
                    continue;
                }
                if !self.release_contents(object) {
                    return;
                }
                self.objects.swap_remove(i);
                let (bytes, host) = free(object);
                self.bytes -= bytes;
                self.hosts -= usize::from(host.is_some());
                hosts.extend(host);
            }
        }
        self.threshold_bytes = (self.bytes.saturating_mul(2)).max(FIRST_THRESHOLD_BYTES);
        self.threshold_hosts = self.hosts.saturating_mul(2).max(FIRST_THRESHOLD_HOSTS);
        let charged = self.cost_bytes().next_multiple_of(CHARGED_BYTES) as u64;
        if charged < self.charge.bytes() {
            // To hold less is never refused.
            let _ = self.charge.set(charged);
        }
    }

    /// Gives the memory of a very large object back in portions, since the system would do it all at once; false where the collection was given up. Then
    /// the object is still there, with zeros here and there.
    ///
    /// # Safety
    /// The object is this heap's, and nothing refers to it.
    #[inline]
    unsafe fn release_contents(&mut self, object: NonNull<VmObject>) -> bool {
        // SAFETY: the sweep passes objects of this heap that nothing has marked. Contents of arrays are private memory that nobody needs any more.
        unsafe {
            let len = object_bytes(object) - VmObject::CONTENTS;
            if len <= RELEASED_BYTES || object.as_ref().kind != ObjectKind::Array {
                return true;
            }
            let contents = VmObject::contents(object.as_ptr());
            for start in (0..len).step_by(RELEASED_BYTES) {
                if self.is_given_up_after(WORK) {
                    return false;
                }
                release_pages(contents.add(start), RELEASED_BYTES.min(len - start));
            }
            true
        }
    }

    fn mark(&mut self, object: NonNull<VmObject>) {
        // SAFETY: the object is this heap's, hence alive.
        let head = unsafe { &mut *object.as_ptr() };
        if head.marked_by != self.collection_number {
            head.marked_by = self.collection_number;
            self.pending_marks.push(object);
        }
    }

    /// # Safety
    /// `object` is this heap's.
    unsafe fn trace_contents(&mut self, object: *mut VmObject) {
        // SAFETY: contents are as long as the head says; slots of reference type hold references of this heap, or functions.
        unsafe {
            let slots = VmObject::contents(object).cast::<u64>();
            match (*object).kind {
                ObjectKind::Host => {}
                // The values' types are the tag's; scanning them conservatively spares looking it up.
                ObjectKind::Exception => {
                    for i in 1..(*object).len as usize {
                        self.mark_slot(*slots.add(i));
                    }
                }
                ObjectKind::Array => {
                    let CompositeType::Array(element) = &(*(*object).ty).ty.composite else { return };
                    if matches!(element.storage, StorageType::Val(ValType::Ref(_))) {
                        self.mark_slots(std::slice::from_raw_parts(slots, (*object).len as usize));
                    }
                }
                ObjectKind::Struct => {
                    let CompositeType::Struct(fields) = &(*(*object).ty).ty.composite else { return };
                    let mut at = 0;
                    for field in fields.iter() {
                        if matches!(field.storage, StorageType::Val(ValType::Ref(_))) {
                            self.mark_slot(*slots.add(at));
                        }
                        at += field.storage.unpacked().slots() as usize;
                    }
                }
            }
        }
    }
}

impl Heap {
    /// Frees all objects: the store goes, or begins anew, and nobody uses what refers to them any more.
    pub(crate) fn free_all(&mut self, panics: &mut FirstPanic) {
        (self.bytes, self.hosts) = (0, 0);
        // SAFETY: the store drops or empties what refers to an object next, and no guest runs in it; what is drained is not in the list any more.
        panics.drop_all(self.objects.drain(..).filter_map(|object| unsafe { free(object) }.1));
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        self.free_all(&mut panics);
        panics.go_on();
    }
}

/// Sorts, and asks again and again whether to give up; then everything is still there, in any order.
fn sort_in_portions<T: Ord + Copy>(all: &mut [T], mut is_given_up: impl FnMut() -> bool) {
    /// As many are sorted at once: some milliseconds.
    const AT_ONCE: usize = 1 << 16;
    let mut unsorted = vec![(0, all.len())];
    while let Some((start, end)) = unsorted.pop() {
        if is_given_up() {
            return;
        }
        let part = &mut all[start..end];
        if part.len() <= AT_ONCE {
            part.sort_unstable();
            continue;
        }
        let pivot = median_of_some(part);
        // What is less than the pivot lies before `middle`, and the rest of what was looked at behind it.
        let mut middle = 0;
        for first in (0..part.len()).step_by(AT_ONCE) {
            if is_given_up() {
                return;
            }
            for i in first..part.len().min(first + AT_ONCE) {
                part.swap(middle, i);
                middle += usize::from(part[middle] < pivot);
            }
        }
        if middle == 0 {
            // Nothing is less than the pivot, which is of no use then. Does not happen where no two are equal.
            part.sort_unstable();
            continue;
        }
        unsorted.extend([(start, start + middle), (start + middle, end)]);
    }
}

fn median_of_some<T: Ord + Copy>(all: &[T]) -> T {
    const SOME: usize = 63;
    let mut some: [T; SOME] = std::array::from_fn(|i| all[i * (all.len() / SOME)]);
    some.sort_unstable();
    some[SOME / 2]
}

/// The object that a slot refers to, if it is neither null nor an `i31`.
#[inline(always)]
pub(crate) fn object_at(slot: u64) -> Option<NonNull<VmObject>> {
    if slot & 1 != 0 {
        return None;
    }
    NonNull::new(slot as usize as *mut VmObject)
}

/// What an object is.
pub(crate) fn kind(object: NonNull<VmObject>) -> ObjectKind {
    // SAFETY: references that can be had from a store are of living objects.
    unsafe { object.as_ref().kind }
}

/// The tag of an exception and the slots of its values; nothing for another object.
pub(crate) fn exception_parts(object: NonNull<VmObject>) -> Option<(*mut VmTag, Vec<u64>)> {
    if kind(object) != ObjectKind::Exception {
        return None;
    }
    // SAFETY: as for `kind`; an exception's contents are the tag's address and then the values, `len` slots in all.
    unsafe {
        let len = object.as_ref().len as usize;
        let contents = VmObject::contents(object.as_ptr()).cast::<u64>();
        let values = (1..len).map(|slot| contents.add(slot).read()).collect();
        Some((contents.cast::<*mut VmTag>().read(), values))
    }
}

/// Bytes that an object takes, without the head's padding.
///
/// # Safety
/// The object is alive.
unsafe fn object_bytes(object: NonNull<VmObject>) -> usize {
    // SAFETY: callers here take the object from this heap's list, where it stays until it is freed; the type record is alive: the heap goes before the instances,
    // whose modules hold it.
    unsafe {
        let head = object.as_ref();
        let unit = match head.kind {
            ObjectKind::Array => match &(*head.ty).ty.composite {
                CompositeType::Array(element) => element.storage.size_bytes(),
                _ => size_of::<u64>(),
            },
            _ => size_of::<u64>(),
        };
        VmObject::CONTENTS + unit * head.len as usize
    }
}

/// Frees an object; gives how many bytes that was, and what the host had in it.
///
/// # Safety
/// The object is alive, and nothing refers to it.
unsafe fn free(object: NonNull<VmObject>) -> (usize, Option<HostObject>) {
    // SAFETY: the sweep and the heap's end take it from the heap's list, and forget it there; the size is computed as it was at allocation.
    unsafe {
        let head = &*object.as_ptr();
        let allocation = match head.kind {
            ObjectKind::Struct | ObjectKind::Array => Allocation::Typed(head.ty, head.len),
            ObjectKind::Exception => Allocation::Exception(head.len),
            ObjectKind::Host => {
                let host = VmObject::contents(object.as_ptr()).cast::<HostObject>().read();
                Allocation::Host(host)
            }
        };
        let bytes = Heap::size_bytes(&allocation).unwrap_or(0);
        dealloc(object.as_ptr().cast(), Layout::from_size_align_unchecked(bytes, 16));
        match allocation {
            Allocation::Host(host) => (bytes, Some(host)),
            Allocation::Typed(..) | Allocation::Exception(_) => (bytes, None),
        }
    }
}

#[cfg(test)]
mod tests;
