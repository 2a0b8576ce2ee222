//! Known faults of wasmi's, and modules written around them: a difference that is not there around the faults is theirs, and counted only.
//!
//! Must stay true: a module that is written around faults does what the other does. Each fault has a test that fails when wasmi has it no longer; what is here of
//! it then goes.
//!
//! The fault of wasmi 2.0.0: a `select` whose condition is `i32.eqz` of a local (or another comparison with zero of what does not lie in the register for results) becomes one instruction
//! with that, which takes as its condition not the local but whatever the register has (`try_fuse_select`). Generated modules guard their divisions in this
//! way.

use wasm_encoder::{CodeSection, Module, RawSection};
use wasmparser::{BinaryReader, CodeSectionReader, FunctionBody, Operator, Parser, Payload};

/// The opcode of `i32.popcnt`: of a condition it leaves whether it is zero, and is no comparison.
const POPULATION_COUNT: u8 = 0x69;

/// The module with an instruction between every `select` and what gives its condition; none where its bytes cannot be read.
pub(super) fn written_around(wasm: &[u8]) -> Option<Vec<u8>> {
    let mut module = Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.ok()?;
        let Some((id, range)) = payload.as_section() else { continue };
        let start = range.start;
        let data = wasm.get(usize::try_from(start).ok()?..usize::try_from(range.end).ok()?)?;
        if let Payload::CodeSectionStart { .. } = payload {
            let mut code = CodeSection::new();
            for body in CodeSectionReader::new(BinaryReader::new(data, start)).ok()? {
                code.raw(&body_around(wasm, &body.ok()?)?);
            }
            module.section(&code);
        } else {
            module.section(&RawSection { id, data });
        }
    }
    Some(module.finish())
}

fn body_around(wasm: &[u8], body: &FunctionBody<'_>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut copied = usize::try_from(body.range().start).ok()?;
    for operator in body.get_operators_reader().ok()?.into_iter_with_offsets() {
        let (operator, at) = operator.ok()?;
        if let Operator::Select | Operator::TypedSelect { .. } = operator {
            let at = usize::try_from(at).ok()?;
            bytes.extend_from_slice(wasm.get(copied..at)?);
            bytes.push(POPULATION_COUNT);
            copied = at;
        }
    }
    bytes.extend_from_slice(wasm.get(copied..usize::try_from(body.range().end).ok()?)?);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, Module, Oracle, Outcome, Value, WasmiOracle, check};

    #[test]
    fn wasmi_still_takes_the_register_for_a_local_that_is_compared_with_zero() {
        let text = r#"(module (func (export "run") (result i32) (local i32 i32)
            ;; Leaves 1 in the register, where the condition is looked for.
            (i32.add (local.get 0) (i32.const 1))
            (select (i32.const 7) (local.get 1) (i32.eqz (local.get 1)))
            i32.add))"#;
        let module = Module::read(innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
        let outcome = |oracle: WasmiOracle| oracle.observe(&module).calls[0].outcome.clone();
        assert_eq!(outcome(WasmiOracle::around_known_faults()), Outcome::Returned(vec![Value::I32(8)]));
        let faulty = outcome(WasmiOracle::default());
        assert_ne!(faulty, Outcome::Returned(vec![Value::I32(8)]), "wasmi is mended: this file can go");
        let report = check(&module, Dialect::Shared);
        assert_eq!((report.known, &report.differences[..]), (1, &[][..]));
    }
}
