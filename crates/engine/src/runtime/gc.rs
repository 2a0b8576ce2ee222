//! What executing code asks the engine to do with references, objects and exceptions (core specification 4.6.5 to 4.6.7,
//! "Reference Instructions", "Aggregate Reference Instructions"; 4.6.10, exceptions).
//!
//! # Safety
//! All functions share the contract of [`super`], and `live_end` is the end of the slots in use on the guest's stack:
//! references beyond it are not seen by a collection. Slots given as references are references of the same store.
//!
//! Who keeps it, where the reasons below say *an instruction's*: the interpreter's handlers (`interp/src/op/aggregate.rs`, `op/exception.rs`) and the compiler's libcalls
//! (`jit/src/libcall.rs`). They pass the context that they run with; indices that lowering and translation took from validated instructions; references whose
//! types validation has proved, after the null check that the instruction asks for. Constant expressions (`evaluate.rs`) pass what is validated with the module in the
//! same way. Objects never move, and are freed in a collection only: what was looked at stays good until the next allocation. The thread has the store to
//! itself, so that nobody else sees its objects, its instances or its core meanwhile.

use std::panic::resume_unwind;
use std::ptr::NonNull;

use super::{copy_between, core_of, heed_stop, instance_of};
use crate::composite::{CompositeType, TypeId};
use crate::index::{DataIndex, ElemIndex, TypeIndex};
use crate::portions::{Order, portions, portions_towards};
use crate::registry::TypeRecord;
use crate::store::StoreCore;
use crate::trap::Trap;
use crate::types::{HeapType, ValType};
use crate::vmctx::fiber::scan_native_stack;
use crate::vmctx::object::{Allocation, Heap, ObjectKind, VmObject, object_at};
use crate::vmctx::{VmContext, VmFunc, VmTag};

/// What a cast asks of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CastTarget {
    /// Everything of the hierarchy: `any`, `extern`, `func`, `exn`.
    Top,
    /// `eq`.
    Eq,
    /// `i31`.
    I31,
    /// `struct`.
    Struct,
    /// `array`.
    Array,
    /// Nothing but null: `none`, `noextern`, `nofunc`, `noexn`.
    Bottom,
    /// A structure or array type of the module.
    Concrete,
    /// A function type of the module.
    ConcreteFunc,
}

impl CastTarget {
    /// All of them, in the order of the numbers that code knows them by.
    pub const ALL: [CastTarget; 8] = [
        CastTarget::Top,
        CastTarget::Eq,
        CastTarget::I31,
        CastTarget::Struct,
        CastTarget::Array,
        CastTarget::Bottom,
        CastTarget::Concrete,
        CastTarget::ConcreteFunc,
    ];

    /// The target that a heap type is; `is_func` tells of a defined type whether it is a function's.
    #[must_use]
    pub fn of(heap: HeapType, is_func: impl Fn() -> bool) -> CastTarget {
        match heap {
            HeapType::Any | HeapType::Extern | HeapType::Func | HeapType::Exn => CastTarget::Top,
            HeapType::Eq => CastTarget::Eq,
            HeapType::I31 => CastTarget::I31,
            HeapType::Struct => CastTarget::Struct,
            HeapType::Array => CastTarget::Array,
            HeapType::None | HeapType::NoExtern | HeapType::NoFunc | HeapType::NoExn => CastTarget::Bottom,
            HeapType::Concrete(_) if is_func() => CastTarget::ConcreteFunc,
            HeapType::Concrete(_) => CastTarget::Concrete,
        }
    }
}

/// Whether a reference that is not null belongs to a target; `ty` is the module's type for the concrete ones.
///
/// # Safety
/// See the module's documentation.
#[must_use]
pub unsafe fn reference_is(ctx: *mut VmContext, slot: u64, target: CastTarget, ty: TypeIndex) -> bool {
    // SAFETY: the reference is an instruction's, not null and of the target's hierarchy. Of functions, which `ConcreteFunc` alone asks for, it is the address of a record; of
    // the others an i31, which is odd, or the address of an object. Types of objects and functions live as long as the store, which holds the modules; exceptions and
    // what is the host's have none.
    unsafe {
        match target {
            CastTarget::Top => true,
            CastTarget::Bottom => false,
            CastTarget::I31 => slot & 1 != 0,
            CastTarget::ConcreteFunc => {
                let func = slot as usize as *const VmFunc;
                (*(*func).ty).is_subtype_of(record(ctx, ty))
            }
            _ => {
                let Some(object) = object_at(slot) else { return target == CastTarget::Eq };
                let object = object.as_ref();
                match target {
                    CastTarget::Struct => object.kind == ObjectKind::Struct,
                    CastTarget::Array => object.kind == ObjectKind::Array,
                    CastTarget::Eq => matches!(object.kind, ObjectKind::Struct | ObjectKind::Array),
                    _ => !object.ty.is_null() && (*object.ty).is_subtype_of(record(ctx, ty)),
                }
            }
        }
    }
}

/// A new structure or array of zeros, `len` slots or elements long.
///
/// # Errors
/// [`Trap::AllocationTooLarge`] where the heap's limit refuses it; [`Trap::Interrupted`] and [`Trap::DeadlineExceeded`] in the middle of a collection.
///
/// # Safety
/// See the module's documentation.
pub unsafe fn allocate(
    ctx: *mut VmContext,
    ty: TypeIndex,
    len: u32,
    live_end: *mut u64,
) -> Result<NonNull<VmObject>, Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, indices of validated instructions, and references whose type validation has proved,
    // checked for null by the instruction; records live as long as their module.
    let object = unsafe { new_object(ctx, Allocation::Typed(record(ctx, ty), len), live_end) };
    // SAFETY: as above. First, since a collection that was given up has not freed what could have been.
    unsafe { heed_stop(ctx)? };
    object.ok_or(Trap::AllocationTooLarge)
}

/// A new object; where there has to be a collection before, that runs on the host's stack, and the fiber waits for it with all that its code holds on its own.
///
/// # Safety
/// As [`allocate`].
unsafe fn new_object(
    ctx: *mut VmContext,
    allocation: Allocation,
    live_end: *mut u64,
) -> Option<NonNull<VmObject>> {
    // SAFETY: `allocate` and `allocate_exception` pass the context that they run with, on the store's fiber; `core` was set by the call that this activation is in.
    unsafe {
        let vm = (*ctx).store;
        let core = core_of(vm);
        match (*core).heap.allocate_if_not_due(allocation) {
            Ok(object) => Some(object),
            Err(allocation) => super::on_host(vm, || (*core).allocate(allocation, live_end)),
        }
    }
}

/// A new exception of a tag, with room for its values.
///
/// # Errors
/// As [`allocate`].
///
/// # Safety
/// See the module's documentation; `tag` is a tag of the same store.
pub unsafe fn allocate_exception(
    ctx: *mut VmContext,
    tag: *mut VmTag,
    live_end: *mut u64,
) -> Result<NonNull<VmObject>, Trap> {
    // SAFETY: the context is the running instance's, and its store's core is nobody else's meanwhile; tags are records of the store's that never change. The object is
    // new and has a slot for the tag before those of the values, so that the first one can be written.
    unsafe {
        let object = new_object(ctx, Allocation::Exception(1 + (*tag).param_slots), live_end);
        heed_stop(ctx)?;
        let object = object.ok_or(Trap::AllocationTooLarge)?;
        VmObject::contents(object.as_ptr()).cast::<*mut VmTag>().write(tag);
        Ok(object)
    }
}

/// `array.new_data` and `array.init_data`: copies elements from a data segment.
///
/// # Errors
/// [`Trap::ArrayOutOfBounds`], [`Trap::MemoryOutOfBounds`], and then nothing was written. [`Trap::Interrupted`] and [`Trap::DeadlineExceeded`] in the middle
/// of very many bytes.
///
/// # Safety
/// See the module's documentation; `array` is an array of numbers or vectors.
pub unsafe fn array_init_data(
    ctx: *mut VmContext,
    array: NonNull<VmObject>,
    data: DataIndex,
    to: u32,
    from: u32,
    len: u32,
) -> Result<(), Trap> {
    // SAFETY: the array is an instruction's, and alive: nothing is allocated here. Its contents are the heap's and the segment is the instance's, so that the two do
    // not overlap; `copy_between` compares both ranges with their lengths.
    unsafe {
        let unit = element_bytes(array) as u64;
        check_range(array, to, len)?;
        let data = (*instance_of(ctx)).data(data);
        let to = (bytes_of(array), u64::from(to) * unit);
        copy_between(to, (data, from.into()), u64::from(len) * unit, || heed_stop(ctx))
            .ok_or(Trap::MemoryOutOfBounds)?
    }
}

/// `array.new_elem` and `array.init_elem`: copies references from an element segment.
///
/// # Errors
/// [`Trap::ArrayOutOfBounds`], [`Trap::TableOutOfBounds`], and then nothing was written. Otherwise as [`array_init_data`].
///
/// # Safety
/// See the module's documentation; `array` is an array of references.
pub unsafe fn array_init_elem(
    ctx: *mut VmContext,
    array: NonNull<VmObject>,
    elem: ElemIndex,
    to: u32,
    from: u32,
    len: u32,
) -> Result<(), Trap> {
    // SAFETY: the array is an instruction's, of references, which are whole slots, so that `len` of them are its contents, aligned to 16 bytes. Contents are the
    // heap's and the segment is the instance's, so that the two do not overlap; `copy_between` compares both ranges with their lengths.
    unsafe {
        check_range(array, to, len)?;
        let slots = std::slice::from_raw_parts_mut(
            VmObject::contents(array.as_ptr()).cast::<u64>(),
            array.as_ref().len as usize,
        );
        let from = ((*instance_of(ctx)).elem(elem), from.into());
        copy_between((slots, to.into()), from, len.into(), || heed_stop(ctx)).ok_or(Trap::TableOutOfBounds)?
    }
}

/// Checks that an array-making instruction's source range is inside its segment, before anything is allocated.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`].
///
/// # Safety
/// See the module's documentation; `ty` is an array type.
pub unsafe fn check_data_range(
    ctx: *mut VmContext,
    ty: TypeIndex,
    data: DataIndex,
    from: u32,
    len: u32,
) -> Result<(), Trap> {
    // SAFETY: the context is the running instance's, and both indices are an instruction's.
    unsafe {
        let CompositeType::Array(element) = &record(ctx, ty).ty.composite else { return Ok(()) };
        let bytes = u64::from(len) * element.storage.size_bytes() as u64;
        let available = (*instance_of(ctx)).data(data).len() as u64;
        if u64::from(from) + bytes > available { Err(Trap::MemoryOutOfBounds) } else { Ok(()) }
    }
}

/// As [`check_data_range`], for element segments.
///
/// # Errors
/// [`Trap::TableOutOfBounds`].
///
/// # Safety
/// See the module's documentation.
pub unsafe fn check_elem_range(
    ctx: *mut VmContext,
    elem: ElemIndex,
    from: u32,
    len: u32,
) -> Result<(), Trap> {
    // SAFETY: the context is the running instance's, and the index is an instruction's.
    let available = unsafe { (*instance_of(ctx)).elem(elem).len() } as u64;
    if u64::from(from) + u64::from(len) > available { Err(Trap::TableOutOfBounds) } else { Ok(()) }
}

/// `array.copy`, between arrays whose elements have the same storage.
///
/// # Errors
/// [`Trap::ArrayOutOfBounds`], and then nothing was written. [`Trap::Interrupted`] and [`Trap::DeadlineExceeded`] in the middle of very many elements.
///
/// # Safety
/// See the module's documentation.
pub unsafe fn array_copy(
    ctx: *mut VmContext,
    to: (NonNull<VmObject>, u32),
    from: (NonNull<VmObject>, u32),
    len: u32,
) -> Result<(), Trap> {
    // SAFETY: both arrays are an instruction's, whose elements validation has found to have one storage, so that their units are the same. `elements` has found both ranges
    // to be inside, and portions are parts of them; they may overlap, for which the order is chosen.
    unsafe {
        let (target, unit) = elements(to.0, to.1, len)?;
        let (source, _) = elements(from.0, from.1, len)?;
        let order = Order::of_copy(to.1.into(), from.1.into());
        for portion in portions_towards(len as usize, unit, order) {
            let start = portion.start * unit;
            std::ptr::copy(source.add(start), target.add(start), portion.len() * unit);
            heed_stop(ctx)?;
        }
        Ok(())
    }
}

/// `array.fill`, and the filling of `array.new`.
///
/// # Errors
/// As [`array_copy`].
///
/// # Safety
/// See the module's documentation; `value` has the slots of the element's type, the first in its low half.
pub unsafe fn array_fill(
    ctx: *mut VmContext,
    array: NonNull<VmObject>,
    to: u32,
    value: u128,
    len: u32,
) -> Result<(), Trap> {
    // SAFETY: the array is an instruction's, and the value is of its elements' type.
    unsafe { fill_in_portions(array, to, [value as u64, (value >> 64) as u64], len, || heed_stop(ctx)) }
}

/// Sets elements of an array; `heed` is asked after each portion whether to go on.
///
/// # Safety
/// As [`element_bytes`]; `value` has the slots of the element's type.
unsafe fn fill_in_portions(
    array: NonNull<VmObject>,
    to: u32,
    value: [u64; 2],
    len: u32,
    heed: impl Fn() -> Result<(), Trap>,
) -> Result<(), Trap> {
    // SAFETY: `array_fill` and `fill_array` pass a living array. `elements` has found the range to be inside, and portions are parts of it; `unit` is the size of an
    // element, so that each cell written is one of the range's, whatever it is aligned to.
    unsafe {
        let (start, unit) = elements(array, to, len)?;
        for portion in portions(len as usize, unit) {
            let (first, count) = (start.add(portion.start * unit), portion.len());
            match unit {
                1 => first.write_bytes(value[0] as u8, count),
                2 => fill_cells(first, value[0] as u16, count),
                4 => fill_cells(first, value[0] as u32, count),
                8 => fill_cells(first, value[0], count),
                _ => fill_cells(first, value, count),
            }
            heed()?;
        }
        Ok(())
    }
}

/// # Safety
/// `first` is the first of `count` cells, of memory that can be written.
unsafe fn fill_cells<Cell: Copy>(first: *mut u8, value: Cell, count: usize) {
    for i in 0..count {
        // SAFETY: `fill_in_portions` passes cells of a range that `elements` has compared with the array's length.
        unsafe { first.cast::<Cell>().add(i).write_unaligned(value) };
    }
}

/// Slots that a structure takes.
#[must_use]
pub fn struct_slots(ty: &CompositeType) -> u32 {
    match ty {
        CompositeType::Struct(fields) => fields.iter().map(|field| field.storage.unpacked().slots()).sum(),
        _ => 0,
    }
}

/// [`array_fill`] of an object that `evaluate.rs` has just made, an array of elements that the value is one of; `heed` is asked after each portion whether to go on.
pub(crate) fn fill_array(
    array: NonNull<VmObject>,
    to: u32,
    value: [u64; 2],
    len: u32,
    heed: impl Fn() -> Result<(), Trap>,
) -> Result<(), Trap> {
    // SAFETY: `StoreCore::push_object` has made the object, of the array type that the validated expression names, and it is on the evaluation stack, where
    // collections see it; the value was typed with the expression.
    unsafe { fill_in_portions(array, to, value, len, heed) }
}

/// Writes slots of a structure that `evaluate.rs` has just made, and that has as many.
pub(crate) fn write_slots(object: NonNull<VmObject>, at: u32, slots: &[u64]) {
    // SAFETY: `evaluate.rs` has made the object with as many slots as its type says, and passes one field's or element's at a time, at the sum of those before it.
    unsafe {
        let target = VmObject::contents(object.as_ptr()).cast::<u64>().add(at as usize);
        target.copy_from_nonoverlapping(slots.as_ptr(), slots.len());
    }
}

/// Bytes of an element.
///
/// # Safety
/// `array` is an array of a living heap.
unsafe fn element_bytes(array: NonNull<VmObject>) -> usize {
    // SAFETY: whoever has the array vouches that it is one of a living heap: it has a type, whose record lives as long as the store.
    match unsafe { &(*array.as_ref().ty).ty.composite } {
        CompositeType::Array(element) => element.storage.size_bytes(),
        _ => size_of::<u64>(),
    }
}

/// # Safety
/// As [`element_bytes`].
unsafe fn bytes_of<'a>(array: NonNull<VmObject>) -> &'a mut [u8] {
    // SAFETY: `array_init_data` has a living array, whose contents are as long as its elements, and nobody else has a reference into them: one thread has the store.
    unsafe {
        let len = array.as_ref().len as usize * element_bytes(array);
        std::slice::from_raw_parts_mut(VmObject::contents(array.as_ptr()), len)
    }
}

/// The first byte of a range of elements, which is inside the array, and the bytes of each.
///
/// # Safety
/// As [`element_bytes`].
unsafe fn elements(array: NonNull<VmObject>, start: u32, len: u32) -> Result<(*mut u8, usize), Trap> {
    // SAFETY: whoever executes an instruction on an array vouches that it is one of a living heap; its contents are as long as its elements, in which the range
    // has just been found to be.
    unsafe {
        check_range(array, start, len)?;
        let unit = element_bytes(array);
        Ok((VmObject::contents(array.as_ptr()).add(start as usize * unit), unit))
    }
}

/// # Safety
/// As [`element_bytes`].
unsafe fn check_range(array: NonNull<VmObject>, start: u32, len: u32) -> Result<(), Trap> {
    // SAFETY: whoever has the array vouches that it is one of a living heap; its length never changes.
    let available = unsafe { array.as_ref().len };
    if u64::from(start) + u64::from(len) > u64::from(available) {
        Err(Trap::ArrayOutOfBounds)
    } else {
        Ok(())
    }
}

/// # Safety
/// `ctx` is a living context, and `ty` a type of its module.
unsafe fn record<'a>(ctx: *mut VmContext, ty: TypeIndex) -> &'a TypeRecord {
    // SAFETY: the context is a living one, of an instance that holds its module. The reference is good as long as the store: callers do not keep it longer.
    let module = unsafe { super::module(ctx) };
    &module.types[ty.index()]
}

impl StoreCore {
    /// A new object, after a collection where one is due; `live_end` is the end of the slots in use on the guest's stack.
    pub(crate) fn allocate(
        &mut self,
        allocation: Allocation,
        live_end: *mut u64,
    ) -> Option<NonNull<VmObject>> {
        let bytes = Heap::size_bytes(&allocation)?;
        if self.heap.is_due(&allocation, bytes) {
            self.collect(live_end);
        }
        match self.heap.allocate(allocation) {
            Ok(object) => Some(object),
            Err(allocation) => {
                self.collect(live_end);
                self.heap.allocate(allocation).ok()
            }
        }
    }

    /// Frees every object that nothing refers to. Where the guest is to stop it is given up and frees less, which [`heed_stop`] then tells of.
    pub(crate) fn collect(&mut self, live_end: *mut u64) {
        self.heap.begin_collection(self.record.interrupt_handle());
        // SAFETY: the region from the stack's start to `live_end` is mapped. Slots hold what they were last given, by frames that are gone perhaps: a stale address may
        // keep an object and never frees one. That every live slot lies below `live_end` is the tier's promise.
        unsafe {
            let mut slot = (*self.vm()).fiber.stack_base;
            while slot < live_end {
                self.heap.mark_slot(*slot);
                slot = slot.add(1);
            }
        }
        // SAFETY: the record lives as long as the store. Its fiber is not running: collections run on the host's stack.
        scan_native_stack(unsafe { &(*self.vm()).fiber }, |word| self.heap.mark_address(word));
        #[cfg(feature = "fibers")]
        self.fibers.visit(|word, is_slot| match is_slot {
            true => self.heap.mark_slot(word),
            false => self.heap.mark_address(word),
        });
        for root in &self.roots {
            self.heap.mark_slot(root.slot);
        }
        for slot in self.owned_roots.slots() {
            self.heap.mark_slot(slot);
        }
        for value in &self.evaluation {
            self.heap.mark_slot(value[0]);
        }
        for global in self.globals.iter() {
            if matches!(global.ty().content, ValType::Ref(_)) {
                self.heap.mark_slot(global.slots()[0]);
            }
        }
        for table in self.tables.iter() {
            self.heap.mark_slots(table.elements());
        }
        for instance in self.instances.iter() {
            for elem in instance.get().elems.iter().flatten() {
                self.heap.mark_slots(elem);
            }
        }
        self.heap.trace();
        // Whatever is unmarked is in use, perhaps, until all that can be reached has been.
        let mut hosts = Vec::new();
        if !self.heap.is_given_up_after(0) {
            self.heap.sweep(&mut hosts);
        }
        self.heap.end_collection();
        // A panic must not leave over frames of the guest: the embedder gets the first one when they are left.
        self.host_panics.drop_all(hosts);
        if !self.record.is_guest_under_way() {
            self.resume_host_panic();
        }
    }

    /// Goes on with the panic of a destructor of the host's, if a collection met one; no frame of a guest is there any more.
    #[inline]
    pub(crate) fn resume_host_panic(&mut self) {
        if let Some(panic) = self.host_panics.take() {
            resume_unwind(panic);
        }
    }
}

impl StoreCore {
    /// The type of the structure or array that a reference of this store refers to.
    pub(crate) fn object_type(&self, slot: u64) -> Option<TypeId> {
        let object = object_at(slot);
        // SAFETY: the caller has looked whether the reference is one of this store's to a structure or an array; those have a type, and are alive while referred to.
        object.map(|object| unsafe { (*object.as_ref().ty).id })
    }
}
