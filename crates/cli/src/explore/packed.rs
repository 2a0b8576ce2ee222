//! A function's lines for the page, in few bytes: compressed, as text that HTML carries as it is.
//!
//! Must stay true: the page's script reads what is written here. Lines are one text; offsets and addresses are differences to the one before, which are small and often the
//! same. All that is compressed in zlib's format, which browsers read themselves, and written in base64.

use miniz_oxide::deflate::compress_to_vec_zlib;
use serde_json::{Value, json};

use super::Function;
use crate::report::visible;

/// How hard to compress, of 10: more takes several times as long for some percent.
const LEVEL: u8 = 6;

/// A function's columns: for each its `text`, the `offsets` in the module of its lines, and for machine code their `addresses`; or the `reason` why there is no code.
pub(super) fn function(function: &Function) -> String {
    let offsets = function.wasm.iter().map(|(offset, _)| Some(*offset));
    let wasm = column(function.wasm.iter().map(|(_, line)| &line[..]), offsets);
    let columns = match &function.compiled {
        Err(reason) => json!({ "wasm": wasm, "reason": visible(reason) }),
        Ok(compiled) => {
            let lines = &compiled.intermediate;
            let intermediate =
                column(lines.iter().map(|(_, line)| &line[..]), lines.iter().map(|(offset, _)| *offset));
            let rows = &compiled.machine;
            let mut machine = column(rows.iter().map(|row| &row.text[..]), rows.iter().map(|row| row.offset));
            machine["addresses"] = differences(rows.iter().map(|row| Some(row.address))).into();
            json!({ "wasm": wasm, "intermediate": intermediate, "machine": machine })
        }
    };
    base64(&compress_to_vec_zlib(columns.to_string().as_bytes(), LEVEL))
}

fn column<'a>(lines: impl Iterator<Item = &'a str>, offsets: impl Iterator<Item = Option<usize>>) -> Value {
    let lines: Vec<String> = lines.map(visible).collect();
    json!({ "text": lines.join("\n"), "offsets": differences(offsets) })
}

/// Each number as its difference to the last that there was; null where there is none.
fn differences(numbers: impl Iterator<Item = Option<usize>>) -> Vec<Value> {
    let mut last = 0;
    let difference = |number: Option<usize>| {
        let number = number.and_then(|number| i64::try_from(number).ok());
        number.map_or(Value::Null, |number| (number - std::mem::replace(&mut last, number)).into())
    };
    numbers.map(difference).collect()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = [0, 1, 2].map(|at| u32::from(chunk.get(at).copied().unwrap_or(0)));
        let bits = group[0] << 16 | group[1] << 8 | group[2];
        for digit in 0..4 {
            // As many digits as there are bytes, and one.
            let value = bits >> (18 - 6 * digit) & 63;
            text.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("\u{3ff}", "z78="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn numbers_are_differences_to_the_last_one() {
        let numbers = [Some(5), None, Some(7), Some(3)];
        assert_eq!(json!(differences(numbers.into_iter())).to_string(), "[5,null,2,-4]");
    }
}
