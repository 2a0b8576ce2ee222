//! Variants, enums, options and results: which case it is, and what that one has with it.
//!
//! Cases whose payloads are of one type share their code where they follow each other; which code it is, is found by halving, so that no number of cases makes code
//! that is nested deeply.

use wasm_encoder::Instruction;

use super::Walked;
use super::code::Local;
use super::host::TrapCode;
use super::number::Number;
use super::value::{Generator, Place};
use crate::types::{Flat, TypeIndex};

/// The type of a case's payload on both sides.
type Payload = Option<(TypeIndex, TypeIndex)>;

/// Cases that follow each other, from this one on, with payloads of one type.
struct Run {
    first: u32,
    payload: Payload,
}

impl Generator<'_, '_> {
    pub(super) fn variant(
        &mut self,
        types: (TypeIndex, TypeIndex),
        cases: impl IntoIterator<Item = (Option<TypeIndex>, Option<TypeIndex>)>,
        (from, to): (Place<'_>, Place<'_>),
    ) -> Result<(), Walked> {
        let (mut runs, mut count): (Vec<Run>, usize) = (Vec::new(), 0);
        for (a, b) in cases {
            let payload = a.zip(b);
            if a.is_some() != b.is_some() {
                return Err(Walked::Type);
            }
            if runs.last().is_none_or(|run| run.payload != payload) {
                runs.push(Run { first: count as u32, payload });
            }
            count += 1;
        }
        let case = self.case(types.0, count, (from, to))?;
        let (source, target) = match (from, to) {
            (Place::Locals(from), Place::Locals(to)) => {
                // What other cases would have passed is zero.
                for local in to.get(1..).unwrap_or_default() {
                    self.zero(*local);
                }
                (
                    Place::Locals(from.get(1..).unwrap_or_default()),
                    Place::Locals(to.get(1..).unwrap_or_default()),
                )
            }
            _ => {
                let payload = self.layout(types.0).payload;
                (from.part(0..0, payload)?, to.part(0..0, payload)?)
            }
        };
        self.runs(&runs, case, (source, target))
    }

    /// Takes over which case it is; gives a local with that.
    pub(super) fn case(
        &mut self,
        ty: TypeIndex,
        count: usize,
        (from, to): (Place<'_>, Place<'_>),
    ) -> Result<Local, Walked> {
        let number = Number::of_size(self.layout(ty).discriminant);
        let case = self.code.local(Flat::I32);
        self.read(from, number)?;
        self.code.tee(case);
        self.code.i32(count as u32);
        self.code.op(Instruction::I32GeU);
        self.trap_if(TrapCode::InvalidDiscriminant, Some(case));
        self.begin(to);
        self.code.get(case);
        self.write(to, number)?;
        Ok(case)
    }

    fn zero(&mut self, local: Local) {
        match local.ty {
            Flat::I32 => self.code.i32(0),
            Flat::I64 => self.code.i64(0),
            Flat::F32 => self.code.op(Instruction::F32Const(0.0.into())),
            Flat::F64 => self.code.op(Instruction::F64Const(0.0.into())),
        }
        self.code.set(local);
    }

    /// The payload of the case, which is one of these.
    fn runs(&mut self, runs: &[Run], case: Local, (from, to): (Place<'_>, Place<'_>)) -> Result<(), Walked> {
        if runs.iter().all(|run| run.payload.is_none()) {
            return Ok(());
        }
        if let [Run { payload: Some(types), .. }] = runs {
            return self.payload(*types, (from, to));
        }
        let (before, after) = runs.split_at(runs.len() / 2);
        let is_empty = |runs: &[Run]| runs.iter().all(|run| run.payload.is_none());
        self.code.get(case);
        self.code.i32(after.first().map_or(0, |run| run.first));
        if is_empty(before) {
            self.code.op(Instruction::I32GeU);
            self.code.if_();
            self.runs(after, case, (from, to))?;
        } else {
            self.code.op(Instruction::I32LtU);
            self.code.if_();
            self.runs(before, case, (from, to))?;
            if !is_empty(after) {
                self.code.op(Instruction::Else);
                self.runs(after, case, (from, to))?;
            }
        }
        self.code.end();
        Ok(())
    }

    /// Of locals, a payload has the first ones.
    fn payload(
        &mut self,
        types: (TypeIndex, TypeIndex),
        (from, to): (Place<'_>, Place<'_>),
    ) -> Result<(), Walked> {
        if from.is_memory() {
            return self.value(types, from, to);
        }
        let width = self.layout(types.0).flat.as_ref().ok_or(Walked::Type)?.len();
        self.value(types, from.part(0..width, 0)?, to.part(0..width, 0)?)
    }
}
