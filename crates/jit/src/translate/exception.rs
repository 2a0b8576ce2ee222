//! Exceptions: what is tried, what catches, and throwing (core specification 4.4.8; the older form of the proposal too).
//!
//! A call inside a `try` block names its handlers, innermost first, and the context that their tags are of. Nothing is executed for that: whoever
//! leaves frames finds it in the code's tables (see [`crate::unwind`]) and goes on at the handler with the exception.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    Block, BlockArg, BlockCall, ExceptionTableData, ExceptionTableItem, ExceptionTag, FuncRef, InstBuilder,
    SigRef, Type, Value, types,
};
use innkeeper_engine::Trap;
use innkeeper_engine::index::TagIndex;
use innkeeper_engine::tier::VmObject;
use wasmparser::{BlockType, Catch, FunctionBody, Operator, TryTable};

use super::control::{Control, ControlKind};
use super::emit::{libcall_address, libcall_signature};
use super::{Result, Translator, Unsupported};
use crate::libcall::Libcall;
use crate::trap;

/// What exceptions thrown inside a `try` block meet.
pub(super) struct Scope {
    /// In order: the tag, or any exception, and the block that is a handler.
    clauses: Vec<(Option<u32>, Block)>,
    /// What they meet next.
    outer: Option<usize>,
}

/// What the older form says behind a `try` block.
#[derive(Default)]
pub(super) struct Handlers {
    /// Tags of the handlers in order; none for one that catches all.
    catches: Vec<Option<u32>>,
    delegate: Option<u32>,
}

/// More handlers in the tables of a function's calls would take more memory than compiling is worth.
const MAX_HANDLERS: usize = 1 << 16;

/// How a callee is named.
pub(super) enum Code {
    At(Value),
    Own(FuncRef),
}

impl Translator<'_, '_> {
    pub(super) fn exception_operator(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::TryTable { try_table } => self.visit_try_table(try_table),
            Operator::Try { blockty } => self.visit_try(*blockty),
            Operator::Catch { tag_index } => self.visit_catch(Some(*tag_index)),
            Operator::CatchAll => self.visit_catch(None),
            Operator::Delegate { .. } => self.visit_end(),
            Operator::Rethrow { relative_depth } => {
                let at = self.control.len().checked_sub(*relative_depth as usize + 1);
                let caught = at.and_then(|at| self.control[at].caught).ok_or(Unsupported::Malformed)?;
                self.throw_exception(caught)
            }
            Operator::Throw { tag_index } => self.throw(*tag_index),
            Operator::ThrowRef => {
                let exception = self.pop()?;
                self.b.ins().trapz(exception, trap::code(Trap::NullException));
                self.throw_exception(exception)
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    /// Finds the handlers of `try` blocks of the older form, which stand behind them.
    pub(super) fn find_handlers(&mut self, body: &FunctionBody<'_>) -> Result {
        let mut open: Vec<Option<usize>> = Vec::new();
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let offset =
                usize::try_from(operators.original_position()).map_err(|_| Unsupported::Malformed)?;
            match operators.read()? {
                Operator::Block { .. }
                | Operator::Loop { .. }
                | Operator::If { .. }
                | Operator::TryTable { .. } => open.push(None),
                Operator::Try { .. } => {
                    self.handlers.insert(offset, Handlers::default());
                    open.push(Some(offset));
                }
                Operator::Catch { tag_index } => self.handlers_of(&open)?.catches.push(Some(tag_index)),
                Operator::CatchAll => self.handlers_of(&open)?.catches.push(None),
                Operator::Delegate { relative_depth } => {
                    self.handlers_of(&open)?.delegate = Some(relative_depth);
                    open.pop();
                }
                Operator::End => _ = open.pop(),
                _ => {}
            }
        }
        Ok(())
    }

    fn handlers_of(&mut self, open: &[Option<usize>]) -> Result<&mut Handlers> {
        let of = open.last().copied().flatten().ok_or(Unsupported::Malformed)?;
        self.handlers.get_mut(&of).ok_or(Unsupported::Malformed)
    }

    /// A block that control comes to with an exception, from elsewhere than the code before it.
    fn handler_block(&mut self) -> Block {
        let block = self.b.create_block();
        self.b.append_block_param(block, types::I64);
        self.b.set_cold_block(block);
        block
    }

    fn visit_try_table(&mut self, try_table: &TryTable) -> Result {
        let (params, results) = self.block_types(try_table.ty);
        let height = self.height_below(params.len())?;
        let kept = self.keep_below(height)?;
        // Handlers branch from here, outside the block.
        let body = self.b.create_block();
        self.b.ins().jump(body, &[]);
        self.b.seal_block(body);
        let mut clauses = Vec::with_capacity(try_table.catches.len());
        let operands = self.stack.clone();
        for catch in &try_table.catches {
            let handler = self.handler_block();
            self.b.switch_to_block(handler);
            let exception = self.b.block_params(handler)[0];
            self.stack.truncate(height);
            self.take_kept(kept);
            let (tag, keeps, label) = match *catch {
                Catch::One { tag, label } => (Some(tag), false, label),
                Catch::OneRef { tag, label } => (Some(tag), true, label),
                Catch::All { label } => (None, false, label),
                Catch::AllRef { label } => (None, true, label),
            };
            self.push_exception(exception, tag);
            self.stack.extend(keeps.then_some(exception));
            self.branch(label)?;
            self.count_arguments(operands.len())?;
            self.stack.clone_from(&operands);
            clauses.push((tag, handler));
        }
        self.b.switch_to_block(body);
        let exit = self.block_with(&results);
        let mut control = self.open_block(ControlKind::Try, exit, results, height);
        control.kept = kept;
        self.enter_scope(control, clauses, self.scope);
        Ok(())
    }

    fn visit_try(&mut self, ty: BlockType) -> Result {
        let (params, results) = self.block_types(ty);
        let height = self.height_below(params.len())?;
        let kept = self.keep_below(height)?;
        let handlers = self.handlers.remove(&self.offset).unwrap_or_default();
        // The label counts from outside the block.
        let outer = match handlers.delegate {
            Some(depth) => {
                let at = self.control.len().checked_sub(depth as usize + 1);
                self.control[at.ok_or(Unsupported::Malformed)?].scope_inside
            }
            None => self.scope,
        };
        let clauses = handlers.catches.iter().map(|tag| (*tag, self.handler_block())).collect();
        let exit = self.block_with(&results);
        let mut control = self.open_block(ControlKind::Try, exit, results, height);
        control.kept = kept;
        self.enter_scope(control, clauses, outer);
        Ok(())
    }

    fn enter_scope(
        &mut self,
        mut control: Control,
        clauses: Vec<(Option<u32>, Block)>,
        outer: Option<usize>,
    ) {
        control.handlers = clauses.iter().rev().map(|(_, block)| *block).collect();
        self.scopes.push(Scope { clauses, outer });
        self.scope = Some(self.scopes.len() - 1);
        control.scope_inside = self.scope;
        self.control.push(control);
    }

    /// Ends what was tried, or the handler before, and begins the next handler.
    pub(super) fn visit_catch(&mut self, tag: Option<u32>) -> Result {
        self.fall_through()?;
        let Some(control) = self.control.last_mut() else { return Err(Unsupported::Malformed) };
        let handler = control.handlers.pop().ok_or(Unsupported::Malformed)?;
        control.scope_inside = control.scope_outside;
        self.scope = control.scope_outside;
        let exception = self.b.block_params(handler)[0];
        control.caught = Some(exception);
        let (height, kept) = (control.height, control.kept);
        // What was tried has ended: nothing else leads here.
        self.b.switch_to_block(handler);
        self.b.seal_block(handler);
        self.stack.truncate(height);
        self.take_kept(kept);
        self.unreachable = None;
        self.push_exception(exception, tag);
        Ok(())
    }

    /// Pushes the values of an exception that was caught by its tag.
    fn push_exception(&mut self, exception: Value, tag: Option<u32>) {
        let Some(tag) = tag else { return };
        let module = self.module;
        let values = self.exception_values(exception);
        let values = self.load_values(values, module.tag_type(TagIndex(tag)).params());
        self.stack.extend(values);
    }

    /// Where the values of an exception are: behind its tag.
    fn exception_values(&mut self, exception: Value) -> Value {
        self.b.ins().iadd_imm_s(exception, VmObject::CONTENTS as i64 + 8)
    }

    fn throw(&mut self, tag: u32) -> Result {
        let module = self.module;
        let ty = module.tag_type(TagIndex(tag));
        let args = self.pop_args(ty)?;
        let tag = self.i32(tag);
        let Some(exception) = self.libcall(Libcall::AllocateException, &[self.ctx, tag]) else {
            return Err(Unsupported::Malformed);
        };
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, exception, 0);
        self.stop_if(failed);
        let values = self.exception_values(exception);
        let mut at = 0;
        for (value, ty) in args.iter().zip(ty.params()) {
            self.store_slot(values, at, *value);
            at += ty.slots();
        }
        self.throw_exception(exception)
    }

    fn throw_exception(&mut self, exception: Value) -> Result {
        self.libcall(Libcall::Throw, &[self.ctx, exception]);
        let signature = libcall_signature(&mut self.b, Libcall::Leave);
        let leave = libcall_address(&mut self.b, Libcall::Leave);
        self.call_in_scope((Code::At(leave), signature), &[], &[])?;
        // Never reached: whatever catches it is elsewhere.
        self.b.ins().trap(trap::code(Trap::Unreachable));
        self.end_reachable();
        Ok(())
    }

    /// Calls what may throw.
    pub(super) fn call_in_scope(
        &mut self,
        (code, signature): (Code, SigRef),
        args: &[Value],
        results: &[Type],
    ) -> Result<Vec<Value>> {
        let handlers = self.handlers_in_scope()?;
        if handlers.is_empty() {
            let call = match code {
                Code::At(code) => self.b.ins().call_indirect(signature, code, args),
                Code::Own(own) => self.b.ins().call(own, args),
            };
            return Ok(self.b.inst_results(call).to_vec());
        }
        let go_on = self.block_with(results);
        let returned: Vec<BlockArg> = (0..results.len() as u32).map(BlockArg::TryCallRet).collect();
        let pool = &mut self.b.func.dfg.value_lists;
        let normal = BlockCall::new(go_on, returned, pool);
        let mut items = vec![ExceptionTableItem::Context(self.ctx)];
        for (tag, handler) in handlers {
            let to = BlockCall::new(handler, [BlockArg::TryCallExn(0)], pool);
            items.push(match tag {
                Some(tag) => ExceptionTableItem::Tag(ExceptionTag::from_u32(tag), to),
                None => ExceptionTableItem::Default(to),
            });
        }
        let table = ExceptionTableData::new(signature, normal, items);
        let table = self.b.func.dfg.exception_tables.push(table);
        match code {
            Code::At(code) => self.b.ins().try_call_indirect(code, args, table),
            Code::Own(own) => self.b.ins().try_call(own, args, table),
        };
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
        Ok(self.b.block_params(go_on).to_vec())
    }

    /// What an exception meets that is thrown here, up to what catches all.
    fn handlers_in_scope(&mut self) -> Result<Vec<(Option<u32>, Block)>> {
        let mut handlers = Vec::new();
        let mut scope = self.scope;
        while let Some(Scope { clauses, outer }) = scope.map(|scope| &self.scopes[scope]) {
            for clause in clauses {
                handlers.push(*clause);
                if clause.0.is_none() {
                    return self.count_handlers(handlers);
                }
            }
            self.handlers_named += 1;
            scope = *outer;
        }
        self.count_handlers(handlers)
    }

    fn count_handlers(&mut self, handlers: Vec<(Option<u32>, Block)>) -> Result<Vec<(Option<u32>, Block)>> {
        self.handlers_named += handlers.len();
        if self.handlers_named > MAX_HANDLERS {
            return Err(Unsupported::Compiler("too many handlers".to_owned()));
        }
        Ok(handlers)
    }
}
