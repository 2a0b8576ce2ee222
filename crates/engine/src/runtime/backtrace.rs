//! The guest's frames that have led to a function of the host which runs now.
//!
//! A function of the host is called from where nothing need be noted but that: the interpreter says its place in the record, and machine code is found from where the
//! fiber was left. Calls within calls form a list of activations ([`OuterActivation`]), made only where there is more than one.
//!
//! Must stay true: frames are walked only while the function of the host that they have called has not returned; where a call that waits was leaked, nobody can
//! tell whose frames they are, and there are none to see.

use crate::error::Error;
use crate::fiber::switch;
use crate::store::StoreCore;
use crate::tier::HostCaller;
use crate::trap::Backtrace;
use crate::vmctx::fiber::OuterActivation;

/// The frames of all activations under way in a store, innermost first; none where no function of the host runs.
pub(crate) fn capture(store: &StoreCore) -> Backtrace {
    let vm = store.vm();
    let mut gathered = Error::for_backtrace();
    // SAFETY: the record lives as long as the store; guest code is not running while that is borrowed, so that nobody writes to it. A function of the host runs, which is
    // why what it was called from, and what that was called from, is still there: activations further out, segments and frames are left after it has returned.
    unsafe {
        let fiber = &(*vm).fiber;
        if !fiber.is_in_host_call((*vm).nesting) {
            return Backtrace::default();
        }
        let mut activation = fiber.activation();
        loop {
            append(store, &activation, &mut gathered);
            match activation.outer.as_ref() {
                Some(outer) => activation = *outer,
                None => return gathered.into_backtrace(),
            }
        }
    }
}

/// Appends the frames of one activation.
///
/// # Safety
/// The function of the host that it has called has not returned.
unsafe fn append(store: &StoreCore, activation: &OuterActivation, gathered: &mut Error) {
    // SAFETY: the caller says that the activation is suspended in a call of the host; machine code has made that call where it is what runs innermost.
    unsafe {
        let caller = if activation.is_in_machine_code() {
            switch::caller_of_host(activation.left_at)
                .map(|(pc, frame)| HostCaller::MachineCode { pc, frame })
        } else {
            Some(HostCaller::Interpreter(activation.call_site))
        };
        if let Some(caller) = caller {
            store.engine().tier().describe_caller(caller, gathered);
        }
        let mut segment = activation.segments.as_ref();
        while let Some(below) = segment {
            (below.describe)(below, gathered);
            segment = below.outer.as_ref();
        }
    }
}
