//! Arguments and expected results of scripts.

use std::any::Any;
use std::sync::Arc;

use innkeeper::{AnyKind, AnyRef, AsContext, AsContextMut, ExternRef, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// What `ref.extern N` stands for.
struct HostObject(u32);

/// The value of an argument.
pub(crate) fn argument(store: impl AsContextMut, arg: &WastArg<'_>) -> Result<Val, String> {
    let WastArg::Core(arg) = arg else { return Err("a component's value in a core script".to_owned()) };
    Ok(match arg {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(u128::from_le_bytes(value.to_le_bytes())),
        WastArgCore::RefExtern(number) => Val::ExternRef(Some(host_object(store, *number)?)),
        WastArgCore::RefHost(number) => Val::AnyRef(Some(AnyRef::from_extern(host_object(store, *number)?))),
        WastArgCore::RefNull(HeapType::Abstract { ty, .. }) => match ty {
            AbstractHeapType::Func | AbstractHeapType::NoFunc => Val::FuncRef(None),
            AbstractHeapType::Extern | AbstractHeapType::NoExtern => Val::ExternRef(None),
            AbstractHeapType::Exn | AbstractHeapType::NoExn => Val::ExnRef(None),
            _ => Val::AnyRef(None),
        },
        other => return Err(format!("the argument is not supported: {other:?}")),
    })
}

fn host_object(store: impl AsContextMut, number: u32) -> Result<ExternRef, String> {
    ExternRef::new(store, HostObject(number)).map_err(|error| error.to_string())
}

/// Checks a result against what a script expects.
pub(crate) fn check(store: &impl AsContext, value: &Val, expected: &WastRet<'_>) -> Result<(), String> {
    let WastRet::Core(expected) = expected else {
        return Err("a component's value in a core script".to_owned());
    };
    if matches(store, value, expected)? {
        Ok(())
    } else {
        Err(format!("expected {expected:?}, got {value:?}"))
    }
}

fn matches(store: &impl AsContext, value: &Val, expected: &WastRetCore<'_>) -> Result<bool, String> {
    Ok(match (expected, value) {
        (WastRetCore::I32(want), Val::I32(have)) => want == have,
        (WastRetCore::I64(want), Val::I64(have)) => want == have,
        (WastRetCore::F32(want), Val::F32(have)) => matches_f32(want, *have),
        (WastRetCore::F64(want), Val::F64(have)) => matches_f64(want, *have),
        (WastRetCore::V128(want), Val::V128(have)) => matches_v128(want, *have),
        (WastRetCore::RefNull(_), Val::FuncRef(have)) => have.is_none(),
        (WastRetCore::RefNull(_), Val::ExternRef(have)) => have.is_none(),
        (WastRetCore::RefNull(_), Val::AnyRef(have)) => have.is_none(),
        (WastRetCore::RefNull(_), Val::ExnRef(have)) => have.is_none(),
        (WastRetCore::RefAny, Val::AnyRef(have)) => have.is_some(),
        (WastRetCore::RefEq, Val::AnyRef(Some(have))) => kind(store, *have)? != AnyKind::Host,
        (WastRetCore::RefStruct, Val::AnyRef(Some(have))) => kind(store, *have)? == AnyKind::Struct,
        (WastRetCore::RefArray, Val::AnyRef(Some(have))) => kind(store, *have)? == AnyKind::Array,
        (WastRetCore::RefI31, Val::AnyRef(Some(have))) => matches!(kind(store, *have)?, AnyKind::I31(_)),
        (WastRetCore::RefHost(want), Val::AnyRef(Some(have))) => number(have.get(store)) == Some(*want),
        (WastRetCore::RefFunc(None), Val::FuncRef(have)) => have.is_some(),
        (WastRetCore::RefExtern(want), Val::ExternRef(Some(have))) => {
            want.is_none_or(|want| number(have.get(store)) == Some(want))
        }
        (WastRetCore::Either(options), _) => {
            for option in options {
                // An option of another type is one that does not match, and no reason not to look at the next.
                if matches(store, value, option).unwrap_or(false) {
                    return Ok(true);
                }
            }
            false
        }
        _ => return Err(format!("cannot compare {value:?} with {expected:?}")),
    })
}

fn kind(store: &impl AsContext, reference: AnyRef) -> Result<AnyKind, String> {
    reference.kind(store).map_err(|error| error.to_string())
}

/// The number of a host object made by a script.
fn number(object: Option<Arc<dyn Any + Send + Sync>>) -> Option<u32> {
    Some(object?.downcast_ref::<HostObject>()?.0)
}

fn matches_v128(want: &V128Pattern, have: u128) -> bool {
    /// The lane `i` of `bits` bits each, in the lowest bits of the result.
    fn lane(vector: u128, i: usize, bits: usize) -> u64 {
        (vector >> (i * bits)) as u64
    }
    match want {
        V128Pattern::I8x16(want) => (0..16).all(|i| want[i] == lane(have, i, 8) as i8),
        V128Pattern::I16x8(want) => (0..8).all(|i| want[i] == lane(have, i, 16) as i16),
        V128Pattern::I32x4(want) => (0..4).all(|i| want[i] == lane(have, i, 32) as i32),
        V128Pattern::I64x2(want) => (0..2).all(|i| want[i] == lane(have, i, 64) as i64),
        V128Pattern::F32x4(want) => (0..4).all(|i| matches_f32(&want[i], lane(have, i, 32) as u32)),
        V128Pattern::F64x2(want) => (0..2).all(|i| matches_f64(&want[i], lane(have, i, 64))),
    }
}

fn matches_f32(want: &NanPattern<wast::token::F32>, have: u32) -> bool {
    match want {
        NanPattern::CanonicalNan => have & 0x7FFF_FFFF == 0x7FC0_0000,
        NanPattern::ArithmeticNan => have & 0x7FC0_0000 == 0x7FC0_0000,
        NanPattern::Value(want) => want.bits == have,
    }
}

fn matches_f64(want: &NanPattern<wast::token::F64>, have: u64) -> bool {
    match want {
        NanPattern::CanonicalNan => have & 0x7FFF_FFFF_FFFF_FFFF == 0x7FF8_0000_0000_0000,
        NanPattern::ArithmeticNan => have & 0x7FF8_0000_0000_0000 == 0x7FF8_0000_0000_0000,
        NanPattern::Value(want) => want.bits == have,
    }
}
