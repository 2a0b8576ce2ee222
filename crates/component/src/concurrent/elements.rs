//! Copies elements of streams and futures from one guest's memory to another's, or within one.
//!
//! Must stay true: guests say how many there are, so that it is done in pieces, between which it is looked whether they are to stop.

use innkeeper_engine::{Error, StoreContextMut};

use crate::abi::{Boundary, InStore, Lends, Lower, Side, StringShapes, check_range};
use crate::call::with_lift;
use crate::resource::usage;
use crate::trap::Trap;
use crate::types::{TypeIndex, TypeTable, ValType};

/// A buffer's side, its elements' type, and where they begin.
pub(super) type Elements<'a> = (&'a Side, TypeIndex, u32);

/// Whether elements are numbers, which may go from an instance to itself (`none_or_number_type`).
pub(super) fn is_none_or_number(types: &TypeTable, element: Option<TypeIndex>) -> bool {
    element.is_none_or(|element| {
        matches!(
            types.get(element),
            ValType::U8
                | ValType::S8
                | ValType::U16
                | ValType::S16
                | ValType::U32
                | ValType::S32
                | ValType::U64
                | ValType::S64
                | ValType::Float32
                | ValType::Float64
        )
    })
}

/// Where an element of such a size lies, behind so many others.
pub(super) fn place_of(begin: u32, (size, others): (u32, u32)) -> Result<u32, Trap> {
    let place = u64::from(begin) + u64::from(size) * u64::from(others);
    u32::try_from(place).map_err(|_| Trap::PointerOutOfBounds)
}

/// Bytes that are copied before somebody looks whether the guests are to stop.
const PIECE_BYTES: u32 = 8 << 20;

/// Copies elements from memory to memory: as bytes where they are numbers, else value by value.
pub(super) fn copy_elements<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (from, from_type, from_at): Elements<'_>,
    (to, to_type, to_at): Elements<'_>,
    count: u32,
) -> Result<(), Error> {
    let layout = from.shared.types.layout(from_type);
    // What both are of is compared when ends are given; bytes go nowhere on that word alone.
    let to_layout = to.shared.types.layout(to_type);
    if (layout.size, layout.align) != (to_layout.size, to_layout.align) {
        return Err(usage("a copy between ends whose elements are of different types"));
    }
    let is_number = is_none_or_number(&from.shared.types, Some(from_type));
    let most = (PIECE_BYTES / layout.size.max(1)).max(1);
    let pieces = count.div_ceil(most);
    // Parts of one memory may overlap, and only numbers go from an instance to itself: what is overwritten first has been copied.
    let is_backwards = from.memory == to.memory && from_at < to_at;
    for piece in 0..pieces {
        let first = if is_backwards { pieces - 1 - piece } else { piece } * most;
        let count = most.min(count - first);
        let at = |begin| place_of(begin, (layout.size, first));
        let (from, to) = ((from, from_type, at(from_at)?), (to, to_type, at(to_at)?));
        match is_number {
            true => numbers(store, from, to, count)?,
            false => values(store, from, to, count)?,
        }
        if pieces > 1 {
            store.check_interrupts()?;
        }
    }
    Ok(())
}

/// Copies elements as bytes.
fn numbers<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (from, from_type, from_at): Elements<'_>,
    (to, _, to_at): Elements<'_>,
    count: u32,
) -> Result<(), Error> {
    let (Some(from_memory), Some(to_memory)) = (from.memory, to.memory) else {
        return Err(usage("a copy between buffers without a memory"));
    };
    let layout = from.shared.types.layout(from_type);
    let shape = (u64::from(count) * u64::from(layout.size), layout.align);
    let range = |at: u32, bytes: usize| check_range(at, shape, bytes, Trap::PointerOutOfBounds);
    if from_memory == to_memory {
        let bytes = to_memory.data_mut(store)?;
        let (source, target) = (range(from_at, bytes.len())?, range(to_at, bytes.len())?);
        bytes.copy_within(source, target.start);
        return Ok(());
    }
    let (source, target) = store.two_memories(from_memory, to_memory)?;
    let (source_range, target_range) = (range(from_at, source.len())?, range(to_at, target.len())?);
    target[target_range].copy_from_slice(&source[source_range]);
    Ok(())
}

/// Copies elements value by value.
fn values<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (from, from_type, from_at): Elements<'_>,
    (to, to_type, to_at): Elements<'_>,
    count: u32,
) -> Result<(), Error> {
    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
    let (list, _charge) = with_lift(store, (from, Boundary::Guest), (&mut lends, &mut strings), |lift| {
        lift.list(from_at, count, from_type)
    })?;
    let mut guest = InStore { store, side: to };
    let mut lower = Lower::new(to, Boundary::Guest, (&mut guest, None), (&mut lends, &mut strings));
    lower.list_at(&list, to_type, to_at)
}
