//! Objects of `wasm.h`: one record for all that it calls references, so that a function seen as an `extern` or as a reference is the same pointer.
//!
//! Must stay true: what stands in a store (objects of the host that guests hold) does not keep that store; a [`Ref`], which C holds, does.

use std::any::Any;
use std::sync::{Arc, Weak};

use innkeeper::{
    AnyRef, AsContextMut, EqRef, ExnRef, Extern, ExternRef, Func, Global, HeapType, Instance, Memory, Module,
    OwnedRooted, RefType, Reference, Result, StoreContextMut, Table, Tag, Val, ValType,
};

use crate::boundary::{Own, usage};
use crate::host_info::HostInfo;
use crate::problem::Problem;
use crate::store::{Data, StoreCell, StoreRef};

/// `wasm_ref_t`, and all that can be seen as one.
#[derive(Clone)]
pub struct Ref {
    /// None for what belongs to no store.
    pub(crate) store: Option<StoreRef>,
    pub(crate) object: Object,
}

/// What is referred to.
#[derive(Clone)]
pub(crate) enum Object {
    Item(Identity),
    Module(Arc<ModuleObject>),
    Trap(Arc<Problem>),
    Foreign(Arc<HostInfo>),
    Extern(Arc<Held<ExternRef>>),
    Any(Arc<Held<AnyRef>>),
    Exn(Arc<Held<ExnRef>>),
}

/// What is in a store for as long as that lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    Func(Func),
    Global(Global),
    Table(Table),
    Memory(Memory),
    Tag(Tag),
    Instance(Instance),
}

/// A module, as C holds it.
pub(crate) struct ModuleObject {
    pub(crate) module: Module,
    pub(crate) info: HostInfo,
}

/// An object of a guest's.
pub(crate) struct Held<R> {
    pub(crate) root: OwnedRooted<R>,
    pub(crate) info: HostInfo,
}

/// What a guest holds of C's, behind an `externref`.
#[derive(Clone)]
struct HostObject {
    object: Object,
    /// The store that it is of, which may be another one than the guest's.
    store: Option<Weak<StoreCell>>,
}

/// The four trees that reference types are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hierarchy {
    Func,
    Extern,
    Any,
    Exn,
}

impl Hierarchy {
    pub(crate) fn of(heap: HeapType, engine: &innkeeper::Engine) -> Hierarchy {
        match heap {
            HeapType::Func | HeapType::NoFunc => Hierarchy::Func,
            HeapType::Extern | HeapType::NoExtern => Hierarchy::Extern,
            HeapType::Exn | HeapType::NoExn => Hierarchy::Exn,
            HeapType::Concrete(id) => match engine.composite_type(id) {
                Some(ty) if ty.as_func().is_some() => Hierarchy::Func,
                _ => Hierarchy::Any,
            },
            _ => Hierarchy::Any,
        }
    }

    pub(crate) fn null(self) -> Val {
        match self {
            Hierarchy::Func => Val::FuncRef(None),
            Hierarchy::Extern => Val::ExternRef(None),
            Hierarchy::Any => Val::AnyRef(None),
            Hierarchy::Exn => Val::ExnRef(None),
        }
    }

    pub(crate) fn ty(self) -> ValType {
        self.null().ty()
    }
}

impl Identity {
    pub(crate) fn of_extern(item: Extern) -> Identity {
        match item {
            Extern::Func(func) => Identity::Func(func),
            Extern::Global(global) => Identity::Global(global),
            Extern::Table(table) => Identity::Table(table),
            Extern::Memory(memory) => Identity::Memory(memory),
            Extern::Tag(tag) => Identity::Tag(tag),
        }
    }

    pub(crate) fn as_extern(self) -> Option<Extern> {
        Some(match self {
            Identity::Func(func) => func.into(),
            Identity::Global(global) => global.into(),
            Identity::Table(table) => table.into(),
            Identity::Memory(memory) => memory.into(),
            Identity::Tag(tag) => tag.into(),
            Identity::Instance(_) => return None,
        })
    }
}

impl Ref {
    pub(crate) fn item(store: &StoreRef, item: Identity) -> Ref {
        Ref { store: Some(Arc::clone(store)), object: Object::Item(item) }
    }

    pub(crate) fn of_extern(store: &StoreRef, item: Extern) -> Ref {
        Ref::item(store, Identity::of_extern(item))
    }

    pub(crate) fn store(&self) -> Result<&StoreRef> {
        self.store.as_ref().ok_or_else(|| usage("the object belongs to no store"))
    }

    pub(crate) fn as_extern(&self) -> Option<Extern> {
        match self.object {
            Object::Item(item) => item.as_extern(),
            _ => None,
        }
    }

    pub(crate) fn module(&self) -> Result<&Module> {
        match &self.object {
            Object::Module(module) => Ok(&module.module),
            _ => Err(usage("the object is no module")),
        }
    }

    pub(crate) fn same(&self, other: &Ref) -> Result<bool> {
        Ok(match (&self.object, &other.object) {
            (Object::Item(a), Object::Item(b)) => a == b,
            (Object::Module(a), Object::Module(b)) => Arc::ptr_eq(a, b),
            (Object::Trap(a), Object::Trap(b)) => Arc::ptr_eq(&a.info, &b.info),
            (Object::Foreign(a), Object::Foreign(b)) => Arc::ptr_eq(a, b),
            (Object::Extern(a), Object::Extern(b)) => {
                let (a, b) = (AnyRef::from_extern(a.root.get()), AnyRef::from_extern(b.root.get()));
                self.store()?.enter(|cx| same_object(cx, a, b))?
            }
            (Object::Any(a), Object::Any(b)) => {
                self.store()?.enter(|cx| same_object(cx, a.root.get(), b.root.get()))?
            }
            (Object::Exn(a), Object::Exn(b)) => Arc::ptr_eq(a, b),
            _ => false,
        })
    }

    /// Calls `work` with what is attached to the object, which is made if `makes` says so.
    pub(crate) fn with_info<R>(&self, makes: MakesInfo, work: impl FnOnce(&HostInfo) -> R) -> Option<R> {
        Some(match &self.object {
            Object::Item(item) => {
                let store = self.store.as_ref()?;
                let info = match makes {
                    MakesInfo::Yes => store.info_to_set(*item),
                    MakesInfo::No => store.info(*item)?,
                };
                work(&info)
            }
            Object::Module(module) => work(&module.info),
            Object::Trap(problem) => work(&problem.info),
            Object::Foreign(info) => work(info),
            Object::Extern(held) => work(&held.info),
            Object::Any(held) => work(&held.info),
            Object::Exn(held) => work(&held.info),
        })
    }
}

/// Whether there will be information about an object where there is none.
#[derive(Clone, Copy)]
pub(crate) enum MakesInfo {
    Yes,
    No,
}

fn same_object(cx: StoreContextMut<'_, Data>, a: AnyRef, b: AnyRef) -> Result<bool> {
    match (a.as_eq(&cx)?, b.as_eq(&cx)?) {
        (Some(a), Some(b)) => EqRef::same(&cx, a, b),
        (None, None) => Ok(match (a.get(&cx), b.get(&cx)) {
            (Some(a), Some(b)) => Arc::ptr_eq(&a, &b),
            _ => false,
        }),
        _ => Ok(false),
    }
}

/// A value of a reference type, of what C gives for it.
pub(crate) fn to_val(mut cx: StoreContextMut<'_, Data>, given: Option<&Ref>, wanted: RefType) -> Result<Val> {
    let hierarchy = Hierarchy::of(wanted.heap, cx.engine());
    let Some(given) = given else { return Ok(hierarchy.null()) };
    match (hierarchy, &given.object) {
        (Hierarchy::Func, Object::Item(Identity::Func(func))) => Ok((*func).into()),
        (Hierarchy::Extern, Object::Extern(held)) => Ok(held.root.get().into()),
        (Hierarchy::Extern, Object::Any(held)) => Ok(held.root.get().to_extern().into()),
        (Hierarchy::Any, Object::Any(held)) => Ok(held.root.get().into()),
        (Hierarchy::Exn, Object::Exn(held)) => Ok(held.root.get().into()),
        (Hierarchy::Any, Object::Extern(held)) => Ok(AnyRef::from_extern(held.root.get()).into()),
        (Hierarchy::Extern | Hierarchy::Any, Object::Exn(_)) | (Hierarchy::Func | Hierarchy::Exn, _) => {
            Err(usage(format!("the reference is none to {wanted}")))
        }
        (_, object) => {
            let store = given.store.as_ref().map(Arc::downgrade);
            let host = ExternRef::new(cx.as_context_mut(), HostObject { object: object.clone(), store })?;
            Ok(match hierarchy {
                Hierarchy::Extern => host.into(),
                _ => AnyRef::from_extern(host).into(),
            })
        }
    }
}

/// What C is given for a value of a reference type.
pub(crate) fn of_val(mut cx: StoreContextMut<'_, Data>, store: &StoreRef, value: Val) -> Result<Own<Ref>> {
    fn held<R: Reference>(mut cx: StoreContextMut<'_, Data>, reference: R) -> Result<Arc<Held<R>>> {
        let root = reference.to_owned_rooted(cx.as_context_mut())?;
        Ok(Arc::new(Held { root, info: HostInfo::default() }))
    }
    let cx = cx.as_context_mut();
    let of_host = |data: Option<Arc<dyn Any + Send + Sync>>| {
        let HostObject { object, store } = data?.downcast_ref::<HostObject>()?.clone();
        Some((object, store))
    };
    // An object comes back as what it was, of the store that it was of.
    let mut store = Some(Arc::clone(store));
    let mut as_it_was = |(object, of): (Object, Option<Weak<StoreCell>>)| {
        store = of.map(|of| of.upgrade().ok_or_else(|| usage("the object's store is gone"))).transpose()?;
        Ok::<Object, innkeeper::Error>(object)
    };
    let object = match value {
        Val::FuncRef(Some(func)) => Object::Item(Identity::Func(func)),
        Val::ExternRef(Some(reference)) => match of_host(reference.get(&cx)) {
            Some(host) => as_it_was(host)?,
            None => Object::Extern(held(cx, reference)?),
        },
        Val::AnyRef(Some(reference)) => match of_host(reference.get(&cx)) {
            Some(host) => as_it_was(host)?,
            None => Object::Any(held(cx, reference)?),
        },
        Val::ExnRef(Some(reference)) => Object::Exn(held(cx, reference)?),
        _ => return Ok(Own::NULL),
    };
    Ok(Own::new(Ref { store, object }))
}
