//! Configurations, engines and stores.

use innkeeper::{Config, Engine, Store, Tiers, engine_with};

use crate::boundary::{In, Own, c_functions};
use crate::store::{StoreCell, StoreRef};

/// `wasm_config_t`.
pub struct ConfigBox {
    pub(crate) config: Config,
    pub(crate) tiers: Tiers,
}

impl ConfigBox {
    fn new() -> ConfigBox {
        let mut config = Config::default();
        // Programs of the standard make instances by the hundred thousand in a store; what these take is bounded by the store's memory.
        config.limits.instances = 10_000_000;
        ConfigBox { config, tiers: Tiers::default() }
    }

    fn engine(self) -> Own<EngineBox> {
        Own::new(EngineBox(engine_with(self.config, self.tiers)))
    }
}

/// `wasm_engine_t`.
pub struct EngineBox(pub(crate) Engine);

/// `wasm_store_t`.
pub struct StoreBox(pub(crate) StoreRef);

c_functions! {
    fn wasm_config_new() -> Own<ConfigBox> {
        Ok(Own::new(ConfigBox::new()))
    }

    fn wasm_config_delete(config: Own<ConfigBox>) {
        drop(config.take());
        Ok(())
    }

    fn wasm_engine_new() -> Own<EngineBox> {
        Ok(ConfigBox::new().engine())
    }

    fn wasm_engine_new_with_config(config: Own<ConfigBox>) -> Own<EngineBox> {
        Ok(config.wanted("the configuration")?.engine())
    }

    fn wasm_engine_delete(engine: Own<EngineBox>) {
        drop(engine.take());
        Ok(())
    }

    fn wasm_store_new(engine: In<EngineBox>) -> Own<StoreBox> {
        let EngineBox(engine) = engine.get("the engine")?;
        let store = StoreCell::new(engine, None, |data| Store::new(engine, data))?;
        Ok(Own::new(StoreBox(store)))
    }

    fn wasm_store_delete(store: Own<StoreBox>) {
        drop(store.take());
        Ok(())
    }
}
