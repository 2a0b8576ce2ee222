//! Exceptions.

use innkeeper_engine::Trap;
use innkeeper_engine::tier::{Pending, VmContext, VmObject, gc};

use crate::backtrace::FramePosition;
use crate::code::Word;
use crate::machine::{A, B, D, Exit, Machine, handlers};
use crate::unwind;

handlers! {
    /// `[from count _ live_end] [tag]`: throws an exception of the values whose slots start at `from`.
    fn throw(m) {
        let exception = make(m.ip, m.fp, m.ctx);
        if exception == 0 {
            return m.stop();
        }
        m.throw(exception)
    }

    /// `[a]`: throws an exception again.
    fn throw_ref(m) {
        let exception = m.get::<u64>(A);
        if exception == 0 {
            return m.trap(Trap::NullException);
        }
        m.throw(exception)
    }
}

/// # Safety
/// All methods share the contract of [`crate::machine::Handler`].
impl Machine {
    /// Goes on where the exception is caught, or leaves the activation.
    #[inline(always)]
    pub(crate) unsafe fn throw(self, exception: u64) -> Exit {
        // SAFETY: see the impl.
        unsafe {
            unwind::throw(exception, self.vm());
            self.catch_pending()
        }
    }

    /// Goes on where what is pending is caught, if it is an exception and caught in this activation; else leaves it.
    #[inline(always)]
    pub(crate) unsafe fn catch_pending(mut self) -> Exit {
        // SAFETY: see the impl; `unwind::catch` leaves the frame and the context of where to go on in the record, and where the exception is
        // caught, the address is that of an instruction, else null.
        unsafe {
            let position = unwind::catch(self.ip, self.fp, self.ctx, FramePosition::Instruction, self.vm());
            if position.is_null() {
                return self.stop();
            }
            self.ip = position;
            self.fp = (*self.vm()).fiber.trap_site.frame;
            self.ctx = (*self.vm()).fiber.trap_site.ctx;
            self.reload_memory();
            self.dispatch()
        }
    }
}

/// The exception that the instruction at `ip` throws; 0 where there cannot be one, and the reason is in the record. Not inlined, as whatever
/// would keep a handler from jumping to the next.
///
/// # Safety
/// The contract of [`crate::machine::Handler`]; the instruction is [`throw`].
#[cold]
#[inline(never)]
unsafe fn make(ip: *const Word, fp: *mut u64, ctx: *mut VmContext) -> u64 {
    // SAFETY: the contract of `Handler`, for the words that `lower/exception.rs` writes for a throw.
    unsafe {
        let m = Machine::at(ip, fp, ctx);
        let tag = *(*ctx).tags.add(m.word(2) as usize);
        match gc::allocate_exception(ctx, tag, fp.add(m.operand(D))) {
            Ok(exception) => {
                let values = VmObject::contents(exception.as_ptr()).cast::<u64>().add(1);
                values.copy_from_nonoverlapping(fp.add(m.operand(A)), m.operand(B));
                exception.as_ptr() as usize as u64
            }
            Err(trap) => {
                (*(*ctx).store).fiber.pending = Some(Pending::Trap(trap));
                0
            }
        }
    }
}
