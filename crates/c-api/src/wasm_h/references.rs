//! What all references have: copies, identity, host information, and casts.
//!
//! Casts give the same pointer back, or null where the object is of another kind: whoever owns it owns it still.

use std::ffi::c_void;

use crate::boundary::{Finalizer, In, Lent, Own, c_functions};
use crate::object::{Identity, MakesInfo, Object, Ref};

/// What every kind of reference has, under names of its own.
macro_rules! reference_functions {
    ($($delete:ident $copy:ident $same:ident $get_host_info:ident $set_host_info:ident $set_host_info_with_finalizer:ident;)*) => {
        c_functions! {$(
            fn $delete(reference: Own<Ref>) {
                drop(reference.take());
                Ok(())
            }
            fn $copy(reference: In<Ref>) -> Own<Ref> {
                Ok(Own::new(reference.get("the object to copy")?.clone()))
            }
            fn $same(a: In<Ref>, b: In<Ref>) -> bool {
                match (a.option(), b.option()) {
                    (Some(a), Some(b)) => a.same(b),
                    (None, None) => Ok(true),
                    _ => Ok(false),
                }
            }
            fn $get_host_info(reference: In<Ref>) -> *mut c_void {
                let info = reference.get("the object")?.with_info(MakesInfo::No, |info| info.get());
                Ok(info.unwrap_or(std::ptr::null_mut()))
            }
            fn $set_host_info(reference: In<Ref>, info: *mut c_void) {
                reference.get("the object")?.with_info(MakesInfo::Yes, |host| host.set(info, None));
                Ok(())
            }
            fn $set_host_info_with_finalizer(reference: In<Ref>, info: *mut c_void, finalizer: Option<Finalizer>) {
                reference.get("the object")?.with_info(MakesInfo::Yes, |host| host.set(info, finalizer));
                Ok(())
            }
        )*}
    };
}

/// Casts to a kind that has all the others (to the left) and back.
macro_rules! casts {
    ($($to:ident $to_const:ident $from:ident $from_const:ident: $pattern:pat,)*) => {
        c_functions! {$(
            fn $to(reference: In<Ref>) -> Lent<Ref> {
                Ok(reference.lent())
            }
            fn $to_const(reference: In<Ref>) -> Lent<Ref> {
                Ok(reference.lent())
            }
            fn $from(reference: In<Ref>) -> Lent<Ref> {
                let is_one = reference.option().is_some_and(|reference| matches!(reference.object, $pattern));
                Ok(if is_one { reference.lent() } else { Lent::null() })
            }
            fn $from_const(reference: In<Ref>) -> Lent<Ref> {
                let is_one = reference.option().is_some_and(|reference| matches!(reference.object, $pattern));
                Ok(if is_one { reference.lent() } else { Lent::null() })
            }
        )*}
    };
}

reference_functions! {
    wasm_ref_delete wasm_ref_copy wasm_ref_same wasm_ref_get_host_info wasm_ref_set_host_info wasm_ref_set_host_info_with_finalizer;
    wasm_trap_delete wasm_trap_copy wasm_trap_same wasm_trap_get_host_info wasm_trap_set_host_info wasm_trap_set_host_info_with_finalizer;
    wasm_foreign_delete wasm_foreign_copy wasm_foreign_same wasm_foreign_get_host_info wasm_foreign_set_host_info wasm_foreign_set_host_info_with_finalizer;
    wasm_module_delete wasm_module_copy wasm_module_same wasm_module_get_host_info wasm_module_set_host_info wasm_module_set_host_info_with_finalizer;
    wasm_func_delete wasm_func_copy wasm_func_same wasm_func_get_host_info wasm_func_set_host_info wasm_func_set_host_info_with_finalizer;
    wasm_global_delete wasm_global_copy wasm_global_same wasm_global_get_host_info wasm_global_set_host_info wasm_global_set_host_info_with_finalizer;
    wasm_table_delete wasm_table_copy wasm_table_same wasm_table_get_host_info wasm_table_set_host_info wasm_table_set_host_info_with_finalizer;
    wasm_memory_delete wasm_memory_copy wasm_memory_same wasm_memory_get_host_info wasm_memory_set_host_info wasm_memory_set_host_info_with_finalizer;
    wasm_extern_delete wasm_extern_copy wasm_extern_same wasm_extern_get_host_info wasm_extern_set_host_info wasm_extern_set_host_info_with_finalizer;
    wasm_instance_delete wasm_instance_copy wasm_instance_same wasm_instance_get_host_info wasm_instance_set_host_info wasm_instance_set_host_info_with_finalizer;
}

casts! {
    wasm_trap_as_ref wasm_trap_as_ref_const wasm_ref_as_trap wasm_ref_as_trap_const: Object::Trap(_),
    wasm_foreign_as_ref wasm_foreign_as_ref_const wasm_ref_as_foreign wasm_ref_as_foreign_const: Object::Foreign(_),
    wasm_module_as_ref wasm_module_as_ref_const wasm_ref_as_module wasm_ref_as_module_const: Object::Module(_),
    wasm_func_as_ref wasm_func_as_ref_const wasm_ref_as_func wasm_ref_as_func_const: Object::Item(Identity::Func(_)),
    wasm_global_as_ref wasm_global_as_ref_const wasm_ref_as_global wasm_ref_as_global_const: Object::Item(Identity::Global(_)),
    wasm_table_as_ref wasm_table_as_ref_const wasm_ref_as_table wasm_ref_as_table_const: Object::Item(Identity::Table(_)),
    wasm_memory_as_ref wasm_memory_as_ref_const wasm_ref_as_memory wasm_ref_as_memory_const: Object::Item(Identity::Memory(_)),
    wasm_extern_as_ref wasm_extern_as_ref_const wasm_ref_as_extern wasm_ref_as_extern_const: Object::Item(Identity::Func(_) | Identity::Global(_) | Identity::Table(_) | Identity::Memory(_) | Identity::Tag(_)),
    wasm_instance_as_ref wasm_instance_as_ref_const wasm_ref_as_instance wasm_ref_as_instance_const: Object::Item(Identity::Instance(_)),
    wasm_func_as_extern wasm_func_as_extern_const wasm_extern_as_func wasm_extern_as_func_const: Object::Item(Identity::Func(_)),
    wasm_global_as_extern wasm_global_as_extern_const wasm_extern_as_global wasm_extern_as_global_const: Object::Item(Identity::Global(_)),
    wasm_table_as_extern wasm_table_as_extern_const wasm_extern_as_table wasm_extern_as_table_const: Object::Item(Identity::Table(_)),
    wasm_memory_as_extern wasm_memory_as_extern_const wasm_extern_as_memory wasm_extern_as_memory_const: Object::Item(Identity::Memory(_)),
}
