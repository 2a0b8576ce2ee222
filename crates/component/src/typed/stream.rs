//! Streams and futures in the types of Rust functions: their readable ends, with what goes through them.

use std::any::TypeId;
use std::marker::PhantomData;

use innkeeper_engine::Error;

use super::resource::{Handed, handles};
use super::{
    ComponentType, GivenHandles, Lift, LiftContext, Lower, LowerContext, Shape, Slots, SlotsMut, WitType,
    WitTypes,
};
use crate::concurrent::{FutureAny, StreamAny};

/// The readable end of a stream of `E`, `stream<E>` in WIT, on its way to a guest or from one. The host reads it by [`StreamAny::into_reader`].
pub struct StreamOf<E> {
    end: StreamAny,
    elements: PhantomData<fn() -> E>,
}

/// The readable end of a future of `V`, `future<V>` in WIT: as [`StreamOf`].
pub struct FutureOf<V> {
    end: FutureAny,
    value: PhantomData<fn() -> V>,
}

impl<E> StreamOf<E> {
    /// The end, once its type does not matter.
    #[must_use]
    pub fn into_any(self) -> StreamAny {
        self.end
    }
}

impl<V> FutureOf<V> {
    /// The end, once its type does not matter.
    #[must_use]
    pub fn into_any(self) -> FutureAny {
        self.end
    }
}

/// What is written to it must be of this type.
impl<E> From<StreamAny> for StreamOf<E> {
    fn from(end: StreamAny) -> StreamOf<E> {
        StreamOf { end, elements: PhantomData }
    }
}

/// What is written to it must be of this type.
impl<V> From<FutureAny> for FutureOf<V> {
    fn from(end: FutureAny) -> FutureOf<V> {
        FutureOf { end, value: PhantomData }
    }
}

impl<E> std::fmt::Debug for StreamOf<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StreamOf").field(&self.end).finish()
    }
}

impl<V> std::fmt::Debug for FutureOf<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FutureOf").field(&self.end).finish()
    }
}

impl<E: ComponentType + 'static> ComponentType for StreamOf<E> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        let element = E::define(types);
        types.stream(TypeId::of::<StreamOf<E>>(), element)
    }
}

impl<V: ComponentType + 'static> ComponentType for FutureOf<V> {
    const SHAPE: Shape = Shape::HANDLE;

    fn define(types: &mut WitTypes) -> WitType {
        let value = V::define(types);
        types.future(TypeId::of::<FutureOf<V>>(), value)
    }
}

impl<E: ComponentType + 'static> Handed for StreamOf<E> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        let ty = context.end_type(TypeId::of::<StreamOf<E>>())?;
        let side = context.side;
        Ok(StreamAny(context.state.take_end((side.instance, handle), ty, &side.shared)?).into())
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        let ty = context.end_type(TypeId::of::<StreamOf<E>>())?;
        let (budget, side) = (context.guest.budget(), context.side);
        context.guest.state().give_end(side.instance, &self.end.0, (&side.shared, ty), &budget)
    }

    fn look(&self, _: &mut GivenHandles<'_>) -> Result<(), Error> {
        Ok(())
    }
}

impl<V: ComponentType + 'static> Handed for FutureOf<V> {
    fn take(context: &mut LiftContext<'_>, handle: u32) -> Result<Self, Error> {
        let ty = context.end_type(TypeId::of::<FutureOf<V>>())?;
        let side = context.side;
        Ok(FutureAny(context.state.take_end((side.instance, handle), ty, &side.shared)?).into())
    }

    fn hand(&self, context: &mut LowerContext<'_>) -> Result<u32, Error> {
        let ty = context.end_type(TypeId::of::<FutureOf<V>>())?;
        let (budget, side) = (context.guest.budget(), context.side);
        context.guest.state().give_end(side.instance, &self.end.0, (&side.shared, ty), &budget)
    }

    fn look(&self, _: &mut GivenHandles<'_>) -> Result<(), Error> {
        Ok(())
    }
}

handles! {
    (E: ComponentType + 'static) StreamOf<E>, StreamOf<E>;
    (V: ComponentType + 'static) FutureOf<V>, FutureOf<V>;
}
