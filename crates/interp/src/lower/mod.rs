//! Lowering: from the validated bytes of one function to register code.
//!
//! One pass. The operand stack of WebAssembly is tracked at lowering time ([`stack`]): reading a local or a constant costs nothing until
//! something needs it in a slot of its own. Comparisons fuse into the branch that follows, and results go straight into
//! the local they are assigned to ([`emit`]).
//!
//! Must stay true: at every label each live value is in its canonical slot (the slot of its position on the operand stack, or of
//! its local); lowering the same bytes twice gives the same code, word for word ([`Starts`] relies on it).

mod aggregate;
mod atomic;
mod call;
mod control;
mod emit;
mod exception;
mod frame;
mod fuse;
mod memory;
mod nan;
mod numeric;
mod reference;
mod simd;
mod stack;
mod table;
mod variable;
mod visit;
mod wide;

use std::ops::Range;

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{FuelRuns, ModuleParts, OsrEntry, OsrValue};
use innkeeper_engine::{Error, ErrorKind, Metering, NanBits};
use wasmparser::{BinaryReader, FunctionBody, Operator, OperatorsReader};

use crate::code::Word;
use crate::op::control as control_op;
use crate::unwind::ExceptionEntry;
use control::Control;
use emit::{Emitter, Position};
pub(crate) use frame::Window;
use frame::{FrameLayout, LocalSlot};
use stack::{OperandLocation, OperandStack};

/// Buffers kept from one lowering to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    words: Vec<Word>,
    stack: OperandStack,
    control: Vec<Control>,
}

/// The state of lowering one function.
struct Lowering<'a> {
    module: &'a ModuleParts,
    func: DefinedFuncIndex,
    /// Where the instruction being lowered lies in the module's bytes.
    offset_bytes: usize,
    /// The loop to be described, by where its header is, and its description.
    wanted: Option<Position>,
    found: Option<OsrEntry>,
    frame: FrameLayout,
    emit: Emitter,
    stack: OperandStack,
    control: Vec<Control>,
    /// Its exception table, innermost entries first.
    exception_table: Vec<ExceptionEntry>,
    /// Where the code has its frame pointer at the frame's start, of a function with a window.
    outside: Vec<Range<usize>>,
    /// What is charged for, where fuel is metered.
    fuel: Option<FuelRuns>,
    /// Whether NaNs that instructions make are to be canonical.
    canonical_nans: bool,
    /// Blocks opened so far.
    blocks: u32,
    /// Blocks opened since the code became unreachable; none while it can be reached.
    unreachable: Option<u32>,
}

type Result<T = (), E = Error> = std::result::Result<T, E>;

/// What lowering makes of a function.
pub(crate) struct Lowered {
    pub(crate) words: Box<[Word]>,
    /// Its exception table, innermost entries first.
    pub(crate) exception_table: Box<[ExceptionEntry]>,
    /// Where the frame pointer is, of a function with very many locals.
    pub(crate) window: Option<Window>,
}

/// Lowers a function.
pub(crate) fn lower(module: &ModuleParts, func: DefinedFuncIndex, scratch: &mut Scratch) -> Result<Lowered> {
    let mut lowering = Lowering::new(module, func, scratch)?;
    lowering.run(func, |_, _| {})?;
    let words = lowering.emit.words().into();
    let exception_table = std::mem::take(&mut lowering.exception_table).into();
    let outside = std::mem::take(&mut lowering.outside);
    let window = lowering.frame.window().map(|distance| Window { distance, outside });
    lowering.give_back(scratch);
    Ok(Lowered { words, exception_table, window })
}

/// Where the instructions of a function begin: in its code, and in the module's bytes.
pub(crate) struct Starts(Vec<(usize, usize)>);

impl Starts {
    /// Of a function that has been lowered, by lowering it again.
    pub(crate) fn of(module: &ModuleParts, func: DefinedFuncIndex) -> Starts {
        let mut starts = Vec::new();
        let mut scratch = Scratch::default();
        let lowered = Lowering::new(module, func, &mut scratch).and_then(|mut lowering| {
            lowering.run(func, |start, offset_bytes| starts.push((start, offset_bytes)))
        });
        if lowered.is_err() {
            starts.clear();
        }
        Starts(starts)
    }

    /// The offset, in bytes from the start of the module, of the instruction that word `word` of the code came from.
    pub(crate) fn offset_of(&self, word: usize) -> Option<usize> {
        // The last instruction whose code begins at or before the word: of those that fused into one, the last, which is the one that can trap.
        Some(self.0.iter().rfind(|(start, _)| *start <= word)?.1)
    }
}

/// How the loop can be entered whose header is at word `word` of a function's code; none where there is none.
pub(crate) fn loop_at(module: &ModuleParts, func: DefinedFuncIndex, word: usize) -> Option<OsrEntry> {
    let mut scratch = Scratch::default();
    let mut lowering = Lowering::new(module, func, &mut scratch).ok()?;
    lowering.wanted = Some(word);
    lowering.run(func, |_, _| {}).ok()?;
    lowering.found
}

impl<'a> Lowering<'a> {
    /// Describes the loop whose header is here, if that is wanted. Of loops that begin at the same place, the outermost: nothing lies between.
    fn note_loop(&mut self, header: Position) {
        if self.wanted != Some(header) || self.found.is_some() {
            return;
        }
        let local = |index| match self.frame.local(index as u32).slot {
            LocalSlot::Near(slot) => Some(OsrValue::Slot(slot.into())),
            // Below the frame pointer, where machine code does not look: such functions are not compiled.
            LocalSlot::Far(_) => None,
        };
        let Some(locals) = (0..self.frame.local_count()).map(local).collect() else { return };
        let operand = |position| {
            let operand = self.stack.at(position);
            match operand.location {
                OperandLocation::Slot => OsrValue::Slot(operand.slot.into()),
                OperandLocation::Local { slot, .. } => OsrValue::Slot(slot.into()),
                OperandLocation::Constant(bits) => OsrValue::Constant(bits),
            }
        };
        self.found = Some(OsrEntry {
            func: self.func,
            position: header,
            offset_bytes: self.offset_bytes,
            locals,
            operands: (0..self.stack.len()).map(operand).collect(),
        });
    }

    fn new(module: &'a ModuleParts, func: DefinedFuncIndex, scratch: &mut Scratch) -> Result<Lowering<'a>> {
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        let reader = FunctionBody::new(BinaryReader::new(
            &module.bytes()[module.body_range(func)],
            module.body_range(func).start as u64,
        ));
        let frame = FrameLayout::new(ty, &reader)?;
        let mut stack = std::mem::take(&mut scratch.stack);
        stack.reset(&frame);
        let mut control = std::mem::take(&mut scratch.control);
        control.clear();
        Ok(Lowering {
            module,
            func,
            offset_bytes: 0,
            wanted: None,
            found: None,
            frame,
            emit: Emitter::new(std::mem::take(&mut scratch.words)),
            stack,
            control,
            exception_table: Vec::new(),
            outside: Vec::new(),
            fuel: match module.engine().config().metering {
                Metering::Off => None,
                Metering::Fuel => Some(FuelRuns::of(module, func)?),
            },
            canonical_nans: module.engine().config().nan_bits == NanBits::Canonical,
            blocks: 0,
            unreachable: None,
        })
    }

    fn give_back(self, scratch: &mut Scratch) {
        *scratch = Scratch { words: self.emit.into_buffer(), stack: self.stack, control: self.control };
    }

    /// Lowers the body; `at` is told, after each instruction, the word where its code begins and its offset.
    fn run(&mut self, func: DefinedFuncIndex, mut at: impl FnMut(usize, usize)) -> Result {
        let range = self.module.body_range(func);
        let body =
            FunctionBody::new(BinaryReader::new(&self.module.bytes()[range.clone()], range.start as u64));
        self.begin_function(self.module.type_of_func(self.module.func_index(func)));
        let mut operators: OperatorsReader<'_> = body.get_operators_reader()?;
        while !operators.eof() {
            let offset_bytes = usize::try_from(operators.original_position()).unwrap_or(usize::MAX);
            self.offset_bytes = offset_bytes;
            let start = self.emit.mark();
            if let Some(depth) = self.unreachable {
                self.skip(operators.read()?, depth)?;
            } else {
                self.charge();
                let float = self.float_result(&operators)?;
                operators.visit_operator(self)??;
                if let Some(shape) = float {
                    self.make_canonical(shape)?;
                }
            }
            self.check_length()?;
            at(self.emit.lowest_since(start), offset_bytes);
        }
        self.finish_function()
    }

    /// Refuses code that is out of proportion to its body: each branch moves the values that it carries, however short it is in the module's bytes.
    fn check_length(&self) -> Result {
        let body_bytes = self.module.body_range(self.func).len();
        if self.emit.words().len() > WORDS_OF_ANY + WORDS_FOR_A_BYTE * body_bytes {
            return Err(too_large("its branches carry too many values"));
        }
        Ok(())
    }

    /// Charges fuel where a straight run of instructions begins.
    fn charge(&mut self) {
        if let Some(units) = self.fuel.as_ref().and_then(|runs| runs.at(self.offset_bytes)) {
            self.emit.op(control_op::consume_fuel, emit::slots_immediate(0, 0, units));
        }
    }

    /// Passes over an instruction that cannot be reached.
    fn skip(&mut self, operator: Operator<'_>, depth: u32) -> Result {
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => self.unreachable = Some(depth + 1),
            Operator::Catch { tag_index } if depth == 0 => return self.visit_catch(tag_index),
            Operator::CatchAll if depth == 0 => return self.visit_catch_all(),
            Operator::Delegate { relative_depth } if depth == 0 => {
                return self.visit_delegate(relative_depth);
            }
            Operator::Delegate { .. } => self.unreachable = Some(depth - 1),
            Operator::Else if depth == 0 => return self.visit_else(),
            Operator::End if depth == 0 => return self.visit_end(),
            Operator::End => self.unreachable = Some(depth - 1),
            _ => {}
        }
        Ok(())
    }
}

/// Words of code that any function may have, and those it may have beside for each byte of its body; compilers' output takes two to four.
const WORDS_OF_ANY: usize = 1 << 19;
const WORDS_FOR_A_BYTE: usize = 16;

/// What lowering cannot express: a limit of this tier, with what would have been needed.
fn too_large(what: &str) -> Error {
    Error::new(ErrorKind::Limit(format!("a function is too large to execute: {what}")))
}
