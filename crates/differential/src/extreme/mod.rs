//! Modules at the extremes: functions whose locals, parameters, results, operands and blocks are at the limits of the implementation and one beside them.
//!
//! A generator of ordinary modules never comes near these limits. Here one function ([`function`]) is put together from axes, most of them
//! small and some at a limit, and checks itself: it gives what it owns values that say where they belong, is left in one of many ways
//! ([`Way`]: calls, tail calls, exceptions, allocations, a loop that is compiled while it runs), and then counts what has changed.
//! Engines that are wrong alike are found that way, too.
//!
//! Must stay true: the export [`INTACT`] gives 0 whatever the axes are.

mod counts;
mod function;
mod value;

use crate::generate::Module;
use crate::random::Random;

pub use counts::{Count, LAST};
pub use value::Kind;

/// The export that counts what has changed that must not have.
pub const INTACT: &str = "intact";

/// How the function is left while its locals and operands are alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `call` of itself.
    Call,
    /// `call_indirect` of itself.
    CallIndirect,
    /// `call_ref` of itself.
    CallRef,
    /// A call of an instance's imported function, which belongs to the host.
    CallHost,
    /// `return_call` of itself.
    ReturnCall,
    /// `return_call_indirect` of itself.
    ReturnCallIndirect,
    /// `return_call_ref` of itself.
    ReturnCallRef,
    /// An exception that the next frame catches.
    Catch,
    /// An exception that passes frames of this function.
    Unwind,
    /// Allocations, with collections in between.
    Allocate,
    /// A loop that comes round often enough to be compiled, which allocates.
    Loop,
    /// Growing a memory and a table.
    Grow,
}

impl Way {
    /// All of them.
    pub const ALL: [Way; 12] = [
        Way::Call,
        Way::CallIndirect,
        Way::CallRef,
        Way::CallHost,
        Way::ReturnCall,
        Way::ReturnCallIndirect,
        Way::ReturnCallRef,
        Way::Catch,
        Way::Unwind,
        Way::Allocate,
        Way::Loop,
        Way::Grow,
    ];

    fn is_tail_call(self) -> bool {
        matches!(self, Way::ReturnCall | Way::ReturnCallIndirect | Way::ReturnCallRef)
    }
}

/// What one module is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axes {
    /// How the function is left.
    pub way: Way,
    /// Groups of locals: how many, of which kind.
    pub locals: Vec<(u32, Kind)>,
    /// Parameters beside the first, which counts down.
    pub params: Vec<Kind>,
    /// Results.
    pub results: Vec<Kind>,
    /// Operands that lie below the arguments of the call, and of which kind.
    pub operands: (u32, Kind),
    /// Blocks around the way.
    pub blocks: u32,
    /// Targets of a `br_table` that is passed on the way; none without.
    pub targets: u32,
}

impl Axes {
    /// A small function that is left in a way.
    #[must_use]
    pub fn small(way: Way) -> Axes {
        Axes {
            way,
            locals: vec![(3, Kind::I64), (2, Kind::V128), (2, Kind::Struct)],
            params: vec![Kind::I64, Kind::F32],
            results: vec![Kind::I64],
            operands: (3, Kind::I32),
            blocks: 1,
            targets: 0,
        }
    }

    /// The module.
    #[must_use]
    pub fn module(&self) -> Option<Module> {
        Module::read(function::module(self))
    }
}

/// Slots of locals up to which operands reach all of them, and up to which functions are compiled.
const NEAR_SLOTS: u32 = 30_000;
/// What validation admits: locals with parameters, parameters, and results of a function.
const MOST_LOCALS: u32 = 50_000;
const MOST_PARAMS: usize = 1000;
/// Locals that the function has beside those of its axes.
pub(crate) const OWN_LOCALS: u32 = function::OWN_LOCALS;

/// Numbers of locals of a kind that are at a limit, and one beside it, in a small function.
#[must_use]
pub fn local_counts(kind: Kind) -> Vec<u32> {
    // Parameters count as locals.
    let most = MOST_LOCALS - OWN_LOCALS - 1 - Axes::small(Way::Call).params.len() as u32;
    let near = (NEAR_SLOTS - OWN_LOCALS) / kind.slots();
    [near - 1, near, near + 1, (1 << 15) / kind.slots(), most]
        .into_iter()
        .filter(|count| *count <= most)
        .collect()
}

/// The axes of a seed: small, but for one or two.
pub(crate) fn axes(seed: u64) -> Axes {
    let mut random = Random::new(seed);
    let mut axes = Axes::small(random.pick(&Way::ALL));
    for _ in 0..=random.draw() % 2 {
        let kind = random.pick(&Kind::ALL);
        match random.draw() % 6 {
            0 | 1 => {
                let other = random.pick(&Kind::ALL);
                let count = random.pick(&local_counts(kind));
                let left = MOST_LOCALS - OWN_LOCALS - 1 - count;
                axes.locals = vec![(count, kind), (left.min(random.pick(&[0, 1, 700])), other)];
            }
            2 => axes.params = vec![kind; random.pick(&[MOST_PARAMS - 2, MOST_PARAMS - 1])],
            3 => axes.results = vec![kind; random.pick(&[MOST_PARAMS - 1, MOST_PARAMS])],
            4 => axes.operands = (random.pick(&[1000, 32_766, 32_767, 32_768, 64_000]) / kind.slots(), kind),
            _ => (axes.blocks, axes.targets) = (random.pick(&[1, 300, 5000]), random.pick(&[0, 3, 65_536])),
        }
    }
    // Parameters count as locals.
    let params = axes.params.len() as u32;
    if let Some((count, _)) = axes.locals.first_mut() {
        *count = (*count).min(MOST_LOCALS - OWN_LOCALS - 1 - 700 - params);
    }
    axes
}
