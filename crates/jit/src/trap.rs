//! Why machine code stopped.
//!
//! Trap codes of the compiler are single bytes: its own for what instructions check by themselves, and ours for [`Trap`]s that are checked
//! explicitly.

use cranelift_codegen::ir::TrapCode;
use innkeeper_engine::tier::{NativeSite, Pending, TrapSite, VmStore, runtime};
use innkeeper_engine::{Error, Trap};

use crate::backtrace::{self, FramePosition};
use crate::{region, unwind};

/// The traps that machine code raises by itself; their codes are their positions, counted from 1.
const TRAPS: [Trap; 16] = [
    Trap::Unreachable,
    Trap::MemoryOutOfBounds,
    Trap::TableOutOfBounds,
    Trap::UndefinedElement,
    Trap::UninitializedElement,
    Trap::IndirectCallTypeMismatch,
    Trap::NullReference,
    Trap::NullStructure,
    Trap::NullArray,
    Trap::NullI31,
    Trap::NullFunction,
    Trap::NullException,
    Trap::ArrayOutOfBounds,
    Trap::CastFailure,
    Trap::UnalignedAtomic,
    Trap::OutOfFuel,
];

/// The code of a load that faults beyond a memory's end. Nothing else has it: see [`crate::tables::Places`].
pub(crate) const LOAD: TrapCode = TrapCode::HEAP_OUT_OF_BOUNDS;

/// The code of a poll, which is no trap: the read of a page that faults while somebody requests a safepoint.
pub(crate) const POLL: TrapCode = TrapCode::unwrap_user(TRAPS.len() as u8 + 1);

/// The code of a trap that machine code raises by itself.
pub(crate) fn code(trap: Trap) -> TrapCode {
    let position = TRAPS.iter().position(|known| *known == trap).unwrap_or(0);
    TrapCode::unwrap_user(position as u8 + 1)
}

/// The trap that a code stands for.
pub(crate) fn of_code(code: u8) -> Option<Trap> {
    let is = |known: TrapCode| code == known.as_raw().get();
    if is(TrapCode::HEAP_OUT_OF_BOUNDS) {
        Some(Trap::MemoryOutOfBounds)
    } else if is(TrapCode::INTEGER_OVERFLOW) {
        Some(Trap::IntegerOverflow)
    } else if is(TrapCode::INTEGER_DIVISION_BY_ZERO) {
        Some(Trap::IntegerDivideByZero)
    } else if is(TrapCode::BAD_CONVERSION_TO_INTEGER) {
        Some(Trap::InvalidConversionToInteger)
    } else {
        TRAPS.get(usize::from(code).checked_sub(1)?).copied()
    }
}

/// Finds out why machine code stopped at the place in the record, with its frames still there, and leaves that in the record. An exception that a
/// function of this run catches is the result, and where that goes on is in the record; else the result is 0.
///
/// # Safety
/// `vm` is the record of the store whose machine code runs on this thread.
pub(crate) unsafe extern "sysv64" fn stopped(vm: *mut VmStore) -> u64 {
    // SAFETY: `entry::stopped`, alone in calling this, passes r15, which is the store's record in all machine code; the frames stay until the run is left.
    unsafe {
        let NativeSite { pc, frame, fault } = (*vm).fiber.native_site;
        if let Some(Pending::Exception(exception)) = (*vm).fiber.pending {
            match unwind::search(vm, pc, frame, exception) {
                Ok(Some(handler)) => {
                    (*vm).fiber.pending = None;
                    (*vm).fiber.catching = std::ptr::null();
                    (*vm).fiber.native_handler = handler;
                    return exception;
                }
                Ok(None) => {}
                Err(trap) => (*vm).fiber.pending = Some(Pending::Trap(trap)),
            }
        }
        let place =
            if (*vm).fiber.pending.is_some() { FramePosition::Return } else { FramePosition::Instruction };
        if (*vm).fiber.pending.is_none() {
            let Some(trap) = region::trap_at(pc).and_then(of_code) else {
                // Not a guest's doing: machine code went where it must not, and nothing it says can be trusted.
                eprintln!("innkeeper: machine code failed at {pc:#x}, where it cannot");
                std::process::abort();
            };
            if trap == Trap::MemoryOutOfBounds && fault != 0 {
                runtime::note_fault(vm, fault);
            }
            (*vm).fiber.pending = Some(Pending::Trap(trap));
        }
        let describe = |error: &mut Error| backtrace::append(error, pc, frame, place);
        runtime::complete_stop(vm, describe);
        (*vm).fiber.trap_site = TrapSite::NONE;
        0
    }
}
