//! Where guests spend their time: samples of their stacks.
//!
//! Who profiles asks for a sample every so often ([`crate::InterruptHandle::sample`]), and the guest takes it at its next loop or call, where it polls
//! anyway: nothing is paid between samples, and both tiers know all frames there. A sample weighs as many ticks as were asked for since the
//! one before, so that the time of host calls goes to whoever made them.

use std::collections::HashMap;

use crate::trap::{Backtrace, FrameInfo};

/// The stacks that a store's guests were seen with.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    stacks: HashMap<Vec<FrameInfo>, u64>,
    ticks: u64,
}

impl Profile {
    /// The distinct stacks, innermost frame first and without offsets, with the ticks that each was seen for; in no order.
    pub fn stacks(&self) -> impl Iterator<Item = (&[FrameInfo], u64)> {
        self.stacks.iter().map(|(stack, ticks)| (stack.as_slice(), *ticks))
    }

    /// All ticks together.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    pub(crate) fn add(&mut self, stack: Backtrace, ticks: u64) {
        *self.stacks.entry(stack.into_frames()).or_default() += ticks;
        self.ticks += ticks;
    }
}
