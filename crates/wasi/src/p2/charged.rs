//! What a function hands to its guest, with the charge for it.

use innkeeper_component::{
    ComponentType, GivenHandles, Lower, LowerContext, Shape, SlotsMut, WitType, WitTypes,
};
use innkeeper_engine::{Charge, Error};

/// A value whose memory stays charged until the guest has it: the guest's `realloc` may grow its memory meanwhile, and both are there then.
pub(crate) struct Charged<V> {
    value: V,
    _charge: Charge,
}

impl<V> Charged<V> {
    pub(crate) fn new(value: V, charge: Charge) -> Charged<V> {
        Charged { value, _charge: charge }
    }
}

impl<V: ComponentType> ComponentType for Charged<V> {
    const SHAPE: Shape = V::SHAPE;

    fn define(types: &mut WitTypes) -> WitType {
        V::define(types)
    }
}

impl<V: Lower> Lower for Charged<V> {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        self.value.lower(context, slots)
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        self.value.store(context, address)
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        self.value.look_at_handles(given)
    }
}
