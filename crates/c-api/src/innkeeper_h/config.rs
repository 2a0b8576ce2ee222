//! What an engine is configured with, and how much the guests of a store may have.

use innkeeper::{Config, Limits, Metering, Tiers};

use crate::boundary::{In, InOut, c_functions, usage};
use crate::wasm_h::engine::ConfigBox;

/// `innkeeper_limits_t`: zeros say nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LimitNumbers {
    memory_bytes: u64,
    memory_size: u64,
    table_elements: u64,
    heap_bytes: u64,
    guest_stack_bytes: u64,
    instances: u64,
    memories: u64,
    tables: u64,
}

impl LimitNumbers {
    pub(crate) fn set_in(&self, limits: &mut Limits) {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        if self.memory_bytes > 0 {
            limits.memory_bytes = Some(self.memory_bytes);
        }
        if self.memory_size > 0 {
            limits.memory_size = Some(self.memory_size);
        }
        if self.table_elements > 0 {
            limits.table_elements = self.table_elements;
        }
        let rest = [
            (self.heap_bytes, &mut limits.heap_bytes),
            (self.guest_stack_bytes, &mut limits.guest_stack_bytes),
            (self.instances, &mut limits.instances),
            (self.memories, &mut limits.memories),
            (self.tables, &mut limits.tables),
        ];
        for (number, limit) in rest.into_iter().filter(|(number, _)| *number > 0) {
            *limit = size(number);
        }
    }
}

fn configuration(config: &InOut<ConfigBox>) -> innkeeper::Result<&mut Config> {
    Ok(&mut config.get("the configuration")?.config)
}

c_functions! {
    fn innkeeper_config_set_limits(config: InOut<ConfigBox>, limits: In<LimitNumbers>) {
        let limits = limits.get("the limits")?;
        limits.set_in(&mut configuration(&config)?.limits);
        Ok(())
    }

    fn innkeeper_config_set_fuel(config: InOut<ConfigBox>, is_metered: bool) {
        configuration(&config)?.metering = if is_metered { Metering::Fuel } else { Metering::Off };
        Ok(())
    }

    fn innkeeper_config_set_tiers(config: InOut<ConfigBox>, tiers: u8) {
        config.get("the configuration")?.tiers = match tiers {
            0 => Tiers::Auto,
            1 => Tiers::Interpreter,
            2 => Tiers::Compiled,
            _ => return Err(usage(format!("there is no choice of tiers {tiers}"))),
        };
        Ok(())
    }
}
