//! Structured control, and the polls that let guests be stopped.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, JumpTableData, MemFlagsData, Type, Value, types};
use innkeeper_engine::index::TypeIndex;
use innkeeper_engine::tier::{POLL_BEFORE_RECORD_BYTES, VmStore};
use innkeeper_engine::{Trap, ValType};
use wasmparser::{BlockType, BrTable, FunctionBody, Operator};

use super::unroll::Again;
use super::{Result, Translator, Unsupported, record_flags};
use crate::libcall::Libcall;
use crate::{abi, trap};

/// A block that is open.
pub(super) struct Control {
    /// Conditionals and loops that are open, with this.
    pub(super) nesting: u32,
    kind: ControlKind,
    /// Where branches to its label go.
    pub(super) label: Block,
    /// Where control goes at its end.
    exit: Block,
    /// Types that a branch to the label carries, and those that are there at the end.
    label_types: Vec<Type>,
    results: Vec<Type>,
    /// Operands below the block's parameters.
    pub(super) height: usize,
    /// Operands from the bottom that were kept, since the loop that the function is entered at may be inside: all below, or none.
    pub(super) kept: usize,
    /// Whether something leads to the exit.
    is_left: bool,
    /// What exceptions meet that are thrown inside, and after the block.
    pub(super) scope_inside: Option<usize>,
    pub(super) scope_outside: Option<usize>,
    /// Blocks of handlers, last first, that what is tried here may still lead to.
    pub(super) handlers: Vec<Block>,
    /// The exception, in a handler.
    pub(super) caught: Option<Value>,
    /// Of a loop whose body is still to be translated again.
    pub(super) again: Option<Again>,
}

pub(super) enum ControlKind {
    Function,
    Block,
    Loop,
    /// What is tried, or, in the older form, one of its handlers.
    Try,
    /// A conditional whose `else` has not come yet: where it goes, with the parameters.
    If {
        otherwise: Block,
        params: Vec<Value>,
    },
}

impl Translator<'_, '_> {
    pub(super) fn control_operator(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::Nop => Ok(()),
            Operator::Unreachable => {
                self.make_cold();
                self.trap(Trap::Unreachable);
                Ok(())
            }
            Operator::Block { blockty } => self.visit_block(*blockty),
            Operator::Loop { blockty } => self.visit_loop(*blockty),
            Operator::If { blockty } => self.visit_if(*blockty),
            Operator::Else => self.visit_else(),
            Operator::End => self.visit_end(),
            Operator::Br { relative_depth } => {
                self.branch(*relative_depth)?;
                self.end_reachable();
                Ok(())
            }
            Operator::BrIf { relative_depth } => {
                let condition = self.pop()?;
                self.branch_if(condition, *relative_depth)
            }
            Operator::BrTable { targets } => self.visit_br_table(targets),
            Operator::Return => self.visit_return(),
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    /// Looks only for where control becomes reachable again.
    pub(super) fn skip(&mut self, operator: &Operator<'_>, depth: u32) -> Result {
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => {
                self.unreachable = Some(depth + 1);
                Ok(())
            }
            Operator::Else if depth == 0 => self.visit_else(),
            Operator::Catch { tag_index } if depth == 0 => self.visit_catch(Some(*tag_index)),
            Operator::CatchAll if depth == 0 => self.visit_catch(None),
            Operator::End | Operator::Delegate { .. } if depth == 0 => self.visit_end(),
            Operator::End | Operator::Delegate { .. } => {
                self.unreachable = Some(depth - 1);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Raises a trap here, always.
    pub(super) fn trap(&mut self, trap: Trap) {
        // Without it the compiler would make the branch to here a trap, at the branch's place in the guest's code.
        self.b.ins().sequence_point();
        self.b.ins().trap(trap::code(trap));
        self.end_reachable();
    }

    /// Nothing can be reached until the block's end.
    pub(super) fn end_reachable(&mut self) {
        self.unreachable = Some(0);
    }

    /// Opens the function's body.
    pub(super) fn open_function(&mut self) {
        let results: Vec<Type> = self.ty.results().iter().map(|ty| abi::value_type(*ty)).collect();
        let exit = self.block_with(&results);
        let control = self.open_block(ControlKind::Function, exit, results, 0);
        self.control.push(control);
    }

    /// A block whose label is its end.
    pub(super) fn open_block(
        &self,
        kind: ControlKind,
        exit: Block,
        results: Vec<Type>,
        height: usize,
    ) -> Control {
        let outside = self.control.last().map_or(0, |control| control.nesting);
        Control {
            nesting: outside + u32::from(matches!(kind, ControlKind::If { .. } | ControlKind::Loop)),
            kind,
            label: exit,
            exit,
            label_types: results.clone(),
            results,
            height,
            kept: 0,
            is_left: false,
            scope_inside: self.scope,
            scope_outside: self.scope,
            handlers: Vec::new(),
            caught: None,
            again: None,
        }
    }

    pub(super) fn block_with(&mut self, params: &[Type]) -> Block {
        let block = self.b.create_block();
        for ty in params {
            self.b.append_block_param(block, *ty);
        }
        block
    }

    pub(super) fn block_types(&self, ty: BlockType) -> (Vec<Type>, Vec<Type>) {
        let all = |types: &[ValType]| types.iter().map(|ty| abi::value_type(*ty)).collect();
        match ty {
            BlockType::Empty => (Vec::new(), Vec::new()),
            BlockType::Type(ty) => (Vec::new(), vec![abi::decoded_type(ty)]),
            BlockType::FuncType(index) => {
                let ty = self.module.func_type(TypeIndex(index));
                (all(ty.params()), all(ty.results()))
            }
        }
    }

    pub(super) fn height_below(&self, params: usize) -> Result<usize> {
        self.stack.len().checked_sub(params).ok_or(Unsupported::Malformed)
    }

    fn visit_block(&mut self, ty: BlockType) -> Result {
        let (params, results) = self.block_types(ty);
        let exit = self.block_with(&results);
        let height = self.height_below(params.len())?;
        let kept = self.keep_below(height)?;
        let control = self.open_block(ControlKind::Block, exit, results, height);
        self.control.push(Control { kept, ..control });
        Ok(())
    }

    fn visit_loop(&mut self, ty: BlockType) -> Result {
        let (params, results) = self.block_types(ty);
        let height = self.height_below(params.len())?;
        let (header, exit) = (self.b.create_block(), self.block_with(&results));
        let kept = self.keep_below(height)?;
        let types: Vec<Type> =
            self.stack[height..].iter().map(|value| self.b.func.dfg.value_type(*value)).collect();
        for ty in &types {
            self.b.append_block_param(header, *ty);
        }
        let args: Vec<BlockArg> = self.stack[height..].iter().map(|value| (*value).into()).collect();
        self.b.ins().jump(header, &args);
        if self.entry_here().is_some() {
            self.enter_loop(height, header)?;
        }
        self.b.switch_to_block(header);
        self.stack.truncate(height);
        self.stack.extend_from_slice(self.b.block_params(header));
        self.take_kept(kept);
        let control = self.open_block(ControlKind::Loop, exit, results, height);
        self.control.push(Control { label: header, label_types: params, kept, ..control });
        self.unroll(types);
        self.poll_in_loop();
        Ok(())
    }

    fn visit_if(&mut self, ty: BlockType) -> Result {
        let condition = self.pop()?;
        let (params, results) = self.block_types(ty);
        let height = self.height_below(params.len())?;
        let (then, otherwise) = (self.b.create_block(), self.b.create_block());
        let exit = self.block_with(&results);
        let kept = self.keep_below(height)?;
        self.b.ins().brif(condition, then, &[], otherwise, &[]);
        self.b.seal_block(then);
        self.b.seal_block(otherwise);
        self.b.switch_to_block(then);
        self.count_arguments(params.len())?;
        let params = self.stack[height..].to_vec();
        let control = self.open_block(ControlKind::If { otherwise, params }, exit, results, height);
        self.control.push(Control { kept, ..control });
        Ok(())
    }

    /// Goes to the exit of the innermost block with its results.
    pub(super) fn fall_through(&mut self) -> Result {
        if self.unreachable.is_some() {
            return Ok(());
        }
        let Some(control) = self.control.last_mut() else { return Err(Unsupported::Malformed) };
        control.is_left = true;
        let (exit, results) = (control.exit, control.results.len());
        let from = self.height_below(results)?;
        let args: Vec<BlockArg> = self.stack[from..].iter().map(|value| (*value).into()).collect();
        self.b.ins().jump(exit, &args);
        Ok(())
    }

    fn visit_else(&mut self) -> Result {
        self.fall_through()?;
        let Some(control) = self.control.last_mut() else { return Err(Unsupported::Malformed) };
        let ControlKind::If { otherwise, params } = std::mem::replace(&mut control.kind, ControlKind::Block)
        else {
            return Err(Unsupported::Malformed);
        };
        let (height, kept) = (control.height, control.kept);
        self.b.switch_to_block(otherwise);
        self.stack.truncate(height);
        self.take_kept(kept);
        self.stack.extend(params);
        self.unreachable = None;
        Ok(())
    }

    pub(super) fn visit_end(&mut self) -> Result {
        self.fall_through()?;
        if self.begin_again() {
            return Ok(());
        }
        let Some(mut control) = self.control.pop() else { return Err(Unsupported::Malformed) };
        if let ControlKind::If { otherwise, params } = &control.kind {
            // Without `else`, the parameters are the results.
            self.b.switch_to_block(*otherwise);
            let args: Vec<BlockArg> = params.iter().map(|value| (*value).into()).collect();
            self.b.ins().jump(control.exit, &args);
            control.is_left = true;
        }
        if matches!(control.kind, ControlKind::Loop) {
            self.b.seal_block(control.label);
        }
        for handler in control.handlers {
            self.b.seal_block(handler);
        }
        self.scope = control.scope_outside;
        self.stack.truncate(control.height);
        if !control.is_left {
            self.b.seal_block(control.exit);
            self.unreachable = Some(0);
            return Ok(());
        }
        self.b.switch_to_block(control.exit);
        self.b.seal_block(control.exit);
        self.unreachable = None;
        let results = self.b.block_params(control.exit).to_vec();
        self.take_kept(control.kept);
        if matches!(control.kind, ControlKind::Function) && !self.inliner.is_inside() {
            self.give_results(&results);
        } else {
            self.stack.extend(results);
        }
        Ok(())
    }

    /// Leaves the function from here: a jump to where it ends would be one more. An inlined body ends where it ends.
    fn visit_return(&mut self) -> Result {
        if self.inliner.is_inside() {
            self.branch(self.control.len() as u32 - 1)?;
        } else {
            let from = self.height_below(self.ty.results().len())?;
            let results = self.stack[from..].to_vec();
            self.give_results(&results);
        }
        self.end_reachable();
        Ok(())
    }

    /// Returns.
    pub(super) fn give_results(&mut self, results: &[Value]) {
        let Some(memory) = self.results else {
            self.b.ins().return_(results);
            return;
        };
        let mut at = 0;
        for (value, ty) in results.iter().zip(self.ty.results()) {
            self.store_slot(memory, at, *value);
            at += ty.slots();
        }
        self.b.ins().return_(&[]);
    }

    /// The block that a branch goes to, with what it carries; the values stay on the stack.
    fn target(&mut self, relative_depth: u32) -> Result<(Block, Vec<BlockArg>)> {
        let len = self.control.len();
        let at = len.checked_sub(relative_depth as usize + 1).ok_or(Unsupported::Malformed)?;
        let control = &mut self.control[at];
        if !matches!(control.kind, ControlKind::Loop) {
            control.is_left = true;
        }
        let (label, carried, kept) = (control.label, control.label_types.len(), control.kept);
        let from = self.height_below(carried)?;
        // Variables become arguments too.
        self.count_arguments(kept + carried)?;
        Ok((label, self.stack[from..].iter().map(|value| (*value).into()).collect()))
    }

    pub(super) fn branch(&mut self, relative_depth: u32) -> Result {
        let (block, args) = self.target(relative_depth)?;
        self.b.ins().jump(block, &args);
        Ok(())
    }

    /// Branches where the condition is not zero; the values stay on the stack.
    pub(super) fn branch_if(&mut self, condition: Value, relative_depth: u32) -> Result {
        let (block, args) = self.target(relative_depth)?;
        let go_on = self.b.create_block();
        self.b.ins().brif(condition, block, &args, go_on, &[]);
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
        Ok(())
    }

    fn visit_br_table(&mut self, targets: &BrTable<'_>) -> Result {
        let index = self.pop()?;
        let mut calls = Vec::with_capacity(targets.len() as usize);
        for depth in targets.targets() {
            let (block, args) = self.target(depth?)?;
            calls.push(self.b.func.dfg.block_call(block, &args));
        }
        let (block, args) = self.target(targets.default())?;
        let default = self.b.func.dfg.block_call(block, &args);
        let table = self.b.create_jump_table(JumpTableData::new(default, &calls));
        self.b.ins().br_table(index, table);
        self.end_reachable();
        Ok(())
    }

    /// Checks the stack, and answers requests. A function that calls nothing need not: it cannot recurse, and the stack has
    /// headroom. Nor need one that stands between guests and ends where it calls one: it has no frame then, and every circle of calls comes by a guest's function.
    pub(super) fn poll_at_entry(&mut self, body: &FunctionBody<'_>) -> Result {
        let is_adapter = self.module.is_adapter();
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let operator = operators.read()?;
            let is_end = || -> Result<bool> {
                let comes_back = !matches!(operators.clone().read()?, Operator::Unreachable);
                Ok(matches!(operator, Operator::ReturnCall { .. }) || !comes_back)
            };
            if is_call(&operator) && !(is_adapter && is_end()?) {
                self.poll();
                break;
            }
        }
        Ok(())
    }

    pub(super) fn poll(&mut self) {
        let here = self.b.ins().get_stack_pointer(types::I64);
        let store = self.store();
        let limit = self.native_limit(store);
        let is_below = self.b.ins().icmp(IntCC::UnsignedLessThan, here, limit);
        self.safepoint_if(is_below);
    }

    /// Reads the polled page: a fault, where somebody requests a safepoint, which the signal handler takes for a call of [`crate::entry::safepoint_in_loop`]. Does
    /// not look at the stack, which a loop leaves as it is.
    fn poll_in_loop(&mut self) {
        if cfg!(unpolled) {
            return;
        }
        // Nothing that was read before is good enough.
        self.b.ins().sequence_point();
        let flags = MemFlagsData::trusted().with_trap_code(Some(trap::POLL));
        // The record's register, not a copy of it that would want one of its own.
        let store = self.store();
        self.b.ins().load(types::I32, flags, store, -(POLL_BEFORE_RECORD_BYTES as i32));
    }

    fn native_limit(&mut self, store: Value) -> Value {
        self.b.ins().load(types::I64, record_flags(), store, offset_of!(VmStore, native_limit) as i32)
    }

    fn safepoint_if(&mut self, condition: Value) {
        let (safepoint, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(safepoint);
        self.b.ins().brif(condition, safepoint, &[], go_on, &[]);
        self.b.switch_to_block(safepoint);
        self.b.seal_block(safepoint);
        self.libcall(Libcall::Safepoint, &[]);
        self.b.ins().jump(go_on, &[]);
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
    }
}

pub(super) fn is_call(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. }
    )
}
