//! Canonical definitions: functions lifted and lowered, and those that the host provides to each component.

use innkeeper_engine as core;
use innkeeper_engine::{Error, ErrorKind};
use wasmparser::component_types::{ComponentAnyTypeId, ResourceId};
use wasmparser::types::TypesRef;
use wasmparser::{CanonicalFunction, CanonicalOption};

use super::section::Open;
use super::{Canonical, Encoding, Item, Options};

impl Open {
    pub(super) fn canonical(
        &mut self,
        canonical: CanonicalFunction,
        types: TypesRef<'_>,
    ) -> Result<(), Error> {
        use CanonicalFunction as F;
        let canonical = match canonical {
            F::Lift { core_func_index, options: given, .. } => {
                let ty = types.component_function_at(self.funcs);
                self.funcs += 1;
                self.items.push(Item::Lift { func: core_func_index, ty, options: options(&given)? });
                return Ok(());
            }
            F::Lower { func_index, options: given } => Canonical::Lower {
                func: func_index,
                ty: types.component_function_at(func_index),
                options: options(&given)?,
            },
            F::ResourceNew { resource } => Canonical::ResourceNew(resource_id(types, resource)?),
            F::ResourceDrop { resource } => Canonical::ResourceDrop(resource_id(types, resource)?),
            F::ResourceRep { resource } => Canonical::ResourceRep(resource_id(types, resource)?),
            F::ContextGet { slot, .. } => Canonical::ContextGet(slot),
            F::ContextSet { slot, .. } => Canonical::ContextSet(slot),
            F::BackpressureInc => Canonical::BackpressureInc,
            F::BackpressureDec => Canonical::BackpressureDec,
            F::TaskReturn { result, options: given } => {
                let result = result.map(|ty| match ty {
                    wasmparser::ComponentValType::Primitive(ty) => {
                        wasmparser::component_types::ComponentValType::Primitive(ty)
                    }
                    wasmparser::ComponentValType::Type(index) => {
                        wasmparser::component_types::ComponentValType::Type(
                            types.component_defined_type_at(index),
                        )
                    }
                });
                Canonical::TaskReturn { result, options: options(&given)? }
            }
            other => Canonical::Missing(missing(&other)),
        };
        let ty = core_func_type(types, self.core_funcs)?;
        self.core_funcs += 1;
        self.items.push(Item::CoreFunc { ty, canonical });
        Ok(())
    }
}

fn options(given: &[CanonicalOption]) -> Result<Options, Error> {
    let mut options = Options::default();
    for option in given {
        match *option {
            CanonicalOption::UTF8 => options.encoding = Encoding::Utf8,
            CanonicalOption::UTF16 => options.encoding = Encoding::Utf16,
            CanonicalOption::CompactUTF16 => options.encoding = Encoding::Latin1OrUtf16,
            CanonicalOption::Memory(memory) => options.memory = Some(memory),
            CanonicalOption::Realloc(func) => options.realloc = Some(func),
            CanonicalOption::PostReturn(func) => options.post_return = Some(func),
            CanonicalOption::Callback(func) => options.callback = Some(func),
            CanonicalOption::Async => options.is_async = true,
            CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                return Err(Error::new(ErrorKind::Unsupported(
                    "the canonical ABI of garbage-collected values".to_owned(),
                )));
            }
        }
    }
    Ok(options)
}

fn resource_id(types: TypesRef<'_>, index: u32) -> Result<ResourceId, Error> {
    match types.component_any_type_at(index) {
        ComponentAnyTypeId::Resource(id) => Ok(id.resource()),
        // Validation has seen one there.
        _ => Err(Error::new(ErrorKind::Unsupported("a handle of what is no resource".to_owned()))),
    }
}

/// The type of a core function that the host makes, which has numbers only.
fn core_func_type(types: TypesRef<'_>, index: u32) -> Result<core::FuncType, Error> {
    let unsupported =
        || Error::new(ErrorKind::Unsupported("a core function with references in a component".to_owned()));
    let ty = types.get(types.core_function_at(index)).ok_or_else(unsupported)?;
    let ty = match &ty.composite_type.inner {
        wasmparser::CompositeInnerType::Func(ty) => ty,
        _ => return Err(unsupported()),
    };
    let number = |ty: &wasmparser::ValType| match ty {
        wasmparser::ValType::I32 => Ok(core::ValType::I32),
        wasmparser::ValType::I64 => Ok(core::ValType::I64),
        wasmparser::ValType::F32 => Ok(core::ValType::F32),
        wasmparser::ValType::F64 => Ok(core::ValType::F64),
        _ => Err(unsupported()),
    };
    let params = ty.params().iter().map(number).collect::<Result<Vec<_>, _>>()?;
    let results = ty.results().iter().map(number).collect::<Result<Vec<_>, _>>()?;
    Ok(core::FuncType::new(params, results))
}

/// What a canonical definition is called that is not built yet.
fn missing(canonical: &CanonicalFunction) -> &'static str {
    use CanonicalFunction as F;
    match canonical {
        F::TaskCancel => "task.cancel",
        F::ThreadYield => "thread.yield",
        F::SubtaskDrop => "subtask.drop",
        F::SubtaskCancel { .. } => "subtask.cancel",
        F::StreamNew { .. } => "stream.new",
        F::StreamRead { .. } => "stream.read",
        F::StreamWrite { .. } => "stream.write",
        F::StreamForward { .. } => "stream.forward",
        F::StreamCancelRead { .. } => "stream.cancel-read",
        F::StreamCancelWrite { .. } => "stream.cancel-write",
        F::StreamDropReadable { .. } => "stream.drop-readable",
        F::StreamDropWritable { .. } => "stream.drop-writable",
        F::FutureNew { .. } => "future.new",
        F::FutureRead { .. } => "future.read",
        F::FutureWrite { .. } => "future.write",
        F::FutureForward { .. } => "future.forward",
        F::FutureCancelRead { .. } => "future.cancel-read",
        F::FutureCancelWrite { .. } => "future.cancel-write",
        F::FutureDropReadable { .. } => "future.drop-readable",
        F::FutureDropWritable { .. } => "future.drop-writable",
        F::ErrorContextNew { .. } => "error-context.new",
        F::ErrorContextDebugMessage { .. } => "error-context.debug-message",
        F::ErrorContextDrop => "error-context.drop",
        F::WaitableSetNew => "waitable-set.new",
        F::WaitableSetWait { .. } => "waitable-set.wait",
        F::WaitableSetPoll { .. } => "waitable-set.poll",
        F::WaitableSetDrop => "waitable-set.drop",
        F::WaitableJoin => "waitable.join",
        _ => "a function of cooperative threads",
    }
}
