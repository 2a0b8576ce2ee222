//! Arguments and environment variables.
//!
//! Both are an array of pointers and one buffer with all texts, each ended by a NUL.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer, element};

/// Writes the arguments: pointers at `argv`, texts at `argv_buf`, as large as [`args_sizes_get`] says.
///
/// # Errors
/// `fault`; then nothing is written.
///
/// Specification: `args_get`.
pub(super) fn args_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    argv: Pointer,
    argv_buf: Pointer,
) -> Result<(), Errno> {
    write_texts(memory, &arguments(cx), argv, argv_buf)
}

/// Writes the number of arguments and the bytes that their texts take.
///
/// # Errors
/// `fault`, `overflow`.
///
/// Specification: `args_sizes_get`.
pub(super) fn args_sizes_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    argc: Pointer,
    argv_buf_size: Pointer,
) -> Result<(), Errno> {
    write_sizes(memory, &arguments(cx), argc, argv_buf_size)
}

/// Writes the environment variables as `name=value`: pointers at `environ`, texts at `environ_buf`.
///
/// # Errors
/// `fault`; then nothing is written.
///
/// Specification: `environ_get`.
pub(super) fn environ_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    environ: Pointer,
    environ_buf: Pointer,
) -> Result<(), Errno> {
    write_texts(memory, &environment(cx), environ, environ_buf)
}

/// Writes the number of environment variables and the bytes that their texts take.
///
/// # Errors
/// `fault`, `overflow`.
///
/// Specification: `environ_sizes_get`.
pub(super) fn environ_sizes_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    environc: Pointer,
    environ_buf_size: Pointer,
) -> Result<(), Errno> {
    write_sizes(memory, &environment(cx), environc, environ_buf_size)
}

fn arguments(cx: &Context) -> Vec<String> {
    cx.host.arguments().iter().map(|argument| format!("{argument}\0")).collect()
}

fn environment(cx: &Context) -> Vec<String> {
    cx.host.environment().iter().map(|(name, value)| format!("{name}={value}\0")).collect()
}

fn write_sizes(
    memory: &mut GuestMemory<'_>,
    texts: &[String],
    count: Pointer,
    bytes: Pointer,
) -> Result<(), Errno> {
    memory.check(count, 4)?;
    memory.check(bytes, 4)?;
    let total: usize = texts.iter().map(String::len).sum();
    memory.write_u32(count, u32::try_from(texts.len()).map_err(|_| Errno::Overflow)?)?;
    memory.write_u32(bytes, u32::try_from(total).map_err(|_| Errno::Overflow)?)
}

fn write_texts(
    memory: &mut GuestMemory<'_>,
    texts: &[String],
    pointers: Pointer,
    buffer: Pointer,
) -> Result<(), Errno> {
    let total: usize = texts.iter().map(String::len).sum();
    memory.check(pointers, texts.len() as u64 * 4)?;
    memory.check(buffer, total as u64)?;
    let mut text_at = buffer;
    for (index, text) in (0..).zip(texts) {
        memory.write_u32(element(pointers, index, 4)?, text_at.0)?;
        memory.write(text_at, text.as_bytes())?;
        // Fits: the end of the buffer was checked.
        text_at = Pointer(text_at.0.wrapping_add(text.len() as u32));
    }
    Ok(())
}
