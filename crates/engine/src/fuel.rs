//! Where fuel is charged, the same in every tier.
//!
//! Each instruction uses one unit. The units of a straight run of instructions are charged when its first is reached: a run ends where control may branch or
//! be branched to. What cannot be reached, as validation sees it, is not charged for.

use std::ops::Range;

use wasmparser::{BinaryReader, BinaryReaderError, Catch, FunctionBody, Operator};

use crate::index::DefinedFuncIndex;
use crate::module::ModuleParts;

/// The straight runs of a function's body.
#[derive(Debug, Default)]
pub struct FuelRuns {
    /// Where each begins in the module's bytes, ascending, and its instructions.
    runs: Vec<(usize, u32)>,
}

impl FuelRuns {
    /// Finds the runs of a function that the module defines.
    ///
    /// # Errors
    /// Where the bytes cannot be read, which validation excludes.
    pub fn of(module: &ModuleParts, func: DefinedFuncIndex) -> Result<FuelRuns, BinaryReaderError> {
        FuelRuns::of_body(module.bytes(), module.body_range(func))
    }

    fn of_body(bytes: &[u8], range: Range<usize>) -> Result<FuelRuns, BinaryReaderError> {
        let body = FunctionBody::new(BinaryReader::new(&bytes[range.clone()], range.start as u64));
        let mut finder = Finder { runs: FuelRuns::default(), is_open: false, blocks: Vec::new(), dead: None };
        finder.blocks.push(Block::new(BlockKind::Other));
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let offset_bytes = operators.original_position() as usize;
            let operator = operators.read()?;
            match finder.dead {
                Some(depth) => finder.skip(&operator, depth),
                None => {
                    finder.count(offset_bytes);
                    finder.visit(&operator)?;
                }
            }
        }
        Ok(finder.runs)
    }

    /// The units to charge at an instruction, if a run begins with it.
    #[must_use]
    pub fn at(&self, offset_bytes: usize) -> Option<u32> {
        let found = self.runs.binary_search_by_key(&offset_bytes, |(start, _)| *start).ok()?;
        Some(self.runs[found].1)
    }
}

struct Finder {
    runs: FuelRuns,
    /// Whether the next instruction belongs to the last run.
    is_open: bool,
    /// Blocks that are open, the function's body first.
    blocks: Vec<Block>,
    /// Blocks opened since control became unreachable, while it is.
    dead: Option<u32>,
}

struct Block {
    kind: BlockKind,
    /// Whether something branches to its end.
    is_joined: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum BlockKind {
    Loop,
    /// A conditional whose `else` has not come yet.
    If,
    /// A handler of the older form of exceptions.
    Handler,
    Other,
}

impl Block {
    fn new(kind: BlockKind) -> Block {
        Block { kind, is_joined: false }
    }
}

impl Finder {
    /// Counts an instruction.
    fn count(&mut self, offset_bytes: usize) {
        match self.runs.runs.last_mut() {
            Some((_, units)) if self.is_open => *units = units.saturating_add(1),
            _ => self.runs.runs.push((offset_bytes, 1)),
        }
        self.is_open = true;
    }

    fn visit(&mut self, operator: &Operator<'_>) -> Result<(), BinaryReaderError> {
        match operator {
            Operator::Block { .. } => self.blocks.push(Block::new(BlockKind::Other)),
            Operator::Loop { .. } => self.open(BlockKind::Loop),
            Operator::If { .. } => self.open(BlockKind::If),
            Operator::Try { .. } => self.open(BlockKind::Other),
            Operator::TryTable { try_table } => {
                for catch in &try_table.catches {
                    let (Catch::One { label, .. }
                    | Catch::OneRef { label, .. }
                    | Catch::All { label }
                    | Catch::AllRef { label }) = catch;
                    self.join(*label);
                }
                self.open(BlockKind::Other);
            }
            Operator::Else => self.begin_else(),
            Operator::Catch { .. } | Operator::CatchAll => self.begin_handler(),
            Operator::End | Operator::Delegate { .. } => self.end(),
            Operator::Br { relative_depth } => {
                self.join(*relative_depth);
                self.dead = Some(0);
            }
            Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => {
                self.join(*relative_depth);
                self.is_open = false;
            }
            Operator::BrTable { targets } => {
                for depth in targets.targets() {
                    self.join(depth?);
                }
                self.join(targets.default());
                self.dead = Some(0);
            }
            Operator::Return
            | Operator::Unreachable
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::ReturnCallRef { .. } => self.dead = Some(0),
            _ => {}
        }
        Ok(())
    }

    /// Looks only for where control becomes reachable again.
    fn skip(&mut self, operator: &Operator<'_>, depth: u32) {
        match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::TryTable { .. }
            | Operator::Try { .. } => self.dead = Some(depth + 1),
            Operator::Else if depth == 0 => self.begin_else(),
            Operator::Catch { .. } | Operator::CatchAll if depth == 0 => self.begin_handler(),
            Operator::End | Operator::Delegate { .. } => match depth.checked_sub(1) {
                Some(outer) => self.dead = Some(outer),
                None => self.end(),
            },
            _ => {}
        }
    }

    /// Opens a block that control can be said to begin anew in.
    fn open(&mut self, kind: BlockKind) {
        self.blocks.push(Block::new(kind));
        self.is_open = false;
    }

    /// Notes a branch to a label.
    fn join(&mut self, relative_depth: u32) {
        let at = self.blocks.len().checked_sub(relative_depth as usize + 1);
        if let Some(block) = at.and_then(|at| self.blocks.get_mut(at))
            && block.kind != BlockKind::Loop
        {
            block.is_joined = true;
        }
    }

    fn begin_else(&mut self) {
        self.begin_other(BlockKind::Other);
    }

    fn begin_handler(&mut self) {
        self.begin_other(BlockKind::Handler);
    }

    /// Begins another part of the innermost block.
    fn begin_other(&mut self, kind: BlockKind) {
        let is_reachable = self.dead.is_none();
        if let Some(block) = self.blocks.last_mut() {
            block.kind = kind;
            block.is_joined |= is_reachable;
        }
        self.dead = None;
        self.is_open = false;
    }

    fn end(&mut self) {
        let Some(block) = self.blocks.pop() else { return };
        let is_left = self.dead.is_none() && block.kind != BlockKind::Handler;
        if !is_left || block.is_joined || block.kind == BlockKind::If {
            self.is_open = false;
        }
        self.dead = None;
    }
}
