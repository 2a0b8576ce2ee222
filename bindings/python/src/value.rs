//! What passes between Python and a guest.
//!
//! Integers are Python's integers (a guest's have no sign of their own: both readings are taken, and the signed one is given), floats its floats, vectors integers of 128 bits,
//! functions `Func`, and a reference from outside (`externref`) is any object of Python's. Other references can only be null.

use std::sync::Arc;

use ::innkeeper::{AsContextMut, ExternRef, HeapType, StoreContextMut, Val, ValType};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{OrRaise, Result, refused};
use crate::instance::Func;
use crate::store::{Data, Shared};

/// A value of Python's as one of a type.
pub(crate) fn from_python(
    py: Python<'_>,
    mut store: StoreContextMut<'_, Data>,
    ty: &ValType,
    value: &Bound<'_, PyAny>,
) -> Result<Val> {
    Ok(match ty {
        ValType::I32 => Val::I32(integer(value, i64::from(i32::MIN), i64::from(u32::MAX))? as i32),
        ValType::I64 => match value.extract::<i64>() {
            Ok(number) => Val::I64(number),
            Err(_) => Val::I64(value.extract::<u64>()?.cast_signed()),
        },
        ValType::F32 => Val::F32((value.extract::<f64>()? as f32).to_bits()),
        ValType::F64 => Val::F64(value.extract::<f64>()?.to_bits()),
        ValType::V128 => Val::V128(value.extract()?),
        ValType::Ref(reference) => match reference.heap {
            HeapType::Func | HeapType::NoFunc | HeapType::Concrete(_) if value.is_none() => {
                Val::FuncRef(None)
            }
            HeapType::Func => Val::FuncRef(Some(value.cast::<Func>()?.get().func)),
            HeapType::Extern | HeapType::NoExtern if value.is_none() && reference.nullable => {
                Val::ExternRef(None)
            }
            HeapType::Extern => {
                let object = value.clone().unbind();
                Val::ExternRef(Some(ExternRef::new(store.as_context_mut(), object).or_raise(py)?))
            }
            _ if value.is_none() => Val::AnyRef(None),
            _ => return Err(refused(format!("{ty} cannot be made by Python"))),
        },
    })
}

/// A value of a guest's as one of Python's.
pub(crate) fn to_python(
    py: Python<'_>,
    store: StoreContextMut<'_, Data>,
    shared: &Arc<Shared>,
    value: Val,
) -> Result<Py<PyAny>> {
    Ok(match value {
        Val::I32(number) => number.into_pyobject(py)?.into_any().unbind(),
        Val::I64(number) => number.into_pyobject(py)?.into_any().unbind(),
        Val::F32(bits) => f64::from(f32::from_bits(bits)).into_pyobject(py)?.into_any().unbind(),
        Val::F64(bits) => f64::from_bits(bits).into_pyobject(py)?.into_any().unbind(),
        Val::V128(bits) => bits.into_pyobject(py)?.into_any().unbind(),
        Val::FuncRef(Some(func)) => {
            Func::new(py, store, shared, func)?.into_pyobject(py)?.into_any().unbind()
        }
        Val::ExternRef(Some(reference)) => {
            let object = reference.data(&store).or_raise(py)?;
            let object = object.as_ref().and_then(|object| object.downcast_ref::<Py<PyAny>>());
            object
                .map(|object| object.clone_ref(py))
                .ok_or_else(|| refused("the reference is not Python's"))?
        }
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => py.None(),
        other => return Err(refused(format!("{} cannot be given to Python", other.ty()))),
    })
}

/// Results as Python functions give them: nothing, one value, or a tuple.
pub(crate) fn results_to_python(
    py: Python<'_>,
    mut store: StoreContextMut<'_, Data>,
    shared: &Arc<Shared>,
    results: &[Val],
) -> Result<Py<PyAny>> {
    let mut values = Vec::with_capacity(results.len());
    for result in results {
        values.push(to_python(py, store.as_context_mut(), shared, *result)?);
    }
    match values.len() {
        0 => Ok(py.None()),
        1 => Ok(values.remove(0)),
        _ => Ok(PyTuple::new(py, values)?.into_any().unbind()),
    }
}

/// What a function of Python's has returned, as results.
pub(crate) fn results_from_python(
    py: Python<'_>,
    mut store: StoreContextMut<'_, Data>,
    types: &[ValType],
    returned: &Bound<'_, PyAny>,
) -> Result<Vec<Val>> {
    match types {
        [] => Ok(Vec::new()),
        [ty] => Ok(vec![from_python(py, store, ty, returned)?]),
        _ => {
            let values: Vec<Bound<'_, PyAny>> = returned.try_iter()?.collect::<PyResult<_>>()?;
            if values.len() != types.len() {
                return Err(refused(format!(
                    "the function gave {} values, not {}",
                    values.len(),
                    types.len()
                )));
            }
            let pairs = types.iter().zip(&values);
            pairs.map(|(ty, value)| from_python(py, store.as_context_mut(), ty, value)).collect()
        }
    }
}

fn integer(value: &Bound<'_, PyAny>, least: i64, most: i64) -> Result<i64> {
    let number: i64 = value.extract()?;
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    Err(pyo3::exceptions::PyOverflowError::new_err(format!("{number} does not fit into an i32")))
}
