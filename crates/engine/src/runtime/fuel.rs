//! What happens where a guest needs more fuel than is at hand: there is a reserve, or the guest traps.
//!
//! Tiers charge against what is at hand and come here only where that is too little, so that putting less at hand than there is costs them nothing. Whatever the portions,
//! what a guest uses until it traps is the same.

use crate::trap::Trap;
use crate::vmctx::VmStore;

/// Sees to it that `needed` units are at hand, and lets others have their turn first, where the guest was called so that it can wait.
///
/// # Errors
/// [`Trap::OutOfFuel`] where there are not as many in all, and then none are left; [`Trap::Interrupted`] where the call is given up meanwhile.
///
/// # Safety
/// `vm` is the record of a store that the running activation has exclusive use of.
#[cold]
#[inline(never)]
pub unsafe fn refuel(vm: *mut VmStore, needed: u64) -> Result<(), Trap> {
    // SAFETY: tiers pass the record of the store that they run for, which this activation alone has (the contract of `runtime`).
    unsafe {
        let all = (*vm).fuel + (*vm).fuel_reserve;
        let portion = if needed > all { 0 } else { (*vm).fuel_portion.max(needed).min(all) };
        ((*vm).fuel, (*vm).fuel_reserve) = (portion, if portion == 0 { 0 } else { all - portion });
        if portion == 0 {
            return Err(Trap::OutOfFuel);
        }
        #[cfg(feature = "async")]
        super::future::let_others_run(vm, super::Afterwards::GoesOn)?;
        Ok(())
    }
}
