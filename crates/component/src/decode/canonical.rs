//! Canonical definitions: functions lifted and lowered, and those that the host provides to each component.

use innkeeper_engine as core;
use innkeeper_engine::{Error, ErrorKind};
use wasmparser::component_types::{ComponentAnyTypeId, ResourceId};
use wasmparser::types::TypesRef;
use wasmparser::{CanonicalFunction, CanonicalOption};

use super::section::Open;
use super::{Canonical, Encoding, Item, Options};
use crate::concurrent::{Builtin, EndBuiltin, EndKind};

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
            other => concurrent(other, types)?,
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

/// Definitions around tasks.
fn concurrent(canonical: CanonicalFunction, types: TypesRef<'_>) -> Result<Canonical, Error> {
    use CanonicalFunction as F;
    let of_memory = |memory: u32| Options { memory: Some(memory), ..Options::default() };
    let of_async = |is_async: bool| Options { is_async, ..Options::default() };
    let simple = |builtin| (builtin, None, Options::default());
    let end = |kind, builtin, ty: u32, options: Options| (Builtin::End(kind, builtin), Some(ty), options);
    let (builtin, ty, given) = match canonical {
        F::TaskCancel => simple(Builtin::TaskCancel),
        F::ThreadYield => simple(Builtin::ThreadYield),
        F::ThreadIndex => simple(Builtin::ThreadIndex),
        F::ThreadNewIndirect { table_index, .. } => {
            return Ok(Canonical::Concurrent {
                builtin: Builtin::ThreadNewIndirect,
                ty: None,
                options: Options::default(),
                table: Some(table_index),
            });
        }
        F::ThreadResumeLater => simple(Builtin::ThreadResumeLater),
        F::ThreadSuspend => simple(Builtin::ThreadSuspend),
        F::ThreadSuspendThenResume => simple(Builtin::ThreadSuspendThenResume),
        F::ThreadYieldThenResume => simple(Builtin::ThreadYieldThenResume),
        F::SubtaskDrop => simple(Builtin::SubtaskDrop),
        F::SubtaskCancel { async_ } => (Builtin::SubtaskCancel, None, of_async(async_)),
        F::WaitableSetNew => simple(Builtin::WaitableSetNew),
        F::WaitableSetWait { memory } => (Builtin::WaitableSetWait, None, of_memory(memory)),
        F::WaitableSetPoll { memory } => (Builtin::WaitableSetPoll, None, of_memory(memory)),
        F::WaitableSetDrop => simple(Builtin::WaitableSetDrop),
        F::WaitableJoin => simple(Builtin::WaitableJoin),
        F::StreamNew { ty } => end(EndKind::Stream, EndBuiltin::New, ty, Options::default()),
        F::StreamRead { ty, options: given } => end(EndKind::Stream, EndBuiltin::Read, ty, options(&given)?),
        F::StreamWrite { ty, options: given } => {
            end(EndKind::Stream, EndBuiltin::Write, ty, options(&given)?)
        }
        F::StreamCancelRead { ty, async_ } => {
            end(EndKind::Stream, EndBuiltin::CancelRead, ty, of_async(async_))
        }
        F::StreamCancelWrite { ty, async_ } => {
            end(EndKind::Stream, EndBuiltin::CancelWrite, ty, of_async(async_))
        }
        F::StreamDropReadable { ty } => {
            end(EndKind::Stream, EndBuiltin::DropReadable, ty, Options::default())
        }
        F::StreamDropWritable { ty } => {
            end(EndKind::Stream, EndBuiltin::DropWritable, ty, Options::default())
        }
        F::FutureNew { ty } => end(EndKind::Future, EndBuiltin::New, ty, Options::default()),
        F::FutureRead { ty, options: given } => end(EndKind::Future, EndBuiltin::Read, ty, options(&given)?),
        F::FutureWrite { ty, options: given } => {
            end(EndKind::Future, EndBuiltin::Write, ty, options(&given)?)
        }
        F::FutureCancelRead { ty, async_ } => {
            end(EndKind::Future, EndBuiltin::CancelRead, ty, of_async(async_))
        }
        F::FutureCancelWrite { ty, async_ } => {
            end(EndKind::Future, EndBuiltin::CancelWrite, ty, of_async(async_))
        }
        F::FutureDropReadable { ty } => {
            end(EndKind::Future, EndBuiltin::DropReadable, ty, Options::default())
        }
        F::FutureDropWritable { ty } => {
            end(EndKind::Future, EndBuiltin::DropWritable, ty, Options::default())
        }
        other => return Ok(Canonical::Missing(missing(&other))),
    };
    let ty = ty.map(|ty| types.component_defined_type_at(ty));
    Ok(Canonical::Concurrent { builtin, ty, options: given, table: None })
}

/// What a canonical definition is called that is not built yet.
fn missing(canonical: &CanonicalFunction) -> &'static str {
    use CanonicalFunction as F;
    match canonical {
        F::StreamForward { .. } => "stream.forward",
        F::FutureForward { .. } => "future.forward",
        F::ErrorContextNew { .. } => "error-context.new",
        F::ErrorContextDebugMessage { .. } => "error-context.debug-message",
        F::ErrorContextDrop => "error-context.drop",
        F::ThreadSuspendThenPromote => "thread.suspend-then-promote",
        F::ThreadYieldThenPromote => "thread.yield-then-promote",
        _ => "a function of threads that share",
    }
}
