//! From something hot to its machine code in the place of the interpreter's: compiles, and publishes what has come of it.
//!
//! Must stay true: what is published for a function was compiled from that function's bytes, and is kept by the module that it is published in.

use innkeeper_engine::tier::{Hot, ModuleParts, OsrEntry};

use crate::NativeModule;

/// Publishes the machine code that a loop has from an earlier time; false where there is none.
pub(crate) fn cached_loop(module: &ModuleParts, entry: &OsrEntry) -> bool {
    let Some(native) = NativeModule::of(module) else { return false };
    let Some(cached) = native.cached_loop(entry) else { return false };
    let call_slots = module.func_type(module.type_of_func(module.func_index(entry.func))).call_slots();
    // SAFETY: the cache vouches that it was made from these bytes for this loop and a frame that is laid out like this one, and `native`, which is the module's, keeps it.
    unsafe { module.code().publish(&Hot::Loop(entry.clone()), call_slots, cached) };
    native.whole_later(entry.func);
    true
}

/// Compiles and publishes.
pub(crate) fn compile(module: &ModuleParts, what: &Hot) {
    let code = module.code();
    let Some(native) = NativeModule::of(module) else { return };
    let call_slots = |func| module.func_type(module.type_of_func(module.func_index(func))).call_slots();
    match what {
        Hot::Function(func) => {
            if let Some(compiled) = native.compile(module, *func) {
                // SAFETY: `compile` has made it from this function of this module, and `native`, which is the module's, keeps it.
                unsafe { code.publish(what, call_slots(*func), compiled) };
            }
        }
        Hot::Loop(entry) => {
            if let Some(compiled) = native.compile_loop(module, entry) {
                // SAFETY: as above, for the loop that the interpreter knows by this position.
                unsafe { code.publish(what, call_slots(entry.func), compiled) };
                native.whole_later(entry.func);
            }
        }
    }
}
