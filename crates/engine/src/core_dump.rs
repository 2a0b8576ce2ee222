//! Core dumps: what was in a store when a guest stopped, as a module that tools read (tool-conventions, `Coredump.md`).
//!
//! The frames are those of the error's backtrace; of their locals and operands nothing is known any more. Memories are written as they are now, without the pages that are all zeros,
//! and so are globals. Must stay true: nothing is gathered before somebody asks, and no more than a page is held for the writing of a memory.

use std::io::{self, Write};

use crate::arena::ArenaId as _;
use crate::error::Error;
use crate::runtime::instance::InstanceEntity;
use crate::store::{MemoryId, Store, StoreCore};
use crate::trap::FrameInfo;
use crate::types::{IndexType, MemoryType, Mutability, RefType, Sharing, ValType};
use crate::value::Val;

/// Bytes of a run of a memory that is written or left out.
const RUN_BYTES: usize = 4096;

impl<T> Store<T> {
    /// Writes a core dump of the store, in which a guest has ended with `error`; `name` is what the dump calls the program.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write_core_dump(&self, error: &Error, name: &str, to: &mut dyn Write) -> io::Result<()> {
        let core = &self.inner.core;
        to.write_all(b"\0asm\x01\0\0\0")?;
        custom(to, "core", &{
            let mut contents = vec![0];
            put_name(&mut contents, name);
            contents
        })?;
        custom(to, "coremodules", &modules(core))?;
        custom(to, "coreinstances", &instances(core))?;
        custom(to, "corestack", &stack(core, error))?;
        let types: Vec<MemoryType> = core.memories.iter().map(|memory| memory.ty()).collect();
        section(to, 5, &memories(&types))?;
        section(to, 6, &globals(core))?;
        data(core, &types, to)
    }
}

/// The modules of all instances, one each.
fn modules(core: &StoreCore) -> Vec<u8> {
    let mut contents = Vec::new();
    put(&mut contents, core.instances.iter().count() as u64);
    for instance in core.instances.iter() {
        contents.push(0);
        put_name(&mut contents, instance.get().module.path_name().unwrap_or_default());
    }
    contents
}

fn instances(core: &StoreCore) -> Vec<u8> {
    let mut contents = Vec::new();
    put(&mut contents, core.instances.iter().count() as u64);
    for (module, instance) in (0..).zip(core.instances.iter()) {
        let entity = instance.get();
        contents.push(0);
        put(&mut contents, module);
        put(&mut contents, entity.memory_ids.len() as u64);
        entity.memory_ids.iter().for_each(|id| put(&mut contents, id.position() as u64));
        put(&mut contents, entity.global_ids.len() as u64);
        entity.global_ids.iter().for_each(|id| put(&mut contents, id.position() as u64));
    }
    contents
}

fn stack(core: &StoreCore, error: &Error) -> Vec<u8> {
    let mut contents = vec![0];
    put_name(&mut contents, "main");
    let frames = error.backtrace().frames();
    put(&mut contents, frames.len() as u64);
    for frame in frames {
        contents.push(0);
        put(&mut contents, instance_of(core, frame));
        put(&mut contents, frame.func.0.into());
        put(&mut contents, offset_in_function(frame));
        // Neither locals nor operands.
        contents.extend([0, 0]);
    }
    contents
}

/// The first instance of the frame's module.
fn instance_of(core: &StoreCore, frame: &FrameInfo) -> u64 {
    let is_of = |entity: &InstanceEntity| frame.is_of(&entity.module);
    core.instances.iter().position(|instance| is_of(instance.get())).unwrap_or(0) as u64
}

/// Bytes from where the function's body begins to the frame's instruction.
fn offset_in_function(frame: &FrameInfo) -> u64 {
    let start = frame.body_start_bytes();
    frame.offset_bytes.zip(start).map_or(0, |(offset, start)| offset.saturating_sub(start) as u64)
}

fn memories(types: &[MemoryType]) -> Vec<u8> {
    let mut contents = Vec::new();
    put(&mut contents, types.len() as u64);
    for ty in types {
        let shared = u8::from(ty.sharing == Sharing::Shared);
        let wide = u8::from(ty.index == IndexType::I64);
        let custom_page = u8::from(ty.page_size_log2 != MemoryType::DEFAULT_PAGE_SIZE_LOG2);
        contents.push(u8::from(ty.pages.max.is_some()) | shared << 1 | wide << 2 | custom_page << 3);
        put(&mut contents, ty.pages.min);
        ty.pages.max.iter().for_each(|max| put(&mut contents, *max));
        if custom_page != 0 {
            put(&mut contents, ty.page_size_log2.into());
        }
    }
    contents
}

fn globals(core: &StoreCore) -> Vec<u8> {
    let mut contents = Vec::new();
    put(&mut contents, core.globals.iter().count() as u64);
    for global in core.globals.iter() {
        let (ty, [low, high]) = (global.ty(), global.slots());
        put_type(&mut contents, ty.content);
        contents.push(u8::from(ty.mutability == Mutability::Var));
        match ty.content {
            ValType::I32 => {
                contents.push(0x41);
                put_signed(&mut contents, i64::from((low as u32).cast_signed()));
            }
            ValType::I64 => {
                contents.push(0x42);
                put_signed(&mut contents, low.cast_signed());
            }
            ValType::F32 => {
                contents.push(0x43);
                contents.extend((low as u32).to_le_bytes());
            }
            ValType::F64 => {
                contents.push(0x44);
                contents.extend(low.to_le_bytes());
            }
            ValType::V128 => {
                contents.extend([0xfd, 0x0c]);
                contents.extend(low.to_le_bytes());
                contents.extend(high.to_le_bytes());
            }
            // What is referred to is not in the dump.
            ValType::Ref(ty) => contents.extend([0xd0, top_of(ty)]),
        }
        contents.push(0x0b);
    }
    contents
}

fn put_type(contents: &mut Vec<u8>, ty: ValType) {
    contents.push(match ty {
        ValType::I32 => 0x7f,
        ValType::I64 => 0x7e,
        ValType::F32 => 0x7d,
        ValType::F64 => 0x7c,
        ValType::V128 => 0x7b,
        ValType::Ref(ty) => top_of(ty),
    });
}

/// The top of a reference type's hierarchy, nullable, as a byte: types that modules define are not in the dump.
fn top_of(ty: RefType) -> u8 {
    match Val::zero(ValType::Ref(ty)) {
        Val::FuncRef(_) => 0x70,
        Val::ExternRef(_) => 0x6f,
        Val::ExnRef(_) => 0x69,
        _ => 0x6e,
    }
}

/// The bytes of all memories that are not zeros, as active segments.
fn data(core: &StoreCore, types: &[MemoryType], to: &mut dyn Write) -> io::Result<()> {
    let mut segments = Vec::new();
    let mut total = 0;
    for (index, ty) in types.iter().enumerate() {
        for (start, len) in runs(core, index as u32) {
            let mut head = Vec::new();
            // Of a memory by its number.
            head.push(2);
            put(&mut head, index as u64);
            head.push(if ty.index == IndexType::I64 { 0x42 } else { 0x41 });
            match ty.index {
                IndexType::I64 => put_signed(&mut head, start.cast_signed()),
                IndexType::I32 => put_signed(&mut head, i64::from((start as u32).cast_signed())),
            }
            head.push(0x0b);
            put(&mut head, len);
            total += head.len() as u64 + len;
            segments.push((index as u32, head, start, len));
        }
    }
    let mut count = Vec::new();
    put(&mut count, segments.len() as u64);
    let mut head = vec![11];
    put(&mut head, total + count.len() as u64);
    to.write_all(&head)?;
    to.write_all(&count)?;
    let mut page = vec![0; RUN_BYTES];
    for (memory, head, start, len) in segments {
        to.write_all(&head)?;
        for at in (start..start + len).step_by(RUN_BYTES) {
            let bytes = &mut page[..usize::try_from(start + len - at).unwrap_or(RUN_BYTES).min(RUN_BYTES)];
            // The memory is as long as it was: nobody shrinks one. What another thread writes meanwhile is in the dump or not.
            let _ = core.memories[MemoryId::from_position(memory)].read(at, bytes);
            to.write_all(bytes)?;
        }
    }
    Ok(())
}

/// Where a memory is not all zeros: start and length.
fn runs(core: &StoreCore, memory: u32) -> Vec<(u64, u64)> {
    let memory = &core.memories[MemoryId::from_position(memory)];
    let len_bytes = memory.len_bytes() as u64;
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut page = vec![0; RUN_BYTES];
    for start in (0..len_bytes).step_by(RUN_BYTES) {
        let bytes = &mut page[..usize::try_from(len_bytes - start).unwrap_or(RUN_BYTES).min(RUN_BYTES)];
        if memory.read(start, bytes).is_none() || bytes.iter().all(|byte| *byte == 0) {
            continue;
        }
        let len = bytes.len() as u64;
        match runs.last_mut() {
            // A segment is no longer than 32 bits can say.
            Some((before, so_far)) if *before + *so_far == start && *so_far < 1 << 30 => *so_far += len,
            _ => runs.push((start, len)),
        }
    }
    runs
}

fn section(to: &mut dyn Write, id: u8, contents: &[u8]) -> io::Result<()> {
    let mut head = vec![id];
    put(&mut head, contents.len() as u64);
    to.write_all(&head)?;
    to.write_all(contents)
}

fn custom(to: &mut dyn Write, name: &str, contents: &[u8]) -> io::Result<()> {
    let mut all = Vec::new();
    put_name(&mut all, name);
    all.extend(contents);
    section(to, 0, &all)
}

fn put_name(contents: &mut Vec<u8>, name: &str) {
    put(contents, name.len() as u64);
    contents.extend(name.as_bytes());
}

/// A number in LEB128.
fn put(contents: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        contents.push(number as u8 | 0x80);
        number >>= 7;
    }
    contents.push(number as u8);
}

/// A signed number in LEB128.
fn put_signed(contents: &mut Vec<u8>, mut number: i64) {
    while !(-0x40..0x40).contains(&number) {
        contents.push(number as u8 | 0x80);
        number >>= 7;
    }
    contents.push(number as u8 & 0x7f);
}
