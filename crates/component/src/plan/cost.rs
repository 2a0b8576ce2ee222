//! What planning a component costs: a component of a few bytes may stand for any amount of work and memory, so both are counted while it is walked.
//!
//! Must stay true: a step is a bounded amount of work, and leaves at most [`STEP_BYTES`] behind. What has many parts, or long names, is as many steps.

use innkeeper_engine::{Budget, BudgetKind, Charge, Error};

/// Steps at most: a fraction of a second, and a hundred megabytes. What toolchains make takes some thousands.
const MAX_STEPS: usize = 500_000;

/// What a step leaves behind at most.
const STEP_BYTES: usize = 256;

/// So many are charged at once.
const STEPS_A_CHARGE: usize = 1024;

/// So many bytes of a name are a step, to read, copy or look up.
const STEP_NAME_BYTES: usize = 64;

/// Steps that something with a name is.
pub(super) fn steps_of_name(name: &str) -> usize {
    1 + name.len() / STEP_NAME_BYTES
}

/// See the module's documentation.
pub(crate) struct PlanCosts {
    steps: usize,
    charged_steps: usize,
    charge: Charge,
}

impl PlanCosts {
    pub(crate) fn new(budget: &Budget) -> PlanCosts {
        PlanCosts { steps: 0, charged_steps: 0, charge: budget.empty(BudgetKind::Module) }
    }

    /// Counts steps that are about to be taken.
    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Error> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return Err(limit());
        }
        if self.steps > self.charged_steps {
            self.charged_steps = self.steps + STEPS_A_CHARGE;
            self.charge.set((self.charged_steps * STEP_BYTES) as u64)?;
        }
        Ok(())
    }

    /// The same, of something with a name.
    pub(crate) fn spend_on_name(&mut self, name: &str) -> Result<(), Error> {
        self.spend(steps_of_name(name))
    }

    /// What the plan takes, to be held as long as it.
    pub(super) fn into_charge(self) -> Charge {
        self.charge
    }
}

pub(super) fn limit() -> Error {
    Error::limit(format!(
        "instantiating the component would take more than {MAX_STEPS} steps, the most that is planned"
    ))
}
