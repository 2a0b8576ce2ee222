//! Loops that are there several times in a row.
//!
//! Going back to a small loop's header costs as much as many a loop does: the poll, the jump, and values that have to be where the header expects them.
//! So the body of a loop that calls nothing and has no other inside is translated several times. Branches to its label lead from each copy to the next, and
//! from the last one to the header, the only place that polls.
//!
//! Nobody can tell: copies have places of their own (see [`crate::tables::Inlined`]) that stand for those of the first.

use cranelift_codegen::ir::{Block, Type};
use innkeeper_engine::Unrolling;
use wasmparser::{Operator, OperatorsReader};

use super::inline::LoopCopy;
use super::{Result, Translator};

/// How a loop goes on that is translated again.
pub(super) struct Again {
    /// Where branches of the last copy go.
    header: Block,
    /// The copies that are still to come, last first.
    copies: Vec<LoopCopy>,
    /// The header's parameters.
    params: Vec<Type>,
}

/// The body of a loop that is there several times.
pub(super) struct Unrolled {
    /// How many times it is there.
    times: u32,
    /// Where it begins and ends in the module's bytes.
    start: usize,
    end: usize,
}

impl Unrolled {
    /// What follows in the code, which is a loop's body, if that is to be there several times.
    pub(super) fn of(body: &OperatorsReader<'_>, limits: &Unrolling) -> Result<Option<Unrolled>> {
        let longest = limits.twice_operators.max(limits.four_times_operators);
        let mut operators = body.clone();
        let (mut depth, mut goes_back) = (0, false);
        for count in 1..=longest {
            let operator = operators.read()?;
            match &operator {
                Operator::Block { .. } | Operator::If { .. } => depth += 1,
                Operator::Br { relative_depth }
                | Operator::BrIf { relative_depth }
                | Operator::BrOnNull { relative_depth }
                | Operator::BrOnNonNull { relative_depth } => goes_back |= *relative_depth == depth,
                Operator::BrTable { targets } => {
                    for target in targets.targets() {
                        goes_back |= target? == depth;
                    }
                    goes_back |= targets.default() == depth;
                }
                Operator::End if depth == 0 => {
                    let times = if count <= limits.four_times_operators { 4 } else { 2 };
                    let (start, end) = (body.original_position(), operators.original_position());
                    let unrolled = Unrolled { times, start: start as usize, end: end as usize };
                    return Ok(goes_back.then_some(unrolled));
                }
                Operator::End => depth -= 1,
                operator if is_excluded(operator) => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }
}

/// Whether a loop with the instruction is there once: next to what that costs, going back is nothing, or it would have to be told apart from its copies.
fn is_excluded(operator: &Operator<'_>) -> bool {
    super::control::is_call(operator)
        || matches!(operator, Operator::Loop { .. } | Operator::Try { .. } | Operator::TryTable { .. })
}

impl Translator<'_, '_> {
    /// Prepares the innermost block, a loop that has just been opened, for its body to be translated several times, if it is to be. Its header takes `params`.
    pub(super) fn unroll(&mut self, params: Vec<Type>) {
        let Some(Unrolled { times, start, end }) = self.unrolled.take() else { return };
        let mut copies: Vec<LoopCopy> =
            (1..times).map_while(|_| self.inliner.copy(start, end - start)).collect();
        copies.reverse();
        let Some(header) = self.control.last().map(|control| control.label) else { return };
        if copies.is_empty() {
            return;
        }
        let next = self.block_with(&params);
        if let Some(control) = self.control.last_mut() {
            control.again = Some(Again { header, copies, params });
            control.label = next;
        }
    }

    /// At the end of a block: if its body is to be translated again, begins with that, and says so.
    pub(super) fn begin_again(&mut self) -> bool {
        let Some(control) = self.control.last_mut() else { return false };
        let copy = control.again.as_mut().and_then(|again| again.copies.pop());
        let (Some(copy), Some(again)) = (copy, &control.again) else {
            if control.again.is_some() {
                self.inliner.set_copy(None);
            }
            return false;
        };
        let (this, header) = (control.label, again.header);
        let height = control.height;
        let next = if again.copies.is_empty() {
            header
        } else {
            let params = again.params.clone();
            self.block_with(&params)
        };
        if let Some(control) = self.control.last_mut() {
            control.label = next;
        }
        self.b.seal_block(this);
        self.b.switch_to_block(this);
        self.stack.truncate(height);
        self.stack.extend_from_slice(self.b.block_params(this));
        self.unreachable = None;
        self.inliner.set_copy(Some(copy));
        self.is_repeating = true;
        true
    }
}
