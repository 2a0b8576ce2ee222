//! What is known of types before code is generated for them: how much code that is, and whether bytes can be copied as they are.

use super::value::Generator;
use crate::types::{TypeIndex, ValType};

/// A type whose code is longer than so much, by [`Generator::cost`], gets a function of its own where it is in memory.
pub(super) const OUTLINED: u32 = 40;

/// What is known of a type.
#[derive(Clone, Copy)]
pub(super) struct Known {
    cost: u32,
    is_plain: bool,
}

impl Generator<'_, '_> {
    /// About how many steps the code for a type has, where it is not outlined.
    pub(super) fn cost(&mut self, ty: TypeIndex) -> u32 {
        self.known(ty).cost
    }

    /// Whether all bytes of a value mean something, and any bytes are one: then they are copied as they are. What lies between a record's fields is not copied, since it may
    /// be anything that was in the memory before.
    pub(super) fn is_plain(&mut self, ty: TypeIndex) -> bool {
        self.known(ty).is_plain
    }

    /// Types are nested at most 100 deep, which validation has checked, and each is looked at once.
    fn known(&mut self, ty: TypeIndex) -> Known {
        if let Some(known) = self.builder.known.get(&ty) {
            return *known;
        }
        let scalar = |is_plain| Known { cost: 1, is_plain };
        let (cost, is_plain) = match self.ty(ty) {
            ValType::S8
            | ValType::U8
            | ValType::S16
            | ValType::U16
            | ValType::S32
            | ValType::U32
            | ValType::S64
            | ValType::U64 => (1, true),
            ValType::Float32 | ValType::Float64 => (1, !self.builder.canonical_nans),
            ValType::Flags(labels) => (1, matches!(labels.len(), 8 | 16 | 32)),
            ValType::String => (8, false),
            ValType::List(element) | ValType::Map(_, _, element) => {
                let element = self.known(*element).cost;
                (element.saturating_add(12), false)
            }
            ValType::FixedLengthList(element, _) => {
                let element = self.known(*element);
                (element.cost.saturating_add(4), element.is_plain)
            }
            ValType::Record(fields) => self.fields_known(ty, fields.iter().map(|(_, ty)| *ty)),
            ValType::Tuple(fields) => self.fields_known(ty, fields.iter().copied()),
            ValType::Variant(cases) => (self.cases_cost(cases.iter().filter_map(|(_, ty)| *ty)), false),
            ValType::Option(payload) => (self.cases_cost([*payload].into_iter()), false),
            ValType::Result(ok, err) => (self.cases_cost([*ok, *err].into_iter().flatten()), false),
            _ => (scalar(false).cost, false),
        };
        let known = Known { cost, is_plain };
        self.builder.known.insert(ty, known);
        known
    }

    fn fields_known(&mut self, ty: TypeIndex, fields: impl Iterator<Item = TypeIndex>) -> (u32, bool) {
        let (mut cost, mut bytes, mut are_plain) = (0u32, 0u32, true);
        for field in fields {
            let known = self.known(field);
            cost = cost.saturating_add(known.cost);
            bytes = bytes.saturating_add(self.layout(field).size);
            are_plain &= known.is_plain;
        }
        (cost, are_plain && bytes == self.layout(ty).size)
    }

    fn cases_cost(&mut self, payloads: impl Iterator<Item = TypeIndex>) -> u32 {
        payloads.fold(3, |cost: u32, payload| cost.saturating_add(self.known(payload).cost.saturating_add(3)))
    }
}
