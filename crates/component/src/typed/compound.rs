//! Options, results, tuples, and what stands for another type.

use innkeeper_engine::Error;

use super::{
    ComponentType, GivenHandles, Lift, LiftContext, Lower, LowerContext, ParamList, Shape, Slots, SlotsMut,
    WitType, WitTypes, sealed,
};
use crate::types::ValType;

macro_rules! tuples {
    ($(($($name:ident $at:tt)*))*) => {$(
        impl<$($name: ComponentType),*> ComponentType for ($($name,)*) {
            const SHAPE: Shape = Shape::record(&[$($name::SHAPE),*]);

            fn define(types: &mut WitTypes) -> WitType {
                let parts = [$($name::define(types)),*];
                types.tuple(&parts)
            }
        }

        #[allow(unused_variables, unused_mut, unused_assignments, reason = "there are tuples of nothing, and a last part")]
        impl<$($name: Lift),*> Lift for ($($name,)*) {
            type Lifted<'a> = ($($name::Lifted<'a>,)*);

            fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<Self::Lifted<'a>, Error> {
                Ok(($($name::lift(context, slots)?,)*))
            }

            fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<Self::Lifted<'a>, Error> {
                let mut end = 0;
                Ok(($({
                    let at = $name::SHAPE.field_at(end);
                    end = at + $name::SHAPE.size();
                    $name::load(context, address + at)?
                },)*))
            }
        }

        #[allow(unused_variables, unused_mut, unused_assignments, reason = "there are tuples of nothing, and a last part")]
        impl<$($name: Lower),*> Lower for ($($name,)*) {
            fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
                $(self.$at.lower(context, slots)?;)*
                Ok(())
            }

            fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                let mut end = 0;
                $({
                    let at = $name::SHAPE.field_at(end);
                    end = at + $name::SHAPE.size();
                    self.$at.store(context, address + at)?;
                })*
                Ok(())
            }

            fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
                $(self.$at.look_at_handles(given)?;)*
                Ok(())
            }
        }

        impl<$($name: ComponentType),*> sealed::Sealed for ($($name,)*) {}
        impl<$($name: ComponentType),*> ParamList for ($($name,)*) {}
    )*};
}

tuples! {
    ()
    (A 0)
    (A 0 B 1)
    (A 0 B 1 C 2)
    (A 0 B 1 C 2 D 3)
    (A 0 B 1 C 2 D 3 E 4)
    (A 0 B 1 C 2 D 3 E 4 F 5)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14)
    (A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11 M 12 N 13 O 14 P 15)
}

/// The shapes of an option's cases.
const fn option_cases<V: ComponentType>() -> [Option<Shape>; 2] {
    [None, Some(V::SHAPE)]
}

/// The shapes of a result's cases. Nothing, `()`, is as no payload.
const fn result_cases<V: ComponentType, E: ComponentType>() -> [Option<Shape>; 2] {
    [Some(V::SHAPE), Some(E::SHAPE)]
}

impl<V: ComponentType> ComponentType for Option<V> {
    const SHAPE: Shape = Shape::variant(&option_cases::<V>());

    fn define(types: &mut WitTypes) -> WitType {
        let payload = V::define(types);
        types.option(payload)
    }
}

impl<V: Lift> Lift for Option<V> {
    type Lifted<'a> = Option<V::Lifted<'a>>;

    fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<Self::Lifted<'a>, Error> {
        let case = slots.next_slot() as u32;
        let mut payload = slots.payload(Self::SHAPE.flat() - 1);
        match case {
            0 => Ok(None),
            1 => V::lift(context, &mut payload).map(Some),
            _ => Err(context.no_case(case)),
        }
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<Self::Lifted<'a>, Error> {
        match context.read_number(address, 1) {
            0 => Ok(None),
            1 => V::load(context, address + const { Shape::payload(&option_cases::<V>()) }).map(Some),
            case => Err(context.no_case(case)),
        }
    }
}

impl<V: Lower> Lower for Option<V> {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        let end = slots.length() + Self::SHAPE.flat();
        slots.push(u64::from(self.is_some()));
        if let Some(payload) = self {
            payload.lower(context, slots)?;
        }
        slots.fill_to(end);
        Ok(())
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        context.write(address, &[u8::from(self.is_some())])?;
        match self {
            Some(payload) => payload.store(context, address + const { Shape::payload(&option_cases::<V>()) }),
            None => Ok(()),
        }
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        self.iter().try_for_each(|payload| payload.look_at_handles(given))
    }
}

impl<V: ComponentType, E: ComponentType> ComponentType for Result<V, E> {
    const SHAPE: Shape = Shape::variant(&result_cases::<V, E>());

    fn define(types: &mut WitTypes) -> WitType {
        let (ok, err) = (V::define(types), E::define(types));
        let nothing = types.primitive(ValType::Tuple([].into()));
        let payload = |ty| Some(ty).filter(|ty| *ty != nothing);
        types.result(payload(ok), payload(err))
    }
}

impl<V: Lift, E: Lift> Lift for Result<V, E> {
    type Lifted<'a> = Result<V::Lifted<'a>, E::Lifted<'a>>;

    fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<Self::Lifted<'a>, Error> {
        let case = slots.next_slot() as u32;
        let mut payload = slots.payload(Self::SHAPE.flat() - 1);
        match case {
            0 => V::lift(context, &mut payload).map(Ok),
            1 => E::lift(context, &mut payload).map(Err),
            _ => Err(context.no_case(case)),
        }
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<Self::Lifted<'a>, Error> {
        // Where there is no payload, that may be the end of the address space.
        let payload = address.wrapping_add(const { Shape::payload(&result_cases::<V, E>()) });
        match context.read_number(address, 1) {
            0 => V::load(context, payload).map(Ok),
            1 => E::load(context, payload).map(Err),
            case => Err(context.no_case(case)),
        }
    }
}

impl<V: Lower, E: Lower> Lower for Result<V, E> {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        let end = slots.length() + Self::SHAPE.flat();
        slots.push(u64::from(self.is_err()));
        match self {
            Ok(payload) => payload.lower(context, slots)?,
            Err(payload) => payload.lower(context, slots)?,
        }
        slots.fill_to(end);
        Ok(())
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        context.write(address, &[u8::from(self.is_err())])?;
        // As when it is loaded.
        let at = address.wrapping_add(const { Shape::payload(&result_cases::<V, E>()) });
        match self {
            Ok(payload) => payload.store(context, at),
            Err(payload) => payload.store(context, at),
        }
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        match self {
            Ok(payload) => payload.look_at_handles(given),
            Err(payload) => payload.look_at_handles(given),
        }
    }
}

impl<V: ComponentType + ?Sized> ComponentType for &V {
    const SHAPE: Shape = V::SHAPE;

    fn define(types: &mut WitTypes) -> WitType {
        V::define(types)
    }
}

impl<V: Lower + ?Sized> Lower for &V {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        V::lower(self, context, slots)
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        V::store(self, context, address)
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        V::look_at_handles(self, given)
    }
}

impl<V: ComponentType> ComponentType for Box<V> {
    const SHAPE: Shape = V::SHAPE;

    fn define(types: &mut WitTypes) -> WitType {
        V::define(types)
    }
}

impl<V: Lift> Lift for Box<V> {
    type Lifted<'a> = Box<V::Lifted<'a>>;

    fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<Self::Lifted<'a>, Error> {
        let value = V::lift(context, slots)?;
        context.costs.boxed(value)
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<Self::Lifted<'a>, Error> {
        let value = V::load(context, address)?;
        context.costs.boxed(value)
    }
}

impl<V: Lower> Lower for Box<V> {
    fn lower(&self, context: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        V::lower(self, context, slots)
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        V::store(self, context, address)
    }

    fn look_at_handles(&self, given: &mut GivenHandles<'_>) -> Result<(), Error> {
        V::look_at_handles(self, given)
    }
}
