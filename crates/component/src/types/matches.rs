//! Whether a function may stand where one of another component's types is wanted. Types of one component are compared by the validator; these are of two.

use std::collections::HashSet;

use super::{FuncTypeIndex, ResourceSlot, TypeIndex, TypeTable, ValType};

/// Whether resource types of both sides, first that which is there, are the same.
pub(crate) type SameResource<'a> = dyn FnMut(ResourceSlot, ResourceSlot) -> bool + 'a;

/// Whether the function type that there is (`have`) is the one that is wanted. Both know their values' types by their own numbers.
pub(crate) fn fits(
    have: (&TypeTable, FuncTypeIndex),
    want: (&TypeTable, FuncTypeIndex),
    same_resource: &mut SameResource<'_>,
) -> bool {
    let mut comparison = Comparison { have: have.0, want: want.0, same_resource, known: HashSet::new() };
    let (have, want) = (have.0.func(have.1), want.0.func(want.1));
    have.is_async == want.is_async
        && have.params.len() == want.params.len()
        && have
            .params
            .iter()
            .zip(&want.params)
            .all(|((name, a), (other, b))| name == other && comparison.same(*a, *b))
        && comparison.same_optional(have.result, want.result)
}

/// Which types among the parts of one that there is (`have`) are which of one that is wanted; none where the two are not the same.
pub(crate) fn same_parts(
    have: (&TypeTable, TypeIndex),
    want: (&TypeTable, TypeIndex),
    same_resource: &mut SameResource<'_>,
) -> Option<HashSet<(TypeIndex, TypeIndex)>> {
    let mut comparison = Comparison { have: have.0, want: want.0, same_resource, known: HashSet::new() };
    comparison.same(have.1, want.1).then_some(comparison.known)
}

struct Comparison<'a, 'b> {
    have: &'a TypeTable,
    want: &'a TypeTable,
    same_resource: &'a mut SameResource<'b>,
    /// Pairs that are the same, so that none is looked at twice.
    known: HashSet<(TypeIndex, TypeIndex)>,
}

impl Comparison<'_, '_> {
    fn same_optional(&mut self, a: Option<TypeIndex>, b: Option<TypeIndex>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => self.same(a, b),
            (a, b) => a == b,
        }
    }

    fn same(&mut self, a: TypeIndex, b: TypeIndex) -> bool {
        if self.known.contains(&(a, b)) {
            return true;
        }
        let (have, want) = (self.have, self.want);
        let same = match (have.get(a), want.get(b)) {
            (ValType::List(a), ValType::List(b)) | (ValType::Option(a), ValType::Option(b)) => {
                self.same(*a, *b)
            }
            (ValType::FixedLengthList(a, length), ValType::FixedLengthList(b, other)) => {
                length == other && self.same(*a, *b)
            }
            (ValType::Map(a, x, _), ValType::Map(b, y, _)) => self.same(*a, *b) && self.same(*x, *y),
            (ValType::Record(a), ValType::Record(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|((name, a), (other, b))| name == other && self.same(*a, *b))
            }
            (ValType::Tuple(a), ValType::Tuple(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(*a, *b))
            }
            (ValType::Variant(a), ValType::Variant(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((name, a), (other, b))| name == other && self.same_optional(*a, *b))
            }
            (ValType::Result(a, x), ValType::Result(b, y)) => {
                self.same_optional(*a, *b) && self.same_optional(*x, *y)
            }
            (ValType::Stream(a), ValType::Stream(b)) | (ValType::Future(a), ValType::Future(b)) => {
                self.same_optional(*a, *b)
            }
            (ValType::Own(a), ValType::Own(b)) | (ValType::Borrow(a), ValType::Borrow(b)) => {
                (self.same_resource)(*a, *b)
            }
            // What is left has no parts of its own.
            (a, b) => a == b && !has_parts(a),
        };
        if same {
            self.known.insert((a, b));
        }
        same
    }
}

fn has_parts(ty: &ValType) -> bool {
    matches!(
        ty,
        ValType::List(_)
            | ValType::FixedLengthList(..)
            | ValType::Map(..)
            | ValType::Record(_)
            | ValType::Tuple(_)
            | ValType::Variant(_)
            | ValType::Option(_)
            | ValType::Result(..)
            | ValType::Own(_)
            | ValType::Borrow(_)
            | ValType::Stream(_)
            | ValType::Future(_)
    )
}
