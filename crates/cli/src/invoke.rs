//! Values on the command line: the arguments of an invoked function, and its results.

use std::ffi::OsString;

use innkeeper::{FuncType, Val, ValType};

use crate::report::Problem;

/// Reads `args` as the parameters of the function `name` of type `ty`.
pub(crate) fn arguments(name: &str, ty: &FuncType, args: &[OsString]) -> Result<Vec<Val>, Problem> {
    if args.len() != ty.params().len() {
        let takes = match ty.params().len() {
            0 => String::from("no arguments"),
            1 => String::from("1 argument"),
            count => format!("{count} arguments"),
        };
        let given = match args.len() {
            0 => String::from("none was given"),
            1 => String::from("1 was given"),
            count => format!("{count} were given"),
        };
        return Err(Problem::new(
            format!("--invoke {name}"),
            format!("the function takes {takes}, and {given}"),
        )
        .help(format!("its type is {ty}; the arguments stand after FILE"))
        .mistake());
    }
    let pairs = ty.params().iter().zip(args);
    pairs.enumerate().map(|(index, (param, text))| argument(name, ty, index, *param, text)).collect()
}

/// A value as it is printed: integers signed, floats in decimal.
pub(crate) fn result(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(value) => format!("0x{value:032x}"),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => {
            String::from("null")
        }
        Val::FuncRef(Some(_)) => String::from("<funcref>"),
        Val::ExternRef(Some(_)) => String::from("<externref>"),
        Val::AnyRef(Some(_)) => String::from("<anyref>"),
        Val::ExnRef(Some(_)) => String::from("<exnref>"),
    }
}

fn argument(
    name: &str,
    ty: &FuncType,
    index: usize,
    param: ValType,
    text: &OsString,
) -> Result<Val, Problem> {
    let text = text.to_string_lossy();
    value(param, &text).map_err(|reason| {
        Problem::new(format!("--invoke {name}"), format!("argument {} is `{text}`: {reason}", index + 1))
            .help(format!("the function's type is {ty}"))
            .mistake()
    })
}

fn value(ty: ValType, text: &str) -> Result<Val, String> {
    match ty {
        ValType::I32 => {
            let value = integer(text)?;
            let bits = i32::try_from(value).or_else(|_| u32::try_from(value).map(u32::cast_signed));
            bits.map(Val::I32).map_err(|_| String::from("out of the range of i32, -2147483648 to 4294967295"))
        }
        ValType::I64 => {
            let value = integer(text)?;
            let bits = i64::try_from(value).or_else(|_| u64::try_from(value).map(u64::cast_signed));
            bits.map(Val::I64).map_err(|_| String::from("out of the range of i64, -2^63 to 2^64-1"))
        }
        ValType::F32 => text
            .parse::<f32>()
            .map(Val::from)
            .map_err(|_| String::from("not an f32, such as -1.5, 1e9, inf or nan")),
        ValType::F64 => text
            .parse::<f64>()
            .map(Val::from)
            .map_err(|_| String::from("not an f64, such as -1.5, 1e9, inf or nan")),
        ValType::Ref(_) if text == "null" => Ok(Val::zero(ty)),
        ValType::Ref(_) => Err(format!("a {ty} can only be `null` on the command line")),
        ValType::V128 => Err(String::from("a v128 cannot be given on the command line")),
    }
}

/// Reads an integer in decimal, or in hexadecimal after `0x`, with or without a sign.
fn integer(text: &str) -> Result<i128, String> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => (16, digits),
        None => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(String::from("not an integer, such as 42, -1 or 0xff"));
    }
    i128::from_str_radix(digits, radix).map(|value| sign * value).map_err(|_| String::from("far too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_every_form() {
        assert_eq!(value(ValType::I32, "-1"), Ok(Val::I32(-1)));
        assert_eq!(value(ValType::I32, "4294967295"), Ok(Val::I32(-1)));
        assert_eq!(value(ValType::I32, "0xfFfFfFfF"), Ok(Val::I32(-1)));
        assert_eq!(value(ValType::I32, "-0x80000000"), Ok(Val::I32(i32::MIN)));
        assert_eq!(value(ValType::I64, "0x8000000000000000"), Ok(Val::I64(i64::MIN)));
        assert_eq!(value(ValType::I64, "+7"), Ok(Val::I64(7)));
        for bad in
            ["", "-", "0x", "1.5", "--1", "+-1", "0x-1", "1 ", "4294967296", "-2147483649", &"9".repeat(60)]
        {
            assert!(value(ValType::I32, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn floats_in_every_form() {
        assert_eq!(value(ValType::F32, "-1.5"), Ok(Val::from(-1.5f32)));
        assert_eq!(value(ValType::F64, "-inf"), Ok(Val::from(f64::NEG_INFINITY)));
        assert_eq!(value(ValType::F64, "-0"), Ok(Val::from(-0.0f64)));
        assert!(matches!(value(ValType::F32, "nan"), Ok(Val::F32(bits)) if f32::from_bits(bits).is_nan()));
        assert!(value(ValType::F64, "one").is_err());
    }

    #[test]
    fn results_read_back() {
        assert_eq!(result(&Val::I32(-1)), "-1");
        assert_eq!(result(&Val::from(f64::NAN)), "NaN");
        assert_eq!(result(&Val::from(2.5f32)), "2.5");
        assert_eq!(result(&Val::V128(1)), "0x00000000000000000000000000000001");
        assert_eq!(result(&Val::FuncRef(None)), "null");
    }
}
