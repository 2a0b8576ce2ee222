//! Whether a function is worth the compiler's time: an estimate, from its intermediate representation.
//!
//! What the allocation of registers takes grows faster than a function: with how many values are alive at once, and with how many there are at each
//! call (which wants most registers) and at each border between blocks. All that is counted here, in a time that is linear in the function but for nested loops,
//! which are bounded. Limits are many times what compilers of other languages make of real programs, and refuse what would take seconds.
//!
//! From the same numbers comes how much memory compiling takes, as a bound from above: what was measured of every shape of function in `compiling_cost.rs`, which checks it.
//!
//! Not here: bounds that can be seen in a function's bytes, which spare its translation (`module`, `translate`).

use cranelift_codegen::entity::SecondaryMap;
use cranelift_codegen::ir::{Block, BlockCall, Function, Inst, Value};

use crate::allowance::Allowance;
use crate::translate::{Result, Unsupported};

/// Values that may be alive at once.
const MAX_ALIVE: u64 = 5_000;

/// Values that may be alive at calls, all calls together.
const MAX_ALIVE_AT_CALLS: u64 = 20_000_000;

/// Values that may be alive where blocks begin, all blocks together.
const MAX_ALIVE_AT_BLOCKS: u64 = 40_000_000;

/// Values that branches may give to blocks, all together, in a function as it is translated: most of them are the same from everywhere, and disappear.
const MAX_BLOCK_ARGUMENTS: usize = 400_000;

/// Those that may be left when it has been optimized.
const MAX_LASTING_BLOCK_ARGUMENTS: u64 = 30_000;

/// Values that there may be at all, and instructions.
const MAX_VALUES: usize = 1_000_000;

/// Conditionals and loops that may be inside each other: what the compiler takes grows with the square of that.
const MAX_NESTING: u32 = 2_000;

/// Steps that finding the loops around values may take.
const MAX_LOOP_STEPS: u64 = 20_000_000;

/// Branches that may lead to one block: what the compiler takes grows with the square of that.
const MAX_BRANCHES_TO_BLOCK: u64 = 20_000;

/// How far the compiler has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Translated,
    Optimized,
}

/// Bytes that translating takes for each value, each of its uses as an argument of a branch, each instruction, and each pair of a local and a block.
const TRANSLATED_VALUE_BYTES: u64 = 110;
const TRANSLATED_ARGUMENT_BYTES: u64 = 16;
const TRANSLATED_INSTRUCTION_BYTES: u64 = 120;
const LOCAL_IN_BLOCK_BYTES: u64 = 4;

/// Bytes that making code takes for each instruction, block, argument of a branch that has lasted, and operand of a call.
const INSTRUCTION_BYTES: u64 = 1000;
const BLOCK_BYTES: u64 = 3000;
const LASTING_ARGUMENT_BYTES: u64 = 1400;
const CALL_OPERAND_BYTES: u64 = 800;

/// So many values that are alive at a call, or where a block begins, are as much work as an instruction.
const ALIVE_PER_WORK: u64 = 50;

/// The work of a function of no bytes, and of each of its locals: what comes before anything can be counted.
pub(crate) fn work_before_translation(locals: u64) -> u64 {
    100 + locals
}

/// The work of what was translated.
pub(crate) fn work_of_translation(func: &Function) -> u64 {
    func.dfg.num_insts() as u64 + func.dfg.num_values() as u64 / 2
}

/// Bytes that translating has taken so far.
pub(crate) fn translated_bytes(func: &Function, branch_arguments: usize, locals: usize) -> u64 {
    func.dfg.num_values() as u64 * TRANSLATED_VALUE_BYTES
        + branch_arguments as u64 * TRANSLATED_ARGUMENT_BYTES
        + func.dfg.num_insts() as u64 * TRANSLATED_INSTRUCTION_BYTES
        + (locals as u64).saturating_mul(func.dfg.num_blocks() as u64) * LOCAL_IN_BLOCK_BYTES
}

/// What is counted of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    blocks: u64,
    instructions: u64,
    call_operands: u64,
    alive: u64,
    alive_at_calls: u64,
    alive_at_blocks: u64,
    block_arguments: u64,
    /// To the block that most lead to.
    branches_to_block: u64,
    loop_steps: u64,
}

/// Refuses a function that is becoming too large while it is translated: a few bytes of it can stand for very many values.
pub(crate) fn check_size(func: &Function, branch_arguments: usize, nesting: u32) -> Result {
    let too_many = if func.dfg.num_values() > MAX_VALUES {
        "values"
    } else if func.dfg.num_insts() > MAX_VALUES {
        "instructions"
    } else if nesting > MAX_NESTING {
        "blocks inside each other"
    } else if branch_arguments > MAX_BLOCK_ARGUMENTS {
        "values given to blocks"
    } else {
        return Ok(());
    };
    Err(Unsupported::Compiler(format!("it has too many {too_many}")))
}

/// Refuses a function whose compilation would take too long, or more memory or work than there is.
pub(crate) fn check(func: &Function, stage: Stage, allowance: &mut Allowance<'_>) -> Result {
    let cost = match stage {
        Stage::Translated => Cost::of_few(func).or_else(|| Cost::of_size(func, stage)),
        Stage::Optimized => Cost::of_size(func, stage),
    }
    .unwrap_or_else(|| Cost::of(func));
    cost.check_bounds(stage)?;
    if stage == Stage::Optimized {
        allowance.draw(cost.work())?;
    }
    let held = func.dfg.num_values() as u64 * TRANSLATED_VALUE_BYTES + allowance.translated_bytes;
    allowance.reach(held + cost.bytes(stage))
}

impl Cost {
    /// The work of making code.
    fn work(&self) -> u64 {
        self.instructions
            + self.block_arguments
            + self.call_operands
            + (self.alive_at_calls + self.alive_at_blocks) / ALIVE_PER_WORK
    }

    /// The bytes that making code takes, beside the function itself.
    fn bytes(&self, stage: Stage) -> u64 {
        let arguments = match stage {
            // Most are going to disappear.
            Stage::Translated => self.block_arguments * TRANSLATED_ARGUMENT_BYTES,
            Stage::Optimized => self.block_arguments * LASTING_ARGUMENT_BYTES,
        };
        arguments
            + self.instructions * INSTRUCTION_BYTES
            + self.blocks * BLOCK_BYTES
            + self.call_operands * CALL_OPERAND_BYTES
    }

    fn check_bounds(&self, stage: Stage) -> Result {
        let cost = self;
        let most_arguments = match stage {
            Stage::Translated => MAX_BLOCK_ARGUMENTS as u64,
            Stage::Optimized => MAX_LASTING_BLOCK_ARGUMENTS,
        };
        let bounds = [
            (cost.alive, MAX_ALIVE, "values alive at once"),
            (cost.alive_at_calls, MAX_ALIVE_AT_CALLS, "values alive across calls"),
            (cost.alive_at_blocks, MAX_ALIVE_AT_BLOCKS, "values alive from block to block"),
            (cost.block_arguments, most_arguments, "values given to blocks"),
            (cost.branches_to_block, MAX_BRANCHES_TO_BLOCK, "branches to one block"),
            (cost.loop_steps, MAX_LOOP_STEPS, "values in nested loops"),
        ];
        match bounds.iter().find(|(counted, most, _)| counted > most) {
            Some((.., what)) => Err(Unsupported::Compiler(format!("it has too many {what}"))),
            None => Ok(()),
        }
    }
}

/// A loop: from where its header begins to behind the last branch to that.
#[derive(Clone, Copy)]
struct Loop {
    start: u32,
    end: u32,
    /// The innermost loop around it; itself where there is none.
    outer: usize,
}

impl Cost {
    fn of(func: &Function) -> Cost {
        let mut cost = Cost::default();
        let numbering = Numbering::of(func, &mut cost);
        let loops = Loops::of(func, &numbering);
        numbering.count(&loops, &mut cost);
        cost
    }

    /// What there is to count, without looking, in a function of so few instructions that nothing could refuse it before it is optimized: nothing for others. What its
    /// calls pass is left to be counted then, before anything is made for it.
    fn of_few(func: &Function) -> Option<Cost> {
        let (instructions, values) = (func.dfg.num_insts() as u64, func.dfg.num_values() as u64);
        let targets: usize = func.dfg.jump_tables.values().map(|table| table.all_branches().len()).sum();
        // A conditional has two targets, and any of the instructions may be a call.
        let is_small = values <= MAX_ALIVE
            && values * instructions <= MAX_ALIVE_AT_CALLS.min(MAX_ALIVE_AT_BLOCKS).min(MAX_LOOP_STEPS)
            && 2 * instructions + targets as u64 <= MAX_BRANCHES_TO_BLOCK;
        is_small.then(|| Cost { instructions, blocks: func.dfg.num_blocks() as u64, ..Cost::default() })
    }

    /// What there is to count in a function so small that no number of values alive anywhere could refuse it; nothing for others. Most are, and this takes a fraction of
    /// the time of looking for where values are alive. Where that is work, as when it is optimized, it is taken for the most that it can be; nothing where that is much.
    fn of_size(func: &Function, stage: Stage) -> Option<Cost> {
        let mut cost = Cost::default();
        let (mut calls, mut values) = (0, 0);
        let mut branches = SecondaryMap::new();
        branches.resize(func.dfg.num_blocks());
        for block in func.layout.blocks() {
            cost.blocks += 1;
            values += func.dfg.num_block_params(block) as u64;
            for inst in func.layout.block_insts(block) {
                calls += u64::from(cost.count_instruction(func, inst));
                values += func.dfg.inst_results(inst).len() as u64;
            }
            if let Some(last) = func.layout.last_inst(block) {
                cost.count_branches(func, last, &mut branches);
            }
        }
        // Each value is in as many loops as there are blocks, at most.
        let is_small = values <= MAX_ALIVE
            && values * calls <= MAX_ALIVE_AT_CALLS
            && values * cost.blocks <= MAX_ALIVE_AT_BLOCKS.min(MAX_LOOP_STEPS);
        if stage == Stage::Optimized {
            (cost.alive_at_calls, cost.alive_at_blocks) = (values * calls, values * cost.blocks);
            let is_little_work =
                (cost.alive_at_calls + cost.alive_at_blocks) / ALIVE_PER_WORK <= 2 * cost.instructions;
            return (is_small && is_little_work).then_some(cost);
        }
        is_small.then_some(cost)
    }

    /// Says whether the instruction is a call.
    fn count_instruction(&mut self, func: &Function, inst: Inst) -> bool {
        self.instructions += 1;
        let is_call = func.dfg.insts[inst].opcode().is_call();
        if is_call {
            let operands = func.dfg.inst_values(inst).count() + func.dfg.inst_results(inst).len();
            self.call_operands += operands as u64;
        }
        is_call
    }

    /// Counts where the last instruction of a block leads to; no other leads anywhere.
    fn count_branches(&mut self, func: &Function, last: Inst, branches: &mut SecondaryMap<Block, u64>) {
        for call in destinations(func, last) {
            self.block_arguments += call.len(&func.dfg.value_lists) as u64;
            let branches = &mut branches[call.block(&func.dfg.value_lists)];
            *branches += 1;
            self.branches_to_block = self.branches_to_block.max(*branches);
        }
    }
}

/// Instructions and blocks by their places in the code, and where values begin and end to be alive.
struct Numbering {
    /// Where each block begins; none of one that is not in the code.
    begins: SecondaryMap<Block, u32>,
    /// The last branch from behind to each block; 0 where there is none.
    last_returns: SecondaryMap<Block, u32>,
    /// Whether something is a call, the first place of a block, or neither.
    places: Vec<PlaceKind>,
    defined: SecondaryMap<Value, u32>,
    last_used: SecondaryMap<Value, u32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PlaceKind {
    Plain,
    Call,
    Block,
}

impl Numbering {
    fn of(func: &Function, cost: &mut Cost) -> Numbering {
        let dfg = &func.dfg;
        let mut numbering = Numbering {
            begins: SecondaryMap::with_default(u32::MAX),
            last_returns: SecondaryMap::new(),
            places: Vec::with_capacity(dfg.num_insts() + dfg.num_blocks()),
            defined: SecondaryMap::with_default(u32::MAX),
            last_used: SecondaryMap::new(),
        };
        numbering.defined.resize(dfg.num_values());
        numbering.last_used.resize(dfg.num_values());
        numbering.begins.resize(dfg.num_blocks());
        numbering.last_returns.resize(dfg.num_blocks());
        let mut branches = SecondaryMap::new();
        branches.resize(dfg.num_blocks());
        for block in func.layout.blocks() {
            cost.blocks += 1;
            numbering.begins[block] = numbering.places.len() as u32;
            for param in dfg.block_params(block) {
                numbering.defined[*param] = numbering.places.len() as u32;
            }
            numbering.places.push(PlaceKind::Block);
            for inst in func.layout.block_insts(block) {
                numbering.instruction(func, inst, cost);
            }
            if let Some(last) = func.layout.last_inst(block) {
                cost.count_branches(func, last, &mut branches);
                numbering.returns(func, last);
            }
        }
        numbering
    }

    fn instruction(&mut self, func: &Function, inst: Inst, cost: &mut Cost) {
        let here = self.places.len() as u32;
        for value in func.dfg.inst_values(inst) {
            self.last_used[func.dfg.resolve_aliases(value)] = here;
        }
        for result in func.dfg.inst_results(inst) {
            self.defined[*result] = here;
        }
        let is_call = cost.count_instruction(func, inst);
        self.places.push(if is_call { PlaceKind::Call } else { PlaceKind::Plain });
    }

    /// Notes which blocks that began before it the last instruction so far leads back to.
    fn returns(&mut self, func: &Function, last: Inst) {
        let here = self.places.len() as u32 - 1;
        for call in destinations(func, last) {
            let target = call.block(&func.dfg.value_lists);
            if self.begins[target] <= here {
                self.last_returns[target] = here;
            }
        }
    }

    /// Adds up how many values are alive where.
    fn count(&self, loops: &Loops, cost: &mut Cost) {
        // How many more are alive from a place on than before it.
        let mut change = vec![0_i32; self.places.len() + 1];
        for (value, defined) in self.defined.iter().filter(|(_, defined)| **defined != u32::MAX) {
            let used = self.last_used[value];
            if used <= *defined {
                continue;
            }
            let end = loops.leave(used, *defined, &mut cost.loop_steps);
            change[*defined as usize + 1] += 1;
            change[end as usize] -= 1;
        }
        let mut alive = 0_i64;
        for (place, change) in self.places.iter().zip(change) {
            alive += i64::from(change);
            let count = alive.max(0).cast_unsigned();
            cost.alive = cost.alive.max(count);
            match place {
                PlaceKind::Plain => {}
                PlaceKind::Call => cost.alive_at_calls += count,
                PlaceKind::Block => cost.alive_at_blocks += count,
            }
        }
    }
}

/// Where an instruction may branch to.
fn destinations(func: &Function, inst: Inst) -> &[BlockCall] {
    let dfg = &func.dfg;
    dfg.insts[inst].branch_destination(&dfg.jump_tables, &dfg.exception_tables)
}

/// All loops, outer ones first, and the innermost one at each place; no places where there are no loops.
struct Loops {
    all: Vec<Loop>,
    at: Vec<u32>,
}

impl Loops {
    fn of(func: &Function, numbering: &Numbering) -> Loops {
        let mut all: Vec<Loop> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for block in func.layout.blocks() {
            let start = numbering.begins[block];
            if numbering.last_returns[block] > 0 {
                while open.last().is_some_and(|outer| all[*outer].end <= start) {
                    open.pop();
                }
                let outer = open.last().copied().unwrap_or(all.len());
                open.push(all.len());
                all.push(Loop { start, end: numbering.last_returns[block] + 1, outer });
            }
        }
        if all.is_empty() {
            return Loops { all, at: Vec::new() };
        }
        let mut at = vec![u32::MAX; numbering.places.len()];
        let mut open: Vec<usize> = Vec::new();
        let mut next = 0;
        for (place, innermost) in at.iter_mut().enumerate() {
            let place = place as u32;
            while open.last().is_some_and(|inner| all[*inner].end <= place) {
                open.pop();
            }
            while all.get(next).is_some_and(|one| one.start <= place) {
                open.push(next);
                next += 1;
            }
            *innermost = open.last().map_or(u32::MAX, |inner| *inner as u32);
        }
        Loops { all, at }
    }

    /// Where a value is dead that was defined at one place and is used last at another: behind the loops that have the use and not the definition.
    fn leave(&self, used: u32, defined: u32, steps: &mut u64) -> u32 {
        let mut end = used;
        let mut at = self.at.get(used as usize).map_or(usize::MAX, |innermost| *innermost as usize);
        while let Some(around) = self.all.get(at)
            && around.start > defined
            && *steps <= MAX_LOOP_STEPS
        {
            *steps += 1;
            end = end.max(around.end);
            if around.outer == at {
                break;
            }
            at = around.outer;
        }
        end
    }
}
