//! What a store holds for its components: instances, their handles and flags, calls that are under way, resource types and functions.
//!
//! Must stay true: an instance is left as it was entered. Where a call ends by a trap it is not left, and can never be entered again: that is how an
//! instance is poisoned, together with all that are in the same outermost one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use innkeeper_engine as core;

use crate::abi::{Boundary, StringShapes};
use crate::component::Component;
use crate::decode::Encoding;
use crate::func::{HostFunc, LiftedFunc};
use crate::resource::{HostHandles, ResourceTypeDef, ResourceTypeId};
use crate::table::HandleTable;
use crate::trap::{ResourceOwner, Trap};
use crate::types::{FuncTypeIndex, TypeTable};
use crate::val::Val;

/// A component instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstanceId(pub(crate) u32);

/// A function of a store, lifted or the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FuncId(pub(crate) u32);

/// An outermost instance of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RootId(pub(crate) u32);

/// See the module's documentation.
pub(crate) struct State {
    /// Which store this is of, so that handles of others are refused.
    pub(crate) id: u64,
    pub(crate) instances: Vec<InstanceState>,
    pub(crate) roots: Vec<Root>,
    pub(crate) funcs: Vec<FuncInst>,
    pub(crate) resource_types: Vec<ResourceTypeDef>,
    /// Resource types of the host that this store knows.
    pub(crate) host_types: HashMap<u64, ResourceTypeId>,
    pub(crate) host_handles: HostHandles,
    /// Calls into instances that are under way, the innermost last.
    pub(crate) calls: Vec<Call>,
}

impl Default for State {
    fn default() -> State {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        State {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            instances: Vec::new(),
            roots: Vec::new(),
            funcs: Vec::new(),
            resource_types: Vec::new(),
            host_types: HashMap::new(),
            host_handles: HostHandles::default(),
            calls: Vec::new(),
        }
    }
}

/// A component instance (canonical ABI, "Component Instances").
pub(crate) struct InstanceState {
    pub(crate) parent: Option<InstanceId>,
    /// How many instances it is nested in.
    depth: u32,
    pub(crate) handles: HandleTable,
    pub(crate) may_leave: bool,
    may_enter: bool,
    pub(crate) backpressure: u32,
}

/// An outermost instance, with what all instances in it were made of.
pub(crate) struct Root {
    pub(crate) component: Component,
    pub(crate) shared: Arc<Shared>,
    pub(crate) funcs: Vec<Option<FuncId>>,
    /// The first of its component instances; the others follow.
    pub(crate) first: InstanceId,
    pub(crate) modules: Vec<Option<core::Module>>,
}

/// What the functions of an outermost instance know of its types.
pub(crate) struct Shared {
    pub(crate) types: Arc<TypeTable>,
    /// By slot.
    pub(crate) resources: Box<[ResourceTypeId]>,
}

/// A function.
#[derive(Clone)]
pub(crate) enum FuncInst {
    Lifted(Arc<LiftedFunc>),
    Host(HostFunc),
}

/// A call into an instance (canonical ABI, "Tasks").
pub(crate) struct Call {
    /// Handles that were borrowed for it and are not dropped yet.
    pub(crate) borrows: u32,
    /// What `context.get` reads.
    pub(crate) context: [u32; 2],
    /// Where the function is lifted with the async ABI: what `task.return` must be of, and what it was given.
    pub(crate) async_return: Option<AsyncReturn>,
}

/// What an async function returns.
pub(crate) struct AsyncReturn {
    pub(crate) ty: FuncTypeIndex,
    pub(crate) boundary: Boundary,
    /// The options that the function was lifted with, which `task.return` must have too.
    pub(crate) encoding: Encoding,
    pub(crate) memory: Option<core::Memory>,
    pub(crate) returned: Option<Returned>,
}

/// A result, with what lowering it needs.
pub(crate) struct Returned {
    pub(crate) val: Option<Val>,
    pub(crate) strings: StringShapes,
    /// What the value takes, which is released when it is gone.
    pub(crate) _charge: Option<core::Charge>,
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

impl State {
    pub(crate) fn instance(&mut self, id: InstanceId) -> &mut InstanceState {
        &mut self.instances[id.0 as usize]
    }

    pub(crate) fn new_instance(&mut self, parent: Option<InstanceId>) -> InstanceId {
        let depth = parent.map_or(0, |parent| self.instance(parent).depth + 1);
        self.instances.push(InstanceState {
            parent,
            depth,
            handles: HandleTable::default(),
            may_leave: true,
            may_enter: true,
            backpressure: 0,
        });
        InstanceId(self.instances.len() as u32 - 1)
    }

    pub(crate) fn resource_type(&self, id: ResourceTypeId) -> &ResourceTypeDef {
        &self.resource_types[id.0 as usize]
    }

    /// Who has defined a resource type.
    pub(crate) fn owner(types: &[ResourceTypeDef], id: ResourceTypeId) -> ResourceOwner {
        match types[id.0 as usize].instance {
            Some(_) => ResourceOwner::Guest,
            None => ResourceOwner::Host,
        }
    }

    /// Traps unless the instance may call others, and the host.
    pub(crate) fn check_leave(&mut self, id: InstanceId) -> Result<(), Trap> {
        if self.instance(id).may_leave { Ok(()) } else { Err(Trap::CannotLeave) }
    }

    /// Enters an instance and those that it is in, except those which the caller is in too (canonical ABI, `entering_set`).
    ///
    /// # Errors
    /// Where one of them is entered already, or is poisoned.
    pub(crate) fn enter(&mut self, callee: InstanceId, entry: Entry) -> Result<(), Trap> {
        let common = match entry {
            Entry::Host => None,
            Entry::Guest(caller) | Entry::Destructor(caller) => self.common(callee, caller),
        };
        if let Entry::Guest(caller) = entry
            && !may_call_relatives()
            && (common == Some(caller) || common == Some(callee))
        {
            return Err(Trap::CannotEnter);
        }
        if !self.chain(callee, common).all(|id| self.instances[id.0 as usize].may_enter) {
            return Err(Trap::CannotEnter);
        }
        self.set_may_enter(callee, common, false);
        Ok(())
    }

    /// Ends what [`State::enter`] has begun.
    pub(crate) fn leave(&mut self, callee: InstanceId, entry: Entry) {
        let common = match entry {
            Entry::Host => None,
            Entry::Guest(caller) | Entry::Destructor(caller) => self.common(callee, caller),
        };
        self.set_may_enter(callee, common, true);
    }

    fn set_may_enter(&mut self, callee: InstanceId, common: Option<InstanceId>, may_enter: bool) {
        let mut next = Some(callee);
        while let Some(id) = next.filter(|id| Some(*id) != common) {
            let instance = self.instance(id);
            instance.may_enter = may_enter;
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

    /// Whether nothing can call into an instance any more: it is entered, and no call is under way.
    pub(crate) fn is_poisoned(&self, id: InstanceId) -> bool {
        !self.instances[id.0 as usize].may_enter && self.calls.is_empty()
    }

    /// Begins a call; gives its number.
    pub(crate) fn begin(&mut self, async_return: Option<AsyncReturn>) -> u32 {
        self.calls.push(Call { borrows: 0, context: [0; 2], async_return });
        self.calls.len() as u32 - 1
    }
}

/// Whether a component may call those that it is nested in, and that are nested in it. The text of the canonical ABI allows it where the callee is not entered; its
/// reference tests demand a trap for the time being.
fn may_call_relatives() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C57, C58: siblings may call each other, relatives may not, and who is entered is not entered again.
    #[test]
    fn c57_c58_what_may_be_entered() {
        let mut state = State::default();
        let root = state.new_instance(None);
        let (a, b) = (state.new_instance(Some(root)), state.new_instance(Some(root)));
        let inner = state.new_instance(Some(a));
        assert_eq!(state.enter(a, Entry::Host), Ok(()));
        assert_eq!(state.enter(b, Entry::Guest(a)), Ok(()));
        assert_eq!(state.enter(a, Entry::Guest(b)), Err(Trap::CannotEnter));
        assert_eq!(state.enter(a, Entry::Host), Err(Trap::CannotEnter));
        assert_eq!(
            state.enter(inner, Entry::Guest(b)),
            Err(Trap::CannotEnter),
            "it is in one that is entered"
        );
        state.leave(b, Entry::Guest(a));
        assert_eq!(state.enter(b, Entry::Guest(a)), Ok(()));
        state.leave(b, Entry::Guest(a));
        assert_eq!(state.enter(inner, Entry::Guest(a)), Err(Trap::CannotEnter), "a parent calls its child");
        assert_eq!(state.enter(inner, Entry::Destructor(a)), Ok(()));
        state.leave(inner, Entry::Destructor(a));
        state.leave(a, Entry::Host);
        assert!(!state.is_poisoned(root));
        assert_eq!(state.enter(inner, Entry::Host), Ok(()));
        assert!(state.is_poisoned(root));
    }
}
