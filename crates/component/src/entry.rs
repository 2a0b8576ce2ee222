//! Which instances may be entered and left (canonical ABI, `entering_set`, `may_enter`, `may_leave`), and that of those which have trapped none is entered again.
//!
//! Must stay true: an instance is left as it was entered. Where a call ends by a trap it is not left, and can never be entered again: that is how an
//! instance is poisoned, together with all that are in the same outermost one.

use innkeeper_engine::{Global, Globals, StoreContextMut};

use crate::state::{InstanceId, State};
use crate::trap::Trap;

/// In an instance's flags: it may call others, and the host.
pub(crate) const MAY_LEAVE: u32 = 1;
/// In an instance's flags: it is not entered, and not poisoned.
pub(crate) const MAY_ENTER: u32 = 2;
/// The flags of an instance whenever it can be entered: what may not leave is an allocator, or what runs after a return, and while these run, nobody can call into their instance.
pub(crate) const AT_REST: u32 = MAY_LEAVE | MAY_ENTER;
/// The flags of an instance that has just been entered.
pub(crate) const ENTERED: u32 = MAY_LEAVE;

/// Where an instance's flags are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flags {
    /// Here.
    Here(u32),
    /// Where code that was generated for calls between instances reads and changes them too.
    Shared(Global),
}

impl Flags {
    pub(crate) const AT_FIRST: Flags = Flags::Here(AT_REST);

    #[inline]
    fn get(self, globals: &Globals<'_>) -> u32 {
        match self {
            Flags::Here(bits) => bits,
            // There always is one; where not, nothing would be allowed.
            Flags::Shared(global) => globals.i32(global).unwrap_or_default(),
        }
    }

    fn set(&mut self, globals: &mut Globals<'_>, flag: u32, is_set: bool) {
        let with = |bits| if is_set { bits | flag } else { bits & !flag };
        match self {
            Flags::Here(bits) => *bits = with(*bits),
            Flags::Shared(global) => {
                let bits = globals.i32(*global).unwrap_or_default();
                globals.set_i32(*global, with(bits));
            }
        }
    }
}

/// Who calls a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The host.
    Host,
    /// A guest.
    Guest(InstanceId),
    /// A guest that drops a resource, whose destructor is called.
    Destructor(InstanceId),
}

/// Traps unless the instance may call others, and the host.
pub(crate) fn check_leave<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    id: InstanceId,
) -> Result<(), Trap> {
    let (state, globals) = store.attachment_and_globals::<State>();
    state.check_leave(&globals, id)
}

/// Says whether the instance may call others, and the host.
pub(crate) fn set_may_leave<T: 'static>(store: &mut StoreContextMut<'_, T>, id: InstanceId, may_leave: bool) {
    let (state, mut globals) = store.attachment_and_globals::<State>();
    state.instance(id).flags.set(&mut globals, MAY_LEAVE, may_leave);
}

/// Enters an instance and those that it is in, except those which the caller is in too (canonical ABI, `entering_set`).
///
/// # Errors
/// Where one of them is entered already, or is poisoned.
pub(crate) fn enter<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    callee: InstanceId,
    entry: Entry,
) -> Result<(), Trap> {
    let (state, mut globals) = store.attachment_and_globals::<State>();
    state.enter(&mut globals, callee, entry)
}

/// Whether an instance can be entered (canonical ABI, `may_enter_from`).
pub(crate) fn may_enter<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    callee: InstanceId,
    entry: Entry,
) -> bool {
    let (state, globals) = store.attachment_and_globals::<State>();
    state.may_enter(&globals, callee, entry)
}

/// Whether an instance is entered, or one that it is in.
pub(crate) fn is_entered<T: 'static>(store: &mut StoreContextMut<'_, T>, id: InstanceId) -> bool {
    !may_enter(store, id, Entry::Host)
}

/// Ends what [`enter`] has begun.
pub(crate) fn leave<T: 'static>(store: &mut StoreContextMut<'_, T>, callee: InstanceId, entry: Entry) {
    let (state, mut globals) = store.attachment_and_globals::<State>();
    state.leave(&mut globals, callee, entry);
}

/// Has nothing call into an instance any more, nor into those that it is in: something in it waits for what will never happen.
pub(crate) fn poison<T: 'static>(store: &mut StoreContextMut<'_, T>, id: InstanceId) {
    let (state, mut globals) = store.attachment_and_globals::<State>();
    state.set_may_enter(&mut globals, (id, None), false);
}

/// Whether nothing can call into an instance any more: it is entered, and no call is under way.
pub(crate) fn is_poisoned<T: 'static>(store: &mut StoreContextMut<'_, T>, id: InstanceId) -> bool {
    let (state, globals) = store.attachment_and_globals::<State>();
    state.instance(id).flags.get(&globals) & MAY_ENTER == 0 && state.calls.is_empty()
}

impl State {
    /// As [`check_leave`], where the store's parts are at hand.
    #[inline]
    pub(crate) fn check_leave(&self, globals: &Globals<'_>, id: InstanceId) -> Result<(), Trap> {
        let flags = self.instances[id.0 as usize].flags.get(globals);
        if flags & MAY_LEAVE != 0 { Ok(()) } else { Err(Trap::CannotLeave) }
    }

    /// As [`enter`], where the store's parts are at hand.
    pub(crate) fn enter(
        &mut self,
        globals: &mut Globals<'_>,
        callee: InstanceId,
        entry: Entry,
    ) -> Result<(), Trap> {
        if !self.may_enter(globals, callee, entry) {
            return Err(Trap::CannotEnter);
        }
        let common = self.outside(callee, entry);
        self.set_may_enter(globals, (callee, common), false);
        Ok(())
    }

    /// As [`may_enter`], where the store's parts are at hand.
    #[inline]
    fn may_enter(&self, globals: &Globals<'_>, callee: InstanceId, entry: Entry) -> bool {
        let common = self.outside(callee, entry);
        if let Entry::Guest(caller) = entry
            && (common == Some(caller) || common == Some(callee))
            && !self.instances[caller.0 as usize].may_call_relatives
        {
            return false;
        }
        self.chain(callee, common).all(|id| self.instances[id.0 as usize].flags.get(globals) & MAY_ENTER != 0)
    }

    /// As [`leave`], where the store's parts are at hand.
    pub(crate) fn leave(&mut self, globals: &mut Globals<'_>, callee: InstanceId, entry: Entry) {
        let common = self.outside(callee, entry);
        self.set_may_enter(globals, (callee, common), true);
    }

    /// The innermost instance that a call does not enter, though the callee is in it or is it: the caller is in it too.
    fn outside(&self, callee: InstanceId, entry: Entry) -> Option<InstanceId> {
        match entry {
            Entry::Host => None,
            Entry::Guest(caller) | Entry::Destructor(caller) => self.common(callee, caller),
        }
    }

    fn set_may_enter(
        &mut self,
        globals: &mut Globals<'_>,
        (callee, common): (InstanceId, Option<InstanceId>),
        may_enter: bool,
    ) {
        let mut next = Some(callee);
        while let Some(id) = next.filter(|id| Some(*id) != common) {
            let instance = self.instance(id);
            instance.flags.set(globals, MAY_ENTER, may_enter);
            next = instance.parent;
        }
    }

    /// An instance and those that it is in, up to `end`.
    fn chain(&self, from: InstanceId, end: Option<InstanceId>) -> impl Iterator<Item = InstanceId> + '_ {
        std::iter::successors(Some(from), |id| self.instances[id.0 as usize].parent)
            .take_while(move |id| Some(*id) != end)
    }

    /// The innermost instance that both are, or are in.
    fn common(&self, a: InstanceId, b: InstanceId) -> Option<InstanceId> {
        let (mut a, mut b) = (Some(a), Some(b));
        while a != b {
            let depth = |id: Option<InstanceId>| id.map(|id| self.instances[id.0 as usize].depth);
            let deeper = if depth(a) >= depth(b) { &mut a } else { &mut b };
            *deeper = deeper.and_then(|id| self.instances[id.0 as usize].parent);
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_engine::{AsContextMut, Config, Engine, GlobalType, Mutability, Store, Val, ValType};

    use super::*;

    /// C57, C58: siblings may call each other, relatives may not, and who is entered is not entered again; wherever the flags are.
    #[test]
    fn c57_c58_what_may_be_entered() {
        for are_shared in [false, true] {
            let engine = Engine::with_tier(Config::default(), innkeeper_interp::Interpreter);
            let mut store = Store::new(&engine, ()).unwrap();
            let mut store = store.as_context_mut();
            let state = store.attachment::<State>();
            let root = state.new_instance(None, false);
            let (a, b) = (state.new_instance(Some(root), false), state.new_instance(Some(root), false));
            let inner = state.new_instance(Some(a), false);
            for id in [root, a, b, inner].into_iter().filter(|_| are_shared) {
                let ty = GlobalType { content: ValType::I32, mutability: Mutability::Var };
                let global = Global::new(&mut store, ty, Val::I32(3)).unwrap();
                store.attachment::<State>().instance(id).flags = Flags::Shared(global);
            }
            let store = &mut store;
            assert_eq!(enter(store, a, Entry::Host), Ok(()));
            assert_eq!(enter(store, b, Entry::Guest(a)), Ok(()));
            assert_eq!(enter(store, a, Entry::Guest(b)), Err(Trap::CannotEnter));
            assert_eq!(enter(store, a, Entry::Host), Err(Trap::CannotEnter));
            let is_in_one_that_is = enter(store, inner, Entry::Guest(b));
            assert_eq!(is_in_one_that_is, Err(Trap::CannotEnter));
            leave(store, b, Entry::Guest(a));
            assert_eq!(enter(store, b, Entry::Guest(a)), Ok(()));
            leave(store, b, Entry::Guest(a));
            assert_eq!(
                enter(store, inner, Entry::Guest(a)),
                Err(Trap::CannotEnter),
                "a parent calls its child"
            );
            store.attachment::<State>().instance(a).may_call_relatives = true;
            assert_eq!(enter(store, inner, Entry::Guest(a)), Ok(()), "the same, where that is allowed");
            assert_eq!(enter(store, a, Entry::Guest(a)), Ok(()), "nothing is entered");
            leave(store, inner, Entry::Guest(a));
            assert_eq!(enter(store, inner, Entry::Destructor(a)), Ok(()));
            leave(store, inner, Entry::Destructor(a));
            leave(store, a, Entry::Host);
            assert!(!is_poisoned(store, root));
            assert_eq!(enter(store, inner, Entry::Host), Ok(()));
            assert!(is_poisoned(store, root));
        }
    }
}
