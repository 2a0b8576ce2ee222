//! Whether a value of the host's is of a type, before a guest sees anything of it: what does not fit is an error then, and no guest is entered in vain.

use std::collections::HashMap;

use crate::resource::{Handle, HostHandles, ResourceAny, ResourceTypeId};
use crate::types::{ResourceSlot, TypeIndex, TypeTable, ValType};
use crate::val::{List, Val};

/// Looks at each handle among the values: its type's slot, whether it is to be owned, and the handle.
pub(crate) type LookAtHandle<'a> = dyn FnMut(ResourceSlot, bool, ResourceAny) -> Result<(), String> + 'a;

/// Handles that values of one call have in them.
#[derive(Default)]
pub(crate) struct Given {
    /// By index: whether it is given away.
    seen: HashMap<u32, bool>,
}

impl Given {
    /// Whether a handle of the host's, for which a store has `handles`, can be given so, together with those before it.
    pub(crate) fn look(
        &mut self,
        (store, handles): (u64, &mut HostHandles),
        (ty, is_own): (ResourceTypeId, bool),
        any: ResourceAny,
    ) -> Result<(), String> {
        let Handle::Host { .. } = any.0 else { return Ok(()) };
        let (index, handle) = handles.find(store, any).map_err(|error| error.to_string())?;
        if handle.ty != ty {
            return Err("the handle is of another resource type than the function takes".to_owned());
        }
        if is_own && !handle.is_own {
            return Err("the handle is borrowed, and an owned one is wanted".to_owned());
        }
        let is_given_before = self.seen.insert(index, is_own);
        if is_own && handle.lends > 0 || is_given_before == Some(true) || is_own && is_given_before.is_some()
        {
            return Err("the resource is lent or given away already, and cannot be given away".to_owned());
        }
        Ok(())
    }
}

/// Says what does not fit, innermost last.
pub(crate) fn fits(
    types: &TypeTable,
    ty: TypeIndex,
    val: &Val,
    handle: &mut LookAtHandle<'_>,
) -> Result<(), String> {
    let mismatch = || Err(format!("expected {}, found {}", types.get(ty).kind_name(), val.kind_name()));
    let mut optional = |what: &str, ty: Option<TypeIndex>, val: &Option<Box<Val>>| match (ty, val) {
        (Some(ty), Some(val)) => {
            fits(types, ty, val, &mut *handle).map_err(|reason| format!("in {what}: {reason}"))
        }
        (None, None) => Ok(()),
        (Some(_), None) => Err(format!("{what} lacks its payload")),
        (None, Some(_)) => Err(format!("{what} has a payload where there is none")),
    };
    match (types.get(ty), val) {
        (ValType::Bool, Val::Bool(_))
        | (ValType::S8, Val::S8(_))
        | (ValType::U8, Val::U8(_))
        | (ValType::S16, Val::S16(_))
        | (ValType::U16, Val::U16(_))
        | (ValType::S32, Val::S32(_))
        | (ValType::U32, Val::U32(_))
        | (ValType::S64, Val::S64(_))
        | (ValType::U64, Val::U64(_))
        | (ValType::Float32, Val::Float32(_))
        | (ValType::Float64, Val::Float64(_))
        | (ValType::Char, Val::Char(_))
        | (ValType::String, Val::String(_)) => Ok(()),
        (ValType::Own(slot), Val::Resource(any)) => handle(*slot, true, *any),
        (ValType::Borrow(slot), Val::Resource(any)) => handle(*slot, false, *any),
        (ValType::List(element), Val::List(list)) => elements(types, *element, list, handle),
        (ValType::FixedLengthList(element, length), Val::List(list)) => {
            if list.len() != *length as usize {
                return Err(format!("the list has {length} elements, and {} were given", list.len()));
            }
            elements(types, *element, list, handle)
        }
        (ValType::Map(key, value, _), Val::Map(pairs)) => pairs.iter().try_for_each(|(k, v)| {
            fits(types, *key, k, &mut *handle)
                .and_then(|()| fits(types, *value, v, &mut *handle))
                .map_err(|reason| format!("in a pair: {reason}"))
        }),
        (ValType::Record(fields), Val::Record(vals)) => {
            if fields.len() != vals.len() || fields.iter().zip(vals).any(|((a, _), (b, _))| a != b) {
                let wanted: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
                let given: Vec<&str> = vals.iter().map(|(name, _)| &**name).collect();
                return Err(format!(
                    "the record has the fields {} in this order, and these were given: {}",
                    wanted.join(", "),
                    given.join(", ")
                ));
            }
            fields.iter().zip(vals).try_for_each(|((name, ty), (_, val))| {
                fits(types, *ty, val, &mut *handle)
                    .map_err(|reason| format!("in the field `{name}`: {reason}"))
            })
        }
        (ValType::Tuple(parts), Val::Tuple(vals)) => {
            if parts.len() != vals.len() {
                return Err(format!("the tuple has {} parts, and {} were given", parts.len(), vals.len()));
            }
            parts.iter().zip(vals).enumerate().try_for_each(|(i, (ty, val))| {
                fits(types, *ty, val, &mut *handle).map_err(|reason| format!("in part {i}: {reason}"))
            })
        }
        (ValType::Variant(cases), Val::Variant(label, payload)) => match types.case(ty, label) {
            Some(case) => optional(&format!("the case `{label}`"), cases[case].1, payload),
            None => Err(format!("the variant has no case `{label}`")),
        },
        (ValType::Enum(_), Val::Enum(label)) => match types.case(ty, label) {
            Some(_) => Ok(()),
            None => Err(format!("the enum has no label `{label}`")),
        },
        (ValType::Option(ty), Val::Option(payload)) => match payload {
            Some(val) => {
                fits(types, *ty, val, &mut *handle).map_err(|reason| format!("in the option: {reason}"))
            }
            None => Ok(()),
        },
        (ValType::Result(ok, err), Val::Result(result)) => match result {
            Ok(payload) => optional("`ok`", *ok, payload),
            Err(payload) => optional("`err`", *err, payload),
        },
        (ValType::Flags(labels), Val::Flags(set)) => match set.iter().find(|label| !labels.contains(label)) {
            Some(label) => Err(format!("the flags have no label `{label}`")),
            None => Ok(()),
        },
        (ValType::Stream(_), Val::Stream(_)) | (ValType::Future(_), Val::Future(_)) => Ok(()),
        (ValType::ErrorContext, _) => {
            Err(format!("values of type {} are not supported yet", types.get(ty).kind_name()))
        }
        _ => mismatch(),
    }
}

fn elements(
    types: &TypeTable,
    element: TypeIndex,
    list: &List,
    handle: &mut LookAtHandle<'_>,
) -> Result<(), String> {
    if let List::Vals(vals) = list {
        return vals.iter().enumerate().try_for_each(|(i, val)| {
            fits(types, element, val, &mut *handle).map_err(|reason| format!("in element {i}: {reason}"))
        });
    }
    match list.get(0) {
        Some(first) => {
            fits(types, element, &first, &mut *handle).map_err(|reason| format!("in element 0: {reason}"))
        }
        None => Ok(()),
    }
}
