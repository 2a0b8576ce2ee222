//! Scripts: steps that are chosen by bytes, with what the model foresees of each.

use super::model::{BLOCKED, Behaviour, CALLEE, CALLER, Direction, Kind, Model, Outcome, Step};
use crate::Random;

/// Steps of a script at most.
const MOST_STEPS: usize = 400;
/// Handles that an instance has before no more are made.
const MOST_HANDLES: usize = 40;
/// One step in so many may trap, if it comes so; else another one is chosen.
const TRAPS: u64 = 800;

/// See the module's documentation.
pub struct Script {
    pub(super) steps: Vec<(Step, Outcome)>,
    /// What is in the memories at its end, if nothing has trapped.
    pub(super) end: Model,
}

/// Bytes, of which each choice takes some.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn below(&mut self, end: u64) -> u64 {
        let (taken, rest) = self.0.split_at(self.0.len().min(2));
        self.0 = rest;
        let number = taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        number % end.max(1)
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = self.below(choices.len() as u64) as usize;
        choices.get(index).copied()
    }
}

impl Script {
    /// The script of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Script {
        let mut random = Random::new(seed);
        let bytes = 200 + random.draw() % 8_000;
        Script::from_bytes(&random.bytes(bytes as usize))
    }

    /// The script that a fuzzer's bytes choose.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Script {
        let (mut choices, mut model, mut steps) = (Choices(bytes), Model::new(), Vec::new());
        while !choices.0.is_empty() && steps.len() < MOST_STEPS {
            let Some(step) = choose(&mut choices, &model) else { continue };
            let mut next = model.clone();
            let outcome = next.step(step);
            if outcome.is_err() && choices.below(TRAPS) != 0 {
                continue;
            }
            steps.push((step, outcome));
            if outcome.is_err() {
                break;
            }
            model = next;
        }
        Script { steps, end: model }
    }

    /// How many steps it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether its last step traps.
    #[must_use]
    pub fn traps(&self) -> bool {
        self.steps.last().is_some_and(|(_, outcome)| outcome.is_err())
    }

    /// How many of its copies and cancellations have to wait.
    #[must_use]
    pub fn blocked(&self) -> usize {
        self.steps.iter().filter(|(_, outcome)| *outcome == Ok(BLOCKED)).count()
    }
}

fn choose(choices: &mut Choices<'_>, model: &Model) -> Option<Step> {
    let at = if choices.below(2) == 0 { CALLER } else { CALLEE };
    let handles = model.handles(at);
    let has_room = handles.len() < MOST_HANDLES;
    // Now and then one that there is not.
    let handle = |choices: &mut Choices<'_>| match choices.below(50) {
        0 => choices.below(60) as u32,
        _ => choices.of(&handles).unwrap_or(0),
    };
    let kind = if choices.below(4) == 0 { Kind::Future } else { Kind::Stream };
    let direction = if choices.below(2) == 0 { Direction::Readable } else { Direction::Writable };
    Some(match choices.below(20) {
        0 if has_room => Step::New(at, kind),
        1..=5 => Step::Copy {
            at,
            kind,
            direction,
            handle: handle(choices),
            address: match choices.below(60) {
                0 => 65_536,
                1 => u32::MAX - 3,
                _ => 8 + choices.below(4000) as u32,
            },
            length: match choices.below(80) {
                0 => 1 << 28,
                1..=10 => 0,
                _ => choices.below(40) as u32,
            },
        },
        6 => Step::CancelCopy(at, kind, direction, handle(choices)),
        7 => Step::DropEnd(at, kind, direction, handle(choices)),
        8 if model.handles(1 - at).len() < MOST_HANDLES => Step::Give(at, kind, handle(choices)),
        9 if has_room => Step::NewSet(at),
        10 => Step::Poll(at, handle(choices)),
        11 => Step::DropSet(at, handle(choices)),
        12..=13 => Step::Join(at, handle(choices), if choices.below(4) == 0 { 0 } else { handle(choices) }),
        14..=15 if model.handles(CALLER).len() < MOST_HANDLES => {
            let turns = choices.below(4) as u32;
            let behaviour = choices.of(&[
                Behaviour::Returns,
                Behaviour::Obeys,
                Behaviour::ReturnsAnyway,
                Behaviour::Ignores,
                Behaviour::Yields(turns),
                Behaviour::GoesOn,
            ])?;
            Step::Start(behaviour, model.free_set()?)
        }
        16 => Step::CancelSubtask(choices.of(&model.handles(CALLER))?),
        17 => Step::DropSubtask(choices.of(&model.handles(CALLER))?),
        18 => Step::Backpressure(choices.below(2) == 0),
        19 => Step::Turn,
        _ => return None,
    })
}
