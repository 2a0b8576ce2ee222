//! Which part of a type a value is: its case, its flags, its fields. Values of another guest are found by the very names that their type has, others by what those say.
//!
//! Must stay true: how long it takes is counted as work, since types may have as many cases, and names as long, as a component's bytes have room for.

use std::sync::Arc;

use innkeeper_engine::Error;

use super::Work;
use super::lower::Lower;
use crate::resource::usage;
use crate::types::{TypeIndex, ValType};
use crate::val::{List, Val};

/// A case's number, and its payload with its type.
pub(super) type Case<'v> = (u32, Option<(&'v Val, TypeIndex)>);

impl Lower<'_> {
    pub(super) fn case_of<'v>(
        &mut self,
        (variant, ty): (&ValType, TypeIndex),
        val: &'v Val,
    ) -> Result<Case<'v>, Error> {
        let (index, ty, payload) = match (variant, val) {
            (ValType::Variant(cases), Val::Variant(label, payload)) => {
                self.work(Work::of_bytes(label.len()))?;
                let index = self.types.case(ty, label);
                let index = index.ok_or_else(|| usage(&format!("the variant has no case `{label}`")))?;
                (index, cases[index].1, payload)
            }
            (ValType::Enum(_), Val::Enum(label)) => {
                self.work(Work::of_bytes(label.len()))?;
                let index = self.types.case(ty, label);
                let index = index.ok_or_else(|| usage(&format!("the enum has no label `{label}`")))?;
                return Ok((index as u32, None));
            }
            (ValType::Option(ty), Val::Option(payload)) => {
                (usize::from(payload.is_some()), payload.as_ref().map(|_| *ty), payload)
            }
            (ValType::Result(ok, err), Val::Result(result)) => match result {
                Ok(payload) => (0, *ok, payload),
                Err(payload) => (1, *err, payload),
            },
            _ => return Err(mismatch(variant, val)),
        };
        match (ty, payload) {
            (Some(ty), Some(payload)) => Ok((index as u32, Some((payload, ty)))),
            (None, None) => Ok((index as u32, None)),
            (Some(_), None) => Err(usage(&format!("the {} lacks its payload", variant.kind_name()))),
            (None, Some(_)) => {
                Err(usage(&format!("the {} has a payload where there is none", variant.kind_name())))
            }
        }
    }

    pub(super) fn flag_bits(&mut self, labels: &[Arc<str>], set: &[Arc<str>]) -> Result<u32, Error> {
        let mut bits = 0;
        for label in set {
            self.work(1)?;
            let index = match labels.iter().position(|known| Arc::ptr_eq(known, label)) {
                Some(index) => Some(index),
                None => {
                    self.work(labels.len() * Work::of_bytes(label.len()))?;
                    labels.iter().position(|known| known == label)
                }
            };
            bits |= 1 << index.ok_or_else(|| usage(&format!("the flags have no label `{label}`")))?;
        }
        Ok(bits)
    }

    pub(super) fn check_fields(
        &mut self,
        fields: &[(Arc<str>, TypeIndex)],
        vals: &[(Arc<str>, Val)],
    ) -> Result<(), Error> {
        let mut are_the_same = fields.len() == vals.len();
        for ((known, _), (given, _)) in fields.iter().zip(vals) {
            if !are_the_same {
                break;
            }
            if !Arc::ptr_eq(known, given) {
                self.work(Work::of_bytes(given.len()))?;
                are_the_same = known == given;
            }
        }
        if are_the_same {
            return Ok(());
        }
        let wanted: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        let given: Vec<&str> = vals.iter().map(|(name, _)| &**name).collect();
        Err(usage(&format!(
            "the record has the fields {} in this order, and these were given: {}",
            wanted.join(", "),
            given.join(", ")
        )))
    }
}

pub(super) fn check_length(list: &List, length: u32) -> Result<(), Error> {
    match list.len() == length as usize {
        true => Ok(()),
        false => Err(usage(&format!("the list has {length} elements, and {} were given", list.len()))),
    }
}

pub(super) fn mismatch(ty: &ValType, val: &Val) -> Error {
    usage(&format!("expected {}, found {}", ty.kind_name(), val.kind_name()))
}
