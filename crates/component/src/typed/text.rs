//! Strings, in whichever encoding the guest has.

use std::rc::Rc;
use std::sync::Arc;

use innkeeper_engine::Error;

use super::list::load_pair;
use super::{
    ComponentType, Lift, LiftContext, Lower, LowerContext, Shape, Slots, SlotsMut, WitType, WitTypes,
};
use crate::types::ValType;

impl ComponentType for str {
    const SHAPE: Shape = Shape::list(u8::SHAPE);

    fn define(types: &mut WitTypes) -> WitType {
        types.primitive(ValType::String)
    }
}

impl Lower for str {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        let (address, units) = context.string(self)?;
        slots.push(u64::from(address));
        slots.push(u64::from(units));
        Ok(())
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        let passed = context.string(self)?;
        context.write_pair(address, passed)
    }
}

/// Where the string is, in the guest's memory; where it is not in UTF-8, a copy that lives as long.
impl Lift for &str {
    type Lifted<'a> = &'a str;

    fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<&'a str, Error> {
        let passed = (slots.next_slot() as u32, slots.next_slot() as u32);
        context.borrowed_string(passed)
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<&'a str, Error> {
        let passed = load_pair(context, address);
        context.borrowed_string(passed)
    }
}

macro_rules! owned {
    ($($ty:ty, $get:ident;)*) => {$(
        impl ComponentType for $ty {
            const SHAPE: Shape = Shape::list(u8::SHAPE);

            fn define(types: &mut WitTypes) -> WitType {
                str::define(types)
            }
        }

        impl Lift for $ty {
            type Lifted<'a> = $ty;

            fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<$ty, Error> {
                let passed = (slots.next_slot() as u32, slots.next_slot() as u32);
                Ok(context.$get(passed)?.into())
            }

            fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<$ty, Error> {
                let passed = load_pair(context, address);
                Ok(context.$get(passed)?.into())
            }
        }

        impl Lower for $ty {
            fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
                str::lower(self, context, slots)
            }

            fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                str::store(self, context, address)
            }
        }
    )*};
}

owned! {
    String, owned_string;
    Box<str>, owned_string;
    Rc<str>, string_to_copy;
    Arc<str>, string_to_copy;
}
