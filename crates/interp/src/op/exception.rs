//! Exceptions.

use innkeeper_engine::Trap;
use innkeeper_engine::tier::{Pending, VmObject, gc};

use crate::backtrace::Place;
use crate::machine::{A, B, D, Exit, Machine, handlers};
use crate::unwind;

handlers! {
    /// `[from count _ live_end] [tag]`: throws an exception of the values whose slots start at `from`.
    fn throw(m) {
        let tag = *(*m.ctx).tags.add(m.word(2) as usize);
        match gc::allocate_exception(m.ctx, tag, m.fp.add(m.operand(D))) {
            Ok(exception) => {
                let values = VmObject::contents(exception.as_ptr()).cast::<u64>().add(1);
                values.copy_from_nonoverlapping(m.fp.add(m.operand(A)), m.operand(B));
                m.throw(exception.as_ptr() as usize as u64)
            }
            Err(trap) => m.trap(trap),
        }
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
    pub(crate) unsafe fn throw(mut self, exception: u64) -> Exit {
        // SAFETY: see the impl; where the exception is caught, the address is that of an instruction, else null.
        unsafe {
            (*self.vm()).pending = Some(Pending::Exception(exception));
            self.catch_pending()
        }
    }

    /// Goes on where what is pending is caught, if it is an exception and caught in this activation; else leaves it.
    #[inline(always)]
    pub(crate) unsafe fn catch_pending(&mut self) -> Exit {
        // SAFETY: see the impl; `unwind::catch` leaves the frame and the context of where to go on in the record.
        unsafe {
            let position = unwind::catch(self.ip, self.fp, self.ctx, Place::Instruction, self.vm());
            if position.is_null() {
                return self.stop();
            }
            self.ip = position;
            self.fp = (*self.vm()).trap_site.frame;
            self.ctx = (*self.vm()).trap_site.ctx;
            self.reload_memory();
            self.dispatch()
        }
    }
}
