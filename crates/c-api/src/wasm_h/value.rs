//! Values: `wasm_val_t`, and what it stands for in a store.

use innkeeper::{AsContextMut, Error, Result, StoreContextMut, Val, ValType};

use super::types::{ANYREF, EXNREF, EXTERNREF, F32, F64, FUNCREF, I32, I64, V128, kind_of};
use crate::boundary::{Given, In, InOut, Out, Own, c_functions, usage};
use crate::object::{Ref, of_val, to_val};
use crate::store::{Data, StoreRef};
use crate::vector::{Element, Vector, vector_functions};

/// `wasm_val_t`. Whatever is in it is in the first bytes of eight.
#[repr(C)]
pub struct Value {
    kind: u8,
    of: ValueOf,
}

#[repr(C)]
union ValueOf {
    bits: u64,
    reference: *mut Ref,
}

impl Value {
    fn number(kind: u8, bits: u64) -> Value {
        Value { kind, of: ValueOf { bits } }
    }

    fn is_reference(&self) -> bool {
        self.kind >= EXTERNREF
    }

    fn bits(&self) -> u64 {
        // SAFETY: all bits of a value are set: the library writes them all, and the header makes the C program promise it of those that its kind has. Others are not looked at.
        unsafe { self.of.bits }
    }

    fn pointer(&self) -> Own<Ref> {
        if !self.is_reference() {
            return Own::NULL;
        }
        // SAFETY: the kind says that it is a reference; the header makes the C program promise that it is null or one that the library gave.
        unsafe { std::mem::transmute::<*mut Ref, Own<Ref>>(self.of.reference) }
    }

    /// The value in a store, where one of type `ty` is wanted.
    pub(crate) fn to_val(&self, cx: StoreContextMut<'_, Data>, ty: ValType) -> Result<Val> {
        let kind = kind_of(ty, cx.engine());
        if let ValType::Ref(ty) = ty {
            // `WASM_REF_VAL` says `externref` of every reference.
            if !self.is_reference() {
                return Err(usage(format!("a {} is given where a {ty} is wanted", kind_name(self.kind))));
            }
            let given = self.pointer();
            return to_val(cx, given.as_ref(), ty);
        }
        if self.kind != kind {
            return Err(usage(format!("a {} is given where a {ty} is wanted", kind_name(self.kind))));
        }
        Ok(match ty {
            ValType::I32 => Val::I32((self.bits() as u32).cast_signed()),
            ValType::I64 => Val::I64(self.bits().cast_signed()),
            ValType::F32 => Val::F32(self.bits() as u32),
            ValType::F64 => Val::F64(self.bits()),
            ValType::V128 | ValType::Ref(_) => return Err(no_vector()),
        })
    }

    /// What C is given for a value of type `ty`.
    pub(crate) fn of_val(
        cx: StoreContextMut<'_, Data>,
        store: &StoreRef,
        value: Val,
        ty: ValType,
    ) -> Result<Value> {
        Ok(match value {
            Val::I32(value) => Value::number(I32, value.cast_unsigned().into()),
            Val::I64(value) => Value::number(I64, value.cast_unsigned()),
            Val::F32(bits) => Value::number(F32, bits.into()),
            Val::F64(bits) => Value::number(F64, bits),
            Val::V128(_) => return Err(no_vector()),
            value => {
                let kind = kind_of(ty, cx.engine());
                let reference = of_val(cx, store, value)?;
                // SAFETY: one is a pointer, and the other that pointer in a name.
                let reference = unsafe { std::mem::transmute::<Own<Ref>, *mut Ref>(reference) };
                let mut value = Value::number(kind, 0);
                value.of.reference = reference;
                value
            }
        })
    }

    /// A zero of a type, or null.
    pub(crate) fn zero(ty: ValType, engine: &innkeeper::Engine) -> Value {
        Value::number(kind_of(ty, engine), 0)
    }
}

/// All values of C's for types, or none.
pub(crate) fn to_vals(
    cx: &mut StoreContextMut<'_, Data>,
    values: &[Value],
    types: &[ValType],
) -> Result<Vec<Val>> {
    if values.len() != types.len() {
        return Err(usage(format!("{} values are given where {} are wanted", values.len(), types.len())));
    }
    values.iter().zip(types).map(|(value, ty)| value.to_val(cx.as_context_mut(), *ty)).collect()
}

fn no_vector() -> Error {
    usage("a vector of 128 bits does not fit into a wasm_val_t")
}

fn kind_name(kind: u8) -> &'static str {
    match kind {
        I32 => "i32",
        I64 => "i64",
        F32 => "f32",
        F64 => "f64",
        V128 => "v128",
        EXTERNREF => "externref",
        FUNCREF => "funcref",
        ANYREF => "anyref",
        EXNREF => "exnref",
        _ => "value of no known kind",
    }
}

impl Element for Value {
    fn duplicate(&self) -> Value {
        let mut copy = Value::number(self.kind, 0);
        if self.is_reference() {
            // SAFETY: one is a pointer, and the other that pointer in a name.
            copy.of.reference =
                unsafe { std::mem::transmute::<Own<Ref>, *mut Ref>(self.pointer().duplicate()) };
        } else {
            copy.of.bits = self.bits();
        }
        copy
    }

    fn delete(self) {
        self.pointer().delete();
    }
}

impl Given for Value {
    fn unwanted(self) {
        self.delete();
    }
}

vector_functions! {
    Value: wasm_val_vec_new_empty wasm_val_vec_new_uninitialized wasm_val_vec_new wasm_val_vec_copy wasm_val_vec_delete;
}

c_functions! {
    fn wasm_val_delete(value: InOut<Value>) {
        if let Ok(value) = value.get("the value") {
            std::mem::replace(value, Value::number(I32, 0)).delete();
        }
        Ok(())
    }

    fn wasm_val_copy(out: Out<Value>, from: In<Value>) {
        out.set(from.get("the value to copy")?.duplicate());
        Ok(())
    }
}

/// A vector that C may leave out where it would be empty.
pub(crate) fn values(vector: &In<Vector<Value>>) -> &[Value] {
    vector.option().map_or(&[], Vector::as_slice)
}
