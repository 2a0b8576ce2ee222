//! Stores that are made with limits and keys, their time and fuel, and who stops their guests from another thread.

use std::sync::Arc;
use std::time::Duration;

use innkeeper::wasi::p1::Context;
use innkeeper::{InterruptHandle, Store};

use super::config::LimitNumbers;
use super::error::Told;
use super::keys::KeysBox;
use crate::boundary::{In, Out, Own, c_functions};
use crate::object::Ref;
use crate::problem::Frame;
use crate::store::StoreCell;
use crate::vector::Vector;
use crate::wasm_h::engine::{EngineBox, StoreBox};

/// `innkeeper_interrupt_t`.
pub struct Interrupt(InterruptHandle);

/// A time of C's: all bits set say that there is no limit.
fn duration(nanoseconds: u64) -> Option<Duration> {
    (nanoseconds != u64::MAX).then(|| Duration::from_nanos(nanoseconds))
}

c_functions! {
    fn innkeeper_store_new(
        engine: In<EngineBox>,
        limits: In<LimitNumbers>,
        keys: In<KeysBox>,
        out: Out<Own<StoreBox>>,
    ) -> Told {
        out.set(Own::NULL);
        let EngineBox(engine) = engine.get("the engine")?;
        let mut bounds = engine.config().limits.clone();
        if let Some(limits) = limits.option() {
            limits.set_in(&mut bounds);
        }
        let context = keys.option().map(|keys| Context::new(&keys.0)).transpose()?;
        let store = StoreCell::new(engine, context.clone(), |data| {
            let bytes = bounds.memory_bytes;
            let store = Store::builder(engine, data).limits(bounds);
            let Some(context) = &context else { return store.build() };
            // What the keys make the host hold is counted together with what the store holds.
            let budget = context.host().budget();
            if let Some(bytes) = bytes {
                budget.restrict(bytes, "memory_bytes");
            }
            store.budget(budget).build()
        })?;
        out.set(Own::new(StoreBox(store)));
        Ok(Told::DONE)
    }

    fn innkeeper_store_set_deadline(store: In<StoreBox>, nanoseconds: u64) -> Told {
        store.get("the store")?.0.idle(|store| store.set_deadline(duration(nanoseconds)))?;
        Ok(Told::DONE)
    }

    fn innkeeper_store_set_processor_time(store: In<StoreBox>, nanoseconds: u64) -> Told {
        store.get("the store")?.0.idle(|store| {
            store.set_processor_time(duration(nanoseconds));
            Ok(())
        })?;
        Ok(Told::DONE)
    }

    fn innkeeper_store_set_fuel(store: In<StoreBox>, units: u64) -> Told {
        store.get("the store")?.0.enter(|mut cx| cx.set_fuel(units))?;
        Ok(Told::DONE)
    }

    fn innkeeper_store_fuel(store: In<StoreBox>, out: Out<u64>) -> Told {
        out.set(store.get("the store")?.0.enter(|cx| cx.fuel())?);
        Ok(Told::DONE)
    }

    fn innkeeper_store_collect_garbage(store: In<StoreBox>) {
        store.get("the store")?.0.enter(|mut cx| {
            cx.gc();
            Ok(())
        })
    }

    fn innkeeper_store_backtrace(store: In<StoreBox>, out: Out<Vector<Own<Frame>>>) {
        out.set(Vector::EMPTY);
        let frames = Frame::captured(&store.get("the store")?.0)?;
        out.set(Vector::of(frames.into_iter().map(Own::new))?);
        Ok(())
    }

    fn innkeeper_store_interrupt(store: In<StoreBox>) -> Own<Interrupt> {
        Ok(Own::new(Interrupt(store.get("the store")?.0.interrupt_handle())))
    }

    fn innkeeper_interrupt_stop(interrupt: In<Interrupt>) {
        interrupt.get("the handle")?.0.interrupt();
        Ok(())
    }

    fn innkeeper_interrupt_delete(interrupt: Own<Interrupt>) {
        drop(interrupt.take());
        Ok(())
    }

    fn innkeeper_object_store(of: In<Ref>) -> Own<StoreBox> {
        Ok(Own::new(StoreBox(Arc::clone(of.get("the object")?.store()?))))
    }
}
