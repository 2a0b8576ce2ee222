//! Where the parts of a value are, in a 32-bit memory and in flat form (canonical ABI, "Alignment", "Element Size", "Flattening").

use super::{TypeIndex, TypeTable, ValType};

/// A core type that values are passed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flat {
    I32,
    I64,
    F32,
    F64,
}

impl Flat {
    /// What can hold both (canonical ABI, `join`).
    fn join(self, other: Flat) -> Flat {
        match (self, other) {
            (a, b) if a == b => a,
            (Flat::I32, Flat::F32) | (Flat::F32, Flat::I32) => Flat::I32,
            _ => Flat::I64,
        }
    }
}

/// No value with more flat parts is ever passed in them.
pub(crate) const MAX_FLAT: usize = 16;

/// What is known of a type's values.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) size: u32,
    pub(crate) align: u32,
    /// None where there are more than [`MAX_FLAT`].
    pub(crate) flat: Option<Box<[Flat]>>,
    /// Where each field of a record or tuple is.
    pub(crate) offsets: Box<[u32]>,
    /// How wide the number of a variant's case is; 0 where there is none.
    pub(crate) discriminant: u32,
    /// Where a variant's payload is.
    pub(crate) payload: u32,
    /// Whether there is a string or a list in it, or a borrowed handle.
    pub(crate) has_pointer: bool,
    pub(crate) has_borrow: bool,
    /// Whether there is something in it that only the async ABI has use for.
    pub(crate) is_async: bool,
}

/// The next multiple of a power of two. Sizes stay below 2^28, which validation has checked.
pub(crate) fn align_to(offset: u32, align: u32) -> u32 {
    (offset.saturating_add(align - 1)) & !(align - 1)
}

impl Layout {
    fn scalar(size: u32, flat: Flat) -> Layout {
        Layout {
            size,
            align: size,
            flat: Some([flat].into()),
            offsets: Box::default(),
            discriminant: 0,
            payload: 0,
            has_pointer: false,
            has_borrow: false,
            is_async: false,
        }
    }

    /// An address and a length.
    fn pair() -> Layout {
        Layout {
            size: 8,
            align: 4,
            flat: Some([Flat::I32, Flat::I32].into()),
            has_pointer: true,
            ..Layout::scalar(4, Flat::I32)
        }
    }

    pub(super) fn of(table: &TypeTable, ty: &ValType) -> Layout {
        match ty {
            ValType::Bool | ValType::S8 | ValType::U8 => Layout::scalar(1, Flat::I32),
            ValType::S16 | ValType::U16 => Layout::scalar(2, Flat::I32),
            ValType::S32 | ValType::U32 | ValType::Char => Layout::scalar(4, Flat::I32),
            ValType::S64 | ValType::U64 => Layout::scalar(8, Flat::I64),
            ValType::Float32 => Layout::scalar(4, Flat::F32),
            ValType::Float64 => Layout::scalar(8, Flat::F64),
            ValType::Own(_) => Layout::scalar(4, Flat::I32),
            ValType::Stream(_) | ValType::Future(_) | ValType::ErrorContext => {
                Layout { is_async: true, ..Layout::scalar(4, Flat::I32) }
            }
            ValType::Borrow(_) => Layout { has_borrow: true, ..Layout::scalar(4, Flat::I32) },
            ValType::String => Layout::pair(),
            ValType::List(element) | ValType::Map(_, _, element) => {
                let Layout { has_borrow, is_async, .. } = *table.layout(*element);
                Layout { has_borrow, is_async, ..Layout::pair() }
            }
            ValType::FixedLengthList(element, length) => Layout::fixed_list(table.layout(*element), *length),
            ValType::Record(fields) => Layout::record(table, fields.iter().map(|(_, ty)| *ty)),
            ValType::Tuple(types) => Layout::record(table, types.iter().copied()),
            ValType::Variant(cases) => Layout::variant(table, cases.len(), cases.iter().map(|(_, ty)| *ty)),
            ValType::Enum(labels) => Layout::variant(table, labels.len(), std::iter::empty()),
            ValType::Option(ty) => Layout::variant(table, 2, [None, Some(*ty)].into_iter()),
            ValType::Result(ok, err) => Layout::variant(table, 2, [*ok, *err].into_iter()),
            ValType::Flags(labels) => Layout::scalar(flags_size(labels.len()), Flat::I32),
        }
    }

    fn fixed_list(element: &Layout, length: u32) -> Layout {
        let count = length as usize;
        let flat = element.flat.as_ref().filter(|flat| flat.len().saturating_mul(count) <= MAX_FLAT);
        Layout {
            size: element.size.saturating_mul(length),
            align: element.align,
            flat: flat.map(|flat| flat.repeat(count).into()),
            has_pointer: element.has_pointer,
            has_borrow: element.has_borrow,
            is_async: element.is_async,
            ..Layout::scalar(1, Flat::I32)
        }
    }

    fn record(table: &TypeTable, fields: impl Iterator<Item = TypeIndex>) -> Layout {
        let (mut size, mut align, mut offsets) = (0, 1, Vec::new());
        let (mut flat, mut has_pointer, mut has_borrow) = (Some(Vec::new()), false, false);
        let mut is_async = false;
        for field in fields {
            let field = table.layout(field);
            size = align_to(size, field.align);
            offsets.push(size);
            size = size.saturating_add(field.size);
            align = align.max(field.align);
            has_pointer |= field.has_pointer;
            has_borrow |= field.has_borrow;
            is_async |= field.is_async;
            flat = append(flat, field.flat.as_deref());
        }
        Layout {
            size: align_to(size, align),
            align,
            flat: flat.map(Vec::into_boxed_slice),
            offsets: offsets.into(),
            discriminant: 0,
            payload: 0,
            has_pointer,
            has_borrow,
            is_async,
        }
    }

    fn variant(table: &TypeTable, cases: usize, types: impl Iterator<Item = Option<TypeIndex>>) -> Layout {
        let discriminant = discriminant_size(cases);
        let (mut payload_size, mut payload_align) = (0, 1);
        let (mut joined, mut has_pointer, mut has_borrow) = (Some(Vec::new()), false, false);
        let mut is_async = false;
        for ty in types.flatten() {
            let case = table.layout(ty);
            payload_size = payload_size.max(case.size);
            payload_align = payload_align.max(case.align);
            has_pointer |= case.has_pointer;
            has_borrow |= case.has_borrow;
            is_async |= case.is_async;
            joined = join(joined, case.flat.as_deref());
        }
        let payload = align_to(discriminant, payload_align);
        let align = payload_align.max(discriminant);
        Layout {
            size: align_to(payload.saturating_add(payload_size), align),
            align,
            flat: append(Some(vec![Flat::I32]), joined.as_deref()).map(Vec::into_boxed_slice),
            offsets: Box::default(),
            discriminant,
            payload,
            has_pointer,
            has_borrow,
            is_async,
        }
    }
}

fn append(all: Option<Vec<Flat>>, more: Option<&[Flat]>) -> Option<Vec<Flat>> {
    let (mut all, more) = (all?, more?);
    all.extend_from_slice(more);
    (all.len() <= MAX_FLAT).then_some(all)
}

fn join(all: Option<Vec<Flat>>, case: Option<&[Flat]>) -> Option<Vec<Flat>> {
    let (mut all, case) = (all?, case?);
    for (i, flat) in case.iter().enumerate() {
        match all.get_mut(i) {
            Some(joined) => *joined = joined.join(*flat),
            None => all.push(*flat),
        }
    }
    Some(all)
}

/// Bytes of the number of a case (canonical ABI, `discriminant_type`).
fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

fn flags_size(labels: usize) -> u32 {
    match labels {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> Box<[std::sync::Arc<str>]> {
        (0..count).map(|i| format!("l{i}").into()).collect()
    }

    /// C6: the sizes of flags.
    #[test]
    fn c6_flags_have_the_size_of_their_labels() {
        let mut table = TypeTable::default();
        for (count, size) in [(1, 1), (8, 1), (9, 2), (16, 2), (17, 4), (32, 4)] {
            let ty = table.intern(ValType::Flags(labels(count)));
            assert_eq!((table.layout(ty).size, table.layout(ty).align), (size, size), "{count} labels");
        }
    }

    /// C7: the width of the number of a case.
    #[test]
    fn c7_discriminants_are_as_wide_as_they_must_be() {
        let mut table = TypeTable::default();
        for (count, size) in [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)] {
            let ty = table.intern(ValType::Enum(labels(count)));
            assert_eq!(table.layout(ty).discriminant, size, "{count} cases");
        }
    }

    /// C29: what payloads of different types are passed in.
    #[test]
    fn c29_payloads_are_joined() {
        let mut table = TypeTable::default();
        let mut joined = |a: ValType, b: ValType| {
            let (a, b) = (table.intern(a), table.intern(b));
            let ty = table.intern(ValType::Result(Some(a), Some(b)));
            table.layout(ty).flat.as_deref().map(<[Flat]>::to_vec)
        };
        use Flat::*;
        assert_eq!(joined(ValType::U32, ValType::Float32), Some(vec![I32, I32]));
        assert_eq!(joined(ValType::Float32, ValType::Float32), Some(vec![I32, F32]));
        assert_eq!(joined(ValType::U64, ValType::Float64), Some(vec![I32, I64]));
        assert_eq!(joined(ValType::Float32, ValType::U64), Some(vec![I32, I64]));
        assert_eq!(joined(ValType::String, ValType::Float64), Some(vec![I32, I64, I32]));
    }

    /// C30, C31: padding inside payloads, and seventeen flat values, which are too many.
    #[test]
    fn c30_c31_sizes_and_flat_counts() {
        let mut table = TypeTable::default();
        let (u8_, u64_) = (table.intern(ValType::U8), table.intern(ValType::U64));
        let inner = table.intern(ValType::Option(u64_));
        let outer = table.intern(ValType::Option(inner));
        assert_eq!((table.layout(inner).size, table.layout(inner).payload), (16, 8));
        assert_eq!((table.layout(outer).size, table.layout(outer).payload), (24, 8));
        let pair = table.intern(ValType::Tuple([u8_, u64_, u8_].into()));
        assert_eq!((table.layout(pair).size, &*table.layout(pair).offsets), (24, &[0, 8, 16][..]));
        let sixteen = table.intern(ValType::Tuple(vec![u8_; 16].into()));
        let seventeen = table.intern(ValType::Tuple(vec![u8_; 17].into()));
        assert_eq!(table.layout(sixteen).flat.as_ref().map(|flat| flat.len()), Some(16));
        assert_eq!(table.layout(seventeen).flat, None);
    }
}
