//! Where guests spend their time: samples of their stacks.
//!
//! Who profiles asks for a sample every so often ([`crate::InterruptHandle::sample`]), and the guest takes it at its next loop or call, where it polls
//! anyway: nothing is paid between samples, and both tiers know all frames there. A sample weighs as many ticks as were asked for since the
//! one before. What of that passed in functions of the host is theirs: they are innermost then, in the stack of that sample.
//!
//! Must stay true: a profile is bounded, whatever stacks a guest makes; what does not fit is counted, and told of.

use std::collections::HashMap;

use crate::trap::{Backtrace, FrameInfo};

/// Bytes of stacks that a profile keeps. Real programs have some hundred kilobytes.
const MOST_BYTES: usize = 8 << 20;

/// What a stack costs beside its frames and their names.
const STACK_BYTES: usize = 64;

/// The stacks that a store's guests were seen with.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    stacks: HashMap<Vec<FrameInfo>, u64>,
    ticks: u64,
    /// What the stacks cost.
    bytes: usize,
    omitted: OmittedSamples,
    /// Functions of the host that have returned since the last sample, with the ticks that passed in each.
    in_host: Vec<(FrameInfo, u64)>,
}

/// Samples whose stacks a profile had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OmittedSamples {
    /// How many samples there were.
    pub samples: u64,
    /// Their ticks.
    pub ticks: u64,
}

impl Profile {
    /// The distinct stacks, innermost frame first and without offsets, with the ticks that each was seen for; in no order.
    pub fn stacks(&self) -> impl Iterator<Item = (&[FrameInfo], u64)> {
        self.stacks.iter().map(|(stack, ticks)| (stack.as_slice(), *ticks))
    }

    /// All ticks together, those of samples that were omitted included.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// What is not among the stacks because there were so many, or so large ones.
    #[must_use]
    pub fn omitted(&self) -> OmittedSamples {
        self.omitted
    }

    /// Notes that ticks have passed in a function of the host, for the next sample.
    pub(crate) fn note_host(&mut self, function: FrameInfo, ticks: u64) {
        match self.in_host.iter_mut().find(|(known, _)| *known == function) {
            Some((_, sum)) => *sum += ticks,
            None => self.in_host.push((function, ticks)),
        }
    }

    pub(crate) fn add(&mut self, stack: Backtrace, ticks: u64) {
        let stack = stack.into_frames();
        let mut left = ticks;
        for (function, in_host) in std::mem::take(&mut self.in_host) {
            let in_host = in_host.min(left);
            left -= in_host;
            if in_host > 0 {
                let frames = std::iter::once(function).chain(stack.iter().cloned());
                self.add_stack(frames.collect(), in_host);
            }
        }
        if left > 0 || ticks == 0 {
            self.add_stack(stack, left);
        }
    }

    fn add_stack(&mut self, stack: Vec<FrameInfo>, ticks: u64) {
        self.ticks += ticks;
        if let Some(known) = self.stacks.get_mut(&stack) {
            *known += ticks;
            return;
        }
        let bytes = self.bytes.saturating_add(stack_bytes(&stack));
        if bytes > MOST_BYTES {
            self.omitted.samples += 1;
            self.omitted.ticks += ticks;
            return;
        }
        self.bytes = bytes;
        self.stacks.insert(stack, ticks);
    }
}

/// What a stack costs.
fn stack_bytes(stack: &[FrameInfo]) -> usize {
    let name = |name: &Option<String>| name.as_ref().map_or(0, String::len);
    let frame =
        |frame: &FrameInfo| size_of::<FrameInfo>() + name(&frame.module_name) + name(&frame.func_name);
    STACK_BYTES + stack.iter().map(frame).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::index::FuncIndex;
    use crate::trap::FrameTier;

    fn stack(func: u32, name: &str) -> Backtrace {
        let mut sample = Error::for_profile();
        sample.backtrace_mut().push(FrameInfo {
            module_name: None,
            func: FuncIndex(func),
            func_name: Some(name.to_owned()),
            offset_bytes: None,
            times: 1,
            tier: FrameTier::Interpreted,
            module: crate::trap::FrameModule::default(),
        });
        sample.into_backtrace()
    }

    #[test]
    fn a_profile_of_ever_new_stacks_is_bounded_and_counts_all() {
        const SAMPLES: u64 = 2000;
        let name = "n".repeat(20_000);
        let mut profile = Profile::default();
        for func in 0..SAMPLES {
            profile.add(stack(func as u32, &name), 2);
            // What is known has a place for ever.
            profile.add(stack(0, &name), 1);
        }
        let omitted = profile.omitted();
        assert!(omitted.samples > 0 && omitted.ticks == 2 * omitted.samples);
        assert!(profile.stacks().map(|(stack, _)| stack_bytes(stack)).sum::<usize>() <= MOST_BYTES);
        assert_eq!(profile.ticks(), 3 * SAMPLES);
        let kept: u64 = profile.stacks().map(|(_, ticks)| ticks).sum();
        assert_eq!(kept + omitted.ticks, profile.ticks());
    }
}
