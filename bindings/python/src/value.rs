//! What passes between Python and a guest.
//!
//! Integers are Python's integers (a guest's have no sign of their own: both readings are taken, and the signed one is given), floats its floats, vectors integers of 128 bits,
//! functions `Func`, and a reference from outside (`externref`) is any object of Python's. Other references can only be null.

use std::fmt;

use ::innkeeper::{AsContextMut, ExternRef, HeapType, StoreContextMut, Val, ValType};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::argument::{argument, type_name};
use crate::error::{OrRaise, Result, refused};
use crate::instance::Func;
use crate::objects::Held;
use crate::store::{Data, Store};

/// What a value is for.
#[derive(Clone, Copy)]
pub(crate) enum Place<'a> {
    /// A parameter of a guest's function, counted from 0.
    Parameter(usize),
    /// The only result of a function of Python's, or one of several.
    Result(&'a str, Option<usize>),
    Global,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Parameter(number) => write!(f, "parameter {}", number + 1),
            Place::Result(name, None) => write!(f, "the result of {name}"),
            Place::Result(name, Some(number)) => write!(f, "result {} of {name}", number + 1),
            Place::Global => f.write_str("the global"),
        }
    }
}

/// A value of Python's as one of a type.
pub(crate) fn from_python(
    mut cx: StoreContextMut<'_, Data>,
    (store, place): (&Store, Place<'_>),
    ty: &ValType,
    value: &Bound<'_, PyAny>,
) -> Result<Val> {
    let py = value.py();
    let number = "an int";
    // Python's own errors say neither which value nor what is wanted.
    let failed = |error: PyErr, wanted: &str| {
        if error.is_instance_of::<PyOverflowError>(py) {
            return PyOverflowError::new_err(format!(
                "{place} must be of type {ty}, and {value} does not fit into that"
            ));
        }
        if error.is_instance_of::<PyTypeError>(py) { wrong(place, ty, value, wanted) } else { error }
    };
    Ok(match ty {
        ValType::I32 => {
            let wide = value.extract::<i64>().map_err(|error| failed(error, number))?;
            if !(i64::from(i32::MIN)..=i64::from(u32::MAX)).contains(&wide) {
                return Err(failed(PyOverflowError::new_err(()), number));
            }
            Val::I32(wide as i32)
        }
        ValType::I64 => match value.extract::<i64>() {
            Ok(number) => Val::I64(number),
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
                Val::I64(value.extract::<u64>().map_err(|error| failed(error, number))?.cast_signed())
            }
            Err(error) => return Err(failed(error, number)),
        },
        ValType::F32 => Val::F32((float(value).map_err(|error| failed(error, "a float"))? as f32).to_bits()),
        ValType::F64 => Val::F64(float(value).map_err(|error| failed(error, "a float"))?.to_bits()),
        ValType::V128 => Val::V128(value.extract().map_err(|error| failed(error, number))?),
        ValType::Ref(reference) => match reference.heap {
            HeapType::Func | HeapType::NoFunc | HeapType::Concrete(_) if value.is_none() => {
                Val::FuncRef(None)
            }
            HeapType::Func => {
                let func =
                    value.cast::<Func>().map_err(|_| wrong(place, ty, value, "an innkeeper.Func or None"))?;
                Val::FuncRef(Some(func.get().func))
            }
            HeapType::Extern | HeapType::NoExtern if value.is_none() && reference.nullable => {
                Val::ExternRef(None)
            }
            HeapType::Extern => {
                let object = store.objects.hold(value.clone().unbind());
                Val::ExternRef(Some(ExternRef::new(cx.as_context_mut(), object).or_raise(py)?))
            }
            _ if value.is_none() => Val::AnyRef(None),
            _ => {
                return Err(refused(format!(
                    "{place} must be of type {ty}, which Python can make only None of"
                )));
            }
        },
    })
}

fn float(value: &Bound<'_, PyAny>) -> Result<f64> {
    value.extract()
}

#[cold]
fn wrong(place: Place<'_>, ty: &ValType, value: &Bound<'_, PyAny>, wanted: &str) -> PyErr {
    argument(format_args!("{place} ({ty})"), value).wrong(wanted)
}

/// A value of a guest's as one of Python's.
pub(crate) fn to_python(
    py: Python<'_>,
    cx: StoreContextMut<'_, Data>,
    owner: &Py<Store>,
    value: Val,
) -> Result<Py<PyAny>> {
    Ok(match value {
        Val::I32(number) => number.into_pyobject(py)?.into_any().unbind(),
        Val::I64(number) => number.into_pyobject(py)?.into_any().unbind(),
        Val::F32(bits) => f64::from(f32::from_bits(bits)).into_pyobject(py)?.into_any().unbind(),
        Val::F64(bits) => f64::from_bits(bits).into_pyobject(py)?.into_any().unbind(),
        Val::V128(bits) => bits.into_pyobject(py)?.into_any().unbind(),
        Val::FuncRef(Some(func)) => Func::new(py, cx, owner, func)?.into_pyobject(py)?.into_any().unbind(),
        Val::ExternRef(Some(reference)) => {
            let object = reference.data(&cx).or_raise(py)?;
            let object = object.as_ref().and_then(|object| object.downcast_ref::<Held>());
            object
                .and_then(|object| object.get(py))
                .ok_or_else(|| refused("the reference is not Python's"))?
        }
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => py.None(),
        other => return Err(refused(format!("{} cannot be given to Python", other.ty()))),
    })
}

/// Results as Python functions give them: nothing, one value, or a tuple.
pub(crate) fn results_to_python(
    py: Python<'_>,
    mut cx: StoreContextMut<'_, Data>,
    owner: &Py<Store>,
    results: &[Val],
) -> Result<Py<PyAny>> {
    let mut values = Vec::with_capacity(results.len());
    for result in results {
        values.push(to_python(py, cx.as_context_mut(), owner, *result)?);
    }
    match values.len() {
        0 => Ok(py.None()),
        1 => Ok(values.remove(0)),
        _ => Ok(PyTuple::new(py, values)?.into_any().unbind()),
    }
}

/// What a function of Python's, of that name, has returned, as results.
pub(crate) fn results_from_python(
    mut cx: StoreContextMut<'_, Data>,
    (store, name): (&Store, &str),
    types: &[ValType],
    returned: &Bound<'_, PyAny>,
) -> Result<Vec<Val>> {
    match types {
        [] => Ok(Vec::new()),
        [ty] => Ok(vec![from_python(cx, (store, Place::Result(name, None)), ty, returned)?]),
        _ => {
            let count = types.len();
            let parts = returned.try_iter().map_err(|_| {
                PyTypeError::new_err(format!("{name} must give {count} values, not {}", type_name(returned)))
            })?;
            let values: Vec<Bound<'_, PyAny>> = parts.collect::<PyResult<_>>()?;
            if values.len() != count {
                return Err(refused(format!("{name} must give {count} values, not {}", values.len())));
            }
            let pairs = types.iter().zip(&values).enumerate();
            pairs
                .map(|(number, (ty, value))| {
                    from_python(cx.as_context_mut(), (store, Place::Result(name, Some(number))), ty, value)
                })
                .collect()
        }
    }
}
