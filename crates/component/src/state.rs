//! What a store holds for its components: instances, their handles and flags, calls that are under way, resource types and functions.
//!
//! Which instances may be entered is in `entry`.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use innkeeper_engine as core;

use crate::abi::StringShapes;
use crate::adapter::Walked;
use crate::component::Component;
use crate::concurrent::{Concurrent, InstanceTasks, Key, TASK_SCOPE, Thread};
use crate::entry::Flags;
use crate::func::{HostFunc, LiftedFunc};
use crate::resource::{HostHandles, ResourceTypeDef, ResourceTypeId};
use crate::table::HandleTable;
use crate::trap::ResourceOwner;
use crate::types::TypeTable;
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
    /// What the instances take.
    pub(crate) charges: Vec<core::Charge>,
    /// Who watches what instances call that are made from now on, for stores with data of one type.
    pub(crate) observer: Option<Box<dyn Any + Send + Sync>>,
    /// Whether that answers all calls in the host's place.
    pub(crate) is_answered: bool,
    /// Tasks, and what they wait for.
    pub(crate) concurrent: Concurrent,
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
            charges: Vec::new(),
            observer: None,
            is_answered: false,
            concurrent: Concurrent::default(),
        }
    }
}

/// A component instance (canonical ABI, "Component Instances").
pub(crate) struct InstanceState {
    pub(crate) parent: Option<InstanceId>,
    /// How many instances it is nested in.
    pub(crate) depth: u32,
    pub(crate) handles: HandleTable,
    pub(crate) flags: Flags,
    /// Whether it may call those that it is nested in, and that are nested in it ([`crate::Feature::CallsToRelatives`]).
    pub(crate) may_call_relatives: bool,
    pub(crate) backpressure: u32,
    pub(crate) tasks: InstanceTasks,
}

/// An outermost instance, with what all instances in it were made of.
pub(crate) struct Root {
    pub(crate) component: Component,
    pub(crate) shared: Arc<Shared>,
    pub(crate) funcs: Vec<Option<FuncId>>,
    /// The first of its component instances; the others follow.
    pub(crate) first: InstanceId,
    pub(crate) modules: Vec<Option<core::Module>>,
    /// Why calls between instances are walked that are.
    pub(crate) walked: Vec<Walked>,
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

/// A call into an instance that is under way, or a thread that runs (canonical ABI, "Tasks").
pub(crate) struct Call {
    /// The thread; none of a call of a function that must not wait.
    pub(crate) thread: Option<Key<Thread>>,
    /// Handles that were borrowed for it and are not dropped yet; a task counts them itself.
    pub(crate) borrows: u32,
    /// Handles of the caller's that it is lent, where generated code has called, and lends any.
    pub(crate) lends: Option<Box<GuestLends>>,
    /// Which function the host has called, where it was the host.
    pub(crate) func: Option<FuncId>,
    /// What `context.get` reads.
    pub(crate) context: [u32; 2],
}

/// Handles that a guest has lent for a call of generated code.
#[derive(Default)]
pub(crate) struct GuestLends {
    pub(crate) handles: Vec<u32>,
    /// What these take.
    pub(crate) charge: Option<core::Charge>,
}

/// A result, with what lowering it needs.
pub(crate) struct Returned {
    pub(crate) val: Option<Val>,
    pub(crate) strings: StringShapes,
    /// What the value takes, which is released when it is gone.
    pub(crate) _charge: Option<core::Charge>,
}

impl State {
    pub(crate) fn instance(&mut self, id: InstanceId) -> &mut InstanceState {
        &mut self.instances[id.0 as usize]
    }

    pub(crate) fn new_instance(
        &mut self,
        parent: Option<InstanceId>,
        may_call_relatives: bool,
    ) -> InstanceId {
        let depth = parent.map_or(0, |parent| self.instance(parent).depth + 1);
        self.instances.push(InstanceState {
            parent,
            depth,
            handles: HandleTable::default(),
            flags: Flags::AT_FIRST,
            may_call_relatives,
            backpressure: 0,
            tasks: InstanceTasks::default(),
        });
        InstanceId(self.instances.len() as u32 - 1)
    }

    pub(crate) fn new_host_func(&mut self, func: HostFunc) -> FuncId {
        self.funcs.push(FuncInst::Host(func));
        FuncId(self.funcs.len() as u32 - 1)
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

    /// Begins a call, or lets a thread run; gives its number.
    #[inline]
    pub(crate) fn begin(&mut self, thread: Option<Key<Thread>>) -> u32 {
        self.calls.push(Call { thread, borrows: 0, lends: None, func: None, context: [0; 2] });
        self.calls.len() as u32 - 1
    }

    /// Begins a call that the host has made, of which function it says; gives its number.
    #[inline]
    pub(crate) fn begin_of(&mut self, func: Option<FuncId>) -> u32 {
        self.calls.push(Call { thread: None, borrows: 0, lends: None, func, context: [0; 2] });
        self.calls.len() as u32 - 1
    }

    /// How many handles that were borrowed for a call or a task are not dropped yet.
    pub(crate) fn borrows(&mut self, scope: u32) -> Option<&mut u32> {
        match scope & TASK_SCOPE {
            0 => self.calls.get_mut(scope as usize).map(|call| &mut call.borrows),
            _ => self.concurrent.tasks.at(scope & !TASK_SCOPE).map(|task| &mut task.borrows),
        }
    }
}
