//! Numbers, truth values and characters. Lists of numbers are copied in one piece, and borrowed where nothing has to be made canonical.

use innkeeper_engine::{Error, numbers_in};

use super::{
    ComponentType, Lift, LiftContext, Lower, LowerContext, Shape, Slots, SlotsMut, WitType, WitTypes,
};
use crate::trap::Trap;
use crate::types::ValType;

macro_rules! integers {
    ($($ty:ident $wit:ident $wide:ident;)*) => {$(
        impl ComponentType for $ty {
            const SHAPE: Shape = Shape::number(size_of::<$ty>() as u32);

            fn define(types: &mut WitTypes) -> WitType {
                types.primitive(ValType::$wit)
            }
        }

        impl Lift for $ty {
            type Lifted<'a> = $ty;

            #[inline]
            fn lift<'a>(_: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<$ty, Error> {
                Ok(slots.next_slot() as $ty)
            }

            #[inline]
            fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<$ty, Error> {
                Ok(<$ty>::from_le_bytes(context.read(address)))
            }

            fn load_list<'a>(
                context: &mut LiftContext<'a>,
                address: u32,
                length: usize,
            ) -> Result<Vec<$ty>, Error> {
                let mut list = context.room_for(length)?;
                let bytes = context.bytes(address, length * size_of::<$ty>());
                match numbers_in(bytes) {
                    Some(numbers) => list.extend_from_slice(numbers),
                    None => {
                        let (numbers, _) = bytes.as_chunks();
                        list.extend(numbers.iter().map(|bytes| <$ty>::from_le_bytes(*bytes)));
                    }
                }
                Ok(list)
            }
        }

        impl Lower for $ty {
            #[inline]
            fn lower(&self, _: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
                // A narrow one is passed in 32 bits, with its sign, and the rest of the slot is zero.
                slots.push(u64::from($wide::from(*self) as passed!($wide)));
                Ok(())
            }

            #[inline]
            fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                context.write(address, &self.to_le_bytes())
            }

            fn store_list(list: &[$ty], context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                let (to, _) = context.bytes(address, size_of_val(list))?.as_chunks_mut();
                for (to, number) in to.iter_mut().zip(list) {
                    *to = number.to_le_bytes();
                }
                Ok(())
            }
        }

        /// Where the list is, in the guest's memory.
        impl Lift for &[$ty] {
            type Lifted<'a> = &'a [$ty];

            fn lift<'a>(context: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<&'a [$ty], Error> {
                let (address, length) = (slots.next_slot() as u32, slots.next_slot() as u32);
                borrowed(context, (address, length))
            }

            fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<&'a [$ty], Error> {
                let (at, length) = super::list::load_pair(context, address);
                borrowed(context, (at, length))
            }
        }
    )*};
}

/// What the bits of a widened number are passed as.
macro_rules! passed {
    (i32) => {
        u32
    };
    (u32) => {
        u32
    };
    (i64) => {
        u64
    };
    (u64) => {
        u64
    };
}

integers! {
    i8 S8 i32;
    u8 U8 u32;
    i16 S16 i32;
    u16 U16 u32;
    i32 S32 i32;
    u32 U32 u32;
    i64 S64 i64;
    u64 U64 u64;
}

fn borrowed<'a, N: innkeeper_engine::Plain + ComponentType>(
    context: &LiftContext<'a>,
    list: (u32, u32),
) -> Result<&'a [N], Error> {
    let bytes = context.list(list, N::SHAPE)?;
    // A memory begins where pages do, and the address in it was checked.
    numbers_in(bytes).ok_or_else(|| {
        crate::resource::usage(
            "this machine cannot borrow a list of numbers from a guest: take it as a `Vec`",
        )
    })
}

macro_rules! floats {
    ($($ty:ident $wit:ident $bits:ident $nan:literal;)*) => {$(
        impl ComponentType for $ty {
            const SHAPE: Shape = Shape::number(size_of::<$ty>() as u32);

            fn define(types: &mut WitTypes) -> WitType {
                types.primitive(ValType::$wit)
            }
        }

        impl Lift for $ty {
            type Lifted<'a> = $ty;

            #[inline]
            fn lift<'a>(_: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<$ty, Error> {
                Ok($ty::from_bits(slots.next_slot() as $bits).canonical())
            }

            #[inline]
            fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<$ty, Error> {
                Ok($ty::from_le_bytes(context.read(address)).canonical())
            }

            fn load_list<'a>(
                context: &mut LiftContext<'a>,
                address: u32,
                length: usize,
            ) -> Result<Vec<$ty>, Error> {
                let mut list = context.room_for(length)?;
                let (numbers, _) = context.bytes(address, length * size_of::<$ty>()).as_chunks();
                list.extend(numbers.iter().map(|bytes| $ty::from_le_bytes(*bytes).canonical()));
                Ok(list)
            }
        }

        impl Lower for $ty {
            #[inline]
            fn lower(&self, _: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
                slots.push(u64::from(self.canonical().to_bits()));
                Ok(())
            }

            #[inline]
            fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                context.write(address, &self.canonical().to_le_bytes())
            }

            fn store_list(list: &[$ty], context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
                let (to, _) = context.bytes(address, size_of_val(list))?.as_chunks_mut();
                for (to, number) in to.iter_mut().zip(list) {
                    *to = number.canonical().to_le_bytes();
                }
                Ok(())
            }
        }

        impl Canonical for $ty {
            #[inline]
            fn canonical(self) -> $ty {
                if self.is_nan() { $ty::from_bits($nan) } else { self }
            }
        }
    )*};
}

/// There is one NaN only among a component's values.
trait Canonical {
    fn canonical(self) -> Self;
}

floats! {
    f32 Float32 u32 0x7fc0_0000;
    f64 Float64 u64 0x7ff8_0000_0000_0000;
}

impl ComponentType for bool {
    const SHAPE: Shape = Shape::number(1);

    fn define(types: &mut WitTypes) -> WitType {
        types.primitive(ValType::Bool)
    }
}

impl Lift for bool {
    type Lifted<'a> = bool;

    fn lift<'a>(_: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<bool, Error> {
        Ok(slots.next_slot() as u32 != 0)
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<bool, Error> {
        Ok(context.read::<1>(address) != [0])
    }
}

impl Lower for bool {
    fn lower(&self, _: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        slots.push(u64::from(*self));
        Ok(())
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        context.write(address, &[u8::from(*self)])
    }
}

impl ComponentType for char {
    const SHAPE: Shape = Shape::number(4);

    fn define(types: &mut WitTypes) -> WitType {
        types.primitive(ValType::Char)
    }
}

impl Lift for char {
    type Lifted<'a> = char;

    fn lift<'a>(_: &mut LiftContext<'a>, slots: &mut Slots<'_>) -> Result<char, Error> {
        character(slots.next_slot() as u32)
    }

    fn load<'a>(context: &mut LiftContext<'a>, address: u32) -> Result<char, Error> {
        character(u32::from_le_bytes(context.read(address)))
    }
}

impl Lower for char {
    fn lower(&self, _: &mut LowerContext<'_>, slots: &mut SlotsMut) -> Result<(), Error> {
        slots.push(u64::from(u32::from(*self)));
        Ok(())
    }

    fn store(&self, context: &mut LowerContext<'_>, address: u32) -> Result<(), Error> {
        context.write(address, &u32::from(*self).to_le_bytes())
    }
}

fn character(code: u32) -> Result<char, Error> {
    Ok(char::from_u32(code).ok_or(Trap::InvalidChar(code))?)
}
