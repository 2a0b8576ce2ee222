//! Integer constants are made where they are used.
//!
//! The optimizer makes a constant anew in each block that uses it, but forgets to where it has first made it in a part of the function that does not come
//! before another one: there it is made ahead of a loop, and wants a register, or a place on the stack to be read from, throughout.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::{Block, Function, InstBuilder, InstructionData, Opcode, Value};

/// Gives each block its own copies of the constants that its instructions take from others.
pub(crate) fn make_locally(func: &mut Function) {
    // A constant of another block's, and the copy of it.
    let mut copies: Vec<(Value, Value)> = Vec::new();
    let mut cursor = FuncCursor::new(func);
    while let Some(block) = cursor.next_block() {
        copies.clear();
        while let Some(inst) = cursor.next_inst() {
            let values = cursor.func.dfg.inst_values(inst);
            let taken: Vec<Value> =
                values.filter(|value| is_from_elsewhere(cursor.func, *value, block)).collect();
            if taken.is_empty() {
                continue;
            }
            for value in taken {
                if copies.iter().all(|(known, _)| *known != value) {
                    let copy = copy(&mut cursor, value);
                    copies.push((value, copy));
                }
            }
            let local =
                |value| copies.iter().find(|(known, _)| *known == value).map_or(value, |(_, copy)| *copy);
            cursor.func.dfg.map_inst_values(inst, local);
        }
    }
}

/// Whether a value is a constant of another block's.
fn is_from_elsewhere(func: &Function, value: Value, block: Block) -> bool {
    let Some(made) = func.dfg.value_def(value).inst() else { return false };
    func.dfg.insts[made].opcode() == Opcode::Iconst && func.layout.inst_block(made) != Some(block)
}

/// Makes a constant once more, before the instruction that the cursor is at.
fn copy(cursor: &mut FuncCursor<'_>, value: Value) -> Value {
    let ty = cursor.func.dfg.value_type(value);
    let made = cursor.func.dfg.value_def(value).inst().map(|inst| cursor.func.dfg.insts[inst]);
    match made {
        Some(InstructionData::UnaryImm { imm, .. }) => cursor.ins().iconst(ty, imm),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use cranelift_codegen::ir::types::I32;
    use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

    use super::*;

    #[test]
    fn each_block_has_one_copy_of_what_others_made() {
        let (mut func, mut context) = (Function::new(), FunctionBuilderContext::new());
        let mut b = FunctionBuilder::new(&mut func, &mut context);
        let (first, second) = (b.create_block(), b.create_block());
        b.switch_to_block(first);
        let constant = b.ins().iconst(I32, 7);
        let sum = b.ins().iadd(constant, constant);
        b.ins().jump(second, &[]);
        b.switch_to_block(second);
        let product = b.ins().imul(constant, sum);
        b.ins().iadd(product, constant);
        b.ins().return_(&[]);
        b.seal_all_blocks();
        make_locally(&mut func);
        let constants = |block| {
            let made = func.layout.block_insts(block);
            made.filter(|inst| func.dfg.insts[*inst].opcode() == Opcode::Iconst).count()
        };
        assert_eq!((constants(first), constants(second)), (1, 1));
        let is_left = |inst| func.dfg.inst_values(inst).any(|value| is_from_elsewhere(&func, value, second));
        assert!(!func.layout.block_insts(second).any(is_left));
    }
}
