//! Values that say where they belong, by kind: how code makes one, and how it counts one that is another.

use wasm_encoder::{Function, HeapType, Ieee32, Ieee64, InstructionSink, RefType, ValType};

/// The type of structure that locals refer to: one field of 64 bits.
pub(super) const STRUCT: u32 = 0;

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `i32`.
    I32,
    /// `i64`.
    I64,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `v128`.
    V128,
    /// `i31ref`.
    I31,
    /// A reference to a structure, or null.
    Struct,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 7] =
        [Kind::I32, Kind::I64, Kind::F32, Kind::F64, Kind::V128, Kind::I31, Kind::Struct];

    /// Slots that a value takes.
    #[must_use]
    pub fn slots(self) -> u32 {
        if self == Kind::V128 { 2 } else { 1 }
    }

    pub(super) fn ty(self) -> ValType {
        match self {
            Kind::I32 => ValType::I32,
            Kind::I64 => ValType::I64,
            Kind::F32 => ValType::F32,
            Kind::F64 => ValType::F64,
            Kind::V128 => ValType::V128,
            Kind::I31 => ValType::Ref(RefType::I31REF),
            Kind::Struct => ValType::Ref(RefType { nullable: true, heap_type: HeapType::Concrete(STRUCT) }),
        }
    }
}

/// What a value is made from: a number that code knows, and one in a local of type `i32`, 0 if there is none.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) number: u32,
    pub(super) local: Option<u32>,
}

impl Mark {
    pub(super) fn of(number: u32) -> Mark {
        Mark { number, local: None }
    }

    /// Only some structures are there, each of which a collection has to look at.
    fn is_null(self) -> bool {
        !self.number.is_multiple_of(40)
    }

    fn push(self, code: &mut InstructionSink<'_>) {
        code.i32_const((self.number.wrapping_mul(0x9e37_79b1) >> 4).cast_signed());
        if let Some(local) = self.local {
            code.local_get(local).i32_add();
        }
    }
}

/// Pushes the value of a kind that has a mark.
pub(super) fn make(function: &mut Function, kind: Kind, mark: Mark) {
    let mut code = function.instructions();
    match kind {
        Kind::F32 if mark.local.is_none() => {
            code.f32_const(Ieee32::from(mark.number as f32));
            return;
        }
        Kind::F64 if mark.local.is_none() => {
            code.f64_const(Ieee64::from(f64::from(mark.number)));
            return;
        }
        Kind::Struct if mark.is_null() => {
            code.ref_null(HeapType::Concrete(STRUCT));
            return;
        }
        _ => mark.push(&mut code),
    }
    match kind {
        Kind::I32 => {}
        Kind::I64 => {
            code.i64_extend_i32_u();
        }
        Kind::F32 => {
            code.f32_convert_i32_s();
        }
        Kind::F64 => {
            code.f64_convert_i32_s();
        }
        Kind::V128 => {
            code.i32x4_splat();
        }
        Kind::I31 => {
            code.i32_const(0x3fff_ffff).i32_and().ref_i31();
        }
        Kind::Struct => {
            code.i64_extend_i32_u().struct_new(STRUCT);
        }
    }
}

/// Pops a value and pushes 1 where it is not the one that has the mark, else 0.
pub(super) fn differs(function: &mut Function, kind: Kind, mark: Mark) {
    match kind {
        Kind::I31 => {
            function.instructions().i31_get_u();
            mark.push(&mut function.instructions());
            function.instructions().i32_const(0x3fff_ffff).i32_and().i32_ne();
        }
        Kind::Struct if mark.is_null() => {
            function.instructions().ref_is_null().i32_eqz();
        }
        Kind::Struct => {
            function.instructions().struct_get(STRUCT, 0);
            mark.push(&mut function.instructions());
            function.instructions().i64_extend_i32_u().i64_ne();
        }
        _ => {
            make(function, kind, mark);
            let mut code = function.instructions();
            match kind {
                Kind::I64 => code.i64_ne(),
                Kind::F32 => code.f32_ne(),
                Kind::F64 => code.f64_ne(),
                Kind::V128 => code.i8x16_eq().i8x16_all_true().i32_eqz(),
                _ => code.i32_ne(),
            };
        }
    }
}
