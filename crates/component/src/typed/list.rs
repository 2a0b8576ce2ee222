//! Lists of any type. Those of numbers are copied in one piece (`number.rs`).

use innkeeper_engine::Error;

use super::{
    ComponentType, GivenHandles, Lift, LiftContext, Lower, LowerContext, Shape, Slots, SlotsMut, WitType,
    WitTypes,
};

impl<V: ComponentType> ComponentType for [V] {
    const SHAPE: Shape = Shape::list(V::SHAPE);

    fn define(types: &mut WitTypes) -> WitType {
        let element = V::define(types);
        types.list(element)
    }
}

impl<V: Lower> Lower for [V] {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        let address = lower_list(self, context)?;
        slots.push(u64::from(address));
        slots.push(self.len() as u64);
        Ok(())
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        let at = lower_list(self, context)?;
        context.write_pair(address, (at, self.len() as u32))
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        match V::SHAPE.has_handles() {
            true => self.iter().try_for_each(|value| value.look_at_handles(given)),
            false => Ok(()),
        }
    }
}

impl<V: ComponentType> ComponentType for Vec<V> {
    const SHAPE: Shape = Shape::list(V::SHAPE);

    fn define(types: &mut WitTypes) -> WitType {
        <[V]>::define(types)
    }
}

impl<V: Lower> Lower for Vec<V> {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        <[V]>::lower(self, context, slots)
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        <[V]>::store(self, context, address)
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        <[V]>::look_at_handles(self, given)
    }
}

impl<V: Lift> Lift for Vec<V> {
    type Lifted<'a> = Vec<V::Lifted<'a>>;

    fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<Self::Lifted<'a>, Error> {
        let (address, length) = (slots.next_slot() as u32, slots.next_slot() as u32);
        lift_list::<V>(context, (address, length))
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<Self::Lifted<'a>, Error> {
        let list = load_pair(context, address);
        lift_list::<V>(context, list)
    }
}

fn lift_list<'a, V: Lift>(
    context: &mut LiftContext<'a>,
    (address, length): (u32, u32),
) -> Result<Vec<V::Lifted<'a>>, Error> {
    context.list((address, length), V::SHAPE)?;
    V::load_list(context, address, length as usize)
}

fn lower_list<V: Lower>(list: &[V], context: &mut LowerContext<'_>) -> Result<u32, Error> {
    let address = context.allocate(list.len(), V::SHAPE)?;
    V::store_list(list, context, address)?;
    Ok(address)
}

/// An address and a length, at an address that was checked.
pub(super) fn load_pair(context: &LiftContext<'_>, address: u32) -> (u32, u32) {
    let pair = u64::from_le_bytes(context.read(address));
    (pair as u32, (pair >> 32) as u32)
}
