//! Resources of guests and of the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use innkeeper::Store;
use innkeeper::component::{Linker, ResourceAny, ResourceTable, ResourceType, Trap, Val};

use super::{call, component, engines, instance};

/// Counts in its destructor, with the representation as what is counted.
pub(super) const COUNTER: &str = r#"(component
    (core module $state (global (export "dropped") (mut i32) (i32.const 0)))
    (core instance $state (instantiate $state))
    (core module $dtor (import "state" "dropped" (global $dropped (mut i32)))
        (func (export "dtor") (param i32)
            (global.set $dropped (i32.add (global.get $dropped) (local.get 0)))))
    (core instance $dtor (instantiate $dtor (with "state" (instance $state))))
    (type $r' (resource (rep i32) (dtor (core func $dtor "dtor"))))
    (export $r "r" (type $r'))
    (core func $new (canon resource.new $r'))
    (core func $drop (canon resource.drop $r'))
    (core module $m
        (import "" "new" (func $new (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "state" "dropped" (global $dropped (mut i32)))
        (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
        (func (export "look") (param i32) (result i32) (local.get 0))
        (func (export "take") (param i32) (call $drop (local.get 0)))
        (func (export "dropped") (result i32) (global.get $dropped)))
    (core instance $m (instantiate $m
        (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))
        (with "state" (instance $state))))
    (func (export "make") (param "rep" u32) (result (own $r)) (canon lift (core func $m "make")))
    (func (export "look") (param "r" (borrow $r)) (result u32) (canon lift (core func $m "look")))
    (func (export "take") (param "r" (own $r)) (canon lift (core func $m "take")))
    (func (export "dropped") (result u32) (canon lift (core func $m "dropped"))))"#;

pub(super) fn resource(val: Option<Val>) -> ResourceAny {
    match val {
        Some(Val::Resource(resource)) => resource,
        other => panic!("{other:?}"),
    }
}

/// C67, C69: a borrowed handle is the representation in the resource's own component, and destructors run once.
#[test]
fn c67_c69_resources_of_a_guest_in_the_host() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, COUNTER);
        let first = resource(call(&mut store, instance, "make", &[Val::U32(5)]).unwrap());
        let second = resource(call(&mut store, instance, "make", &[Val::U32(70)]).unwrap());
        assert!(first.is_owned(&mut store).unwrap());
        for _ in 0..2 {
            assert_eq!(call(&mut store, instance, "look", &[first.into()]).unwrap(), Some(Val::U32(5)));
        }
        call(&mut store, instance, "take", &[first.into()]).unwrap();
        assert_eq!(call(&mut store, instance, "dropped", &[]).unwrap(), Some(Val::U32(5)));
        second.drop(&mut store).unwrap();
        assert_eq!(call(&mut store, instance, "dropped", &[]).unwrap(), Some(Val::U32(75)));
    }
}

/// C63: what was given away or dropped is gone, and asking for it says so and harms nothing.
#[test]
fn c63_handles_that_are_gone_are_refused() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, COUNTER);
        let gone = resource(call(&mut store, instance, "make", &[Val::U32(1)]).unwrap());
        call(&mut store, instance, "take", &[gone.into()]).unwrap();
        assert!(gone.drop(&mut store).unwrap_err().to_string().contains("gone"));
        // Its place is taken by another, for which it does not pass.
        let other = resource(call(&mut store, instance, "make", &[Val::U32(2)]).unwrap());
        assert!(gone.is_owned(&mut store).is_err());
        let error = call(&mut store, instance, "look", &[gone.into()]).unwrap_err().to_string();
        assert!(error.contains("`r` does not fit: the resource handle is gone"), "{error}");
        assert!(!instance.is_poisoned(&mut store));
        assert!(other.is_owned(&mut store).unwrap());
        let (mut elsewhere, _) = super::instance(&engine, COUNTER);
        assert!(other.drop(&mut elsewhere).unwrap_err().to_string().contains("another store"));
    }
}

/// C16, C62: two instances of one component have two resource types.
#[test]
fn c16_c62_each_instance_has_its_own_resource_type() {
    for engine in engines() {
        let component = component(&engine, COUNTER);
        let mut store = Store::new(&engine, ()).unwrap();
        let linker = Linker::new(&engine);
        let a = linker.instantiate(&mut store, &component).unwrap();
        let b = linker.instantiate(&mut store, &component).unwrap();
        let of_a = resource(call(&mut store, a, "make", &[Val::U32(1)]).unwrap());
        let error = call(&mut store, b, "look", &[of_a.into()]).unwrap_err().to_string();
        assert!(error.contains("another resource type"), "{error}");
        assert!(!b.is_poisoned(&mut store));
        assert_eq!(call(&mut store, a, "look", &[of_a.into()]).unwrap(), Some(Val::U32(1)));
    }
}

/// Makes a resource of the host's, lends it, keeps a borrowed one too long, and drops what it owns.
pub(super) const USES_FILE: &str = r#"(component
    (import "files" (instance $files
        (export "file" (type $file (sub resource)))
        (export "open" (func (param "n" u32) (result (own $file))))
        (export "read" (func (param "f" (borrow $file)) (result u32)))))
    (alias export $files "file" (type $file))
    (core func $open (canon lower (func $files "open")))
    (core func $read (canon lower (func $files "read")))
    (core func $drop (canon resource.drop $file))
    (core module $m
        (import "" "open" (func $open (param i32) (result i32)))
        (import "" "read" (func $read (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "run") (result i32) (local $file i32) (local $read i32)
            (local.set $file (call $open (i32.const 41)))
            (local.set $read (call $read (local.get $file)))
            (call $drop (local.get $file))
            (local.get $read))
        (func (export "keep") (param i32))
        (func (export "use") (param i32) (result i32)
            (call $read (local.get 0)) (call $drop (local.get 0)))
        (func (export "double-drop") (call $drop (call $open (i32.const 1))) (call $drop (i32.const 1))))
    (core instance $m (instantiate $m (with "" (instance
        (export "open" (func $open)) (export "read" (func $read)) (export "drop" (func $drop))))))
    (func (export "run") (result u32) (canon lift (core func $m "run")))
    (func (export "keep") (param "f" (borrow $file)) (canon lift (core func $m "keep")))
    (func (export "use") (param "f" (borrow $file)) (result u32) (canon lift (core func $m "use")))
    (func (export "double-drop") (canon lift (core func $m "double-drop"))))"#;

/// A linker whose stores count the files that were closed.
fn files(engine: &innkeeper::Engine, ty: &ResourceType) -> Linker<Vec<u32>> {
    let mut linker: Linker<Vec<u32>> = Linker::new(engine);
    let mut files = linker.instance("files").unwrap();
    files.resource("file", ty, |mut store, rep| {
        store.data_mut().push(rep);
        Ok(())
    });
    let open = ty.clone();
    files.func_new("open", move |mut store, params, results| {
        let Val::U32(number) = params[0] else { unreachable!() };
        results[0] = ResourceAny::new(&mut store, &open, number)?.into();
        Ok(())
    });
    let read = ty.clone();
    files.func_new("read", move |mut store, params, results| {
        let Val::Resource(file) = params[0] else { unreachable!() };
        assert!(!file.is_owned(&mut store)?);
        results[0] = Val::U32(file.rep(&mut store, &read)? + 1);
        Ok(())
    });
    linker
}

#[test]
fn c64_c71_resources_of_the_host_in_a_guest() {
    for engine in engines() {
        let ty = ResourceType::new("file");
        let linker = files(&engine, &ty);
        let component = component(&engine, USES_FILE);
        let mut store = Store::new(&engine, Vec::new()).unwrap();
        let instance = linker.instantiate(&mut store, &component).unwrap();
        assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), Some(Val::U32(42)));
        assert_eq!(*store.data(), [41]);
        let file = ResourceAny::new(&mut store, &ty, 6).unwrap();
        assert_eq!(call(&mut store, instance, "use", &[file.into()]).unwrap(), Some(Val::U32(7)));
        assert_eq!(file.rep(&mut store, &ty).unwrap(), 6);
        // C64: a borrowed handle is kept beyond the call.
        let error = call(&mut store, instance, "keep", &[file.into()]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::BorrowsRemain), "{error}");
        // The host's own handle can be used, whatever became of the guest.
        file.drop(&mut store).unwrap();
        assert_eq!(*store.data(), [41, 6]);
    }
}

#[test]
fn c63_a_handle_dropped_twice_traps() {
    for engine in engines() {
        let linker = files(&engine, &ResourceType::new("file"));
        let mut store = Store::new(&engine, Vec::new()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, USES_FILE)).unwrap();
        let error = call(&mut store, instance, "double-drop", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnknownHandle(1)));
        assert_eq!(error.to_string(), "wasm trap: unknown handle index 1");
    }
}

/// C65, C66: what is lent or given twice in one call.
#[test]
fn c65_c66_a_resource_in_two_places_of_one_call() {
    let text = r#"(component
        (type $r' (resource (rep i32)))
        (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core module $m (import "" "new" (func $new (param i32) (result i32)))
            (func (export "make") (result i32) (call $new (i32.const 3)))
            (func (export "two") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
            (func (export "both") (param i32 i32)))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new))))))
        (func (export "make") (result (own $r)) (canon lift (core func $m "make")))
        (func (export "two") (param "a" (borrow $r)) (param "b" (borrow $r)) (result u32)
            (canon lift (core func $m "two")))
        (func (export "both") (param "a" (borrow $r)) (param "b" (own $r)) (canon lift (core func $m "both"))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let made = resource(call(&mut store, instance, "make", &[]).unwrap());
        let twice = [made.into(), made.into()];
        assert_eq!(call(&mut store, instance, "two", &twice).unwrap(), Some(Val::U32(6)));
        // What is lent in the same call cannot be given away.
        let error = call(&mut store, instance, "both", &twice).unwrap_err().to_string();
        assert!(error.contains("lent"), "{error}");
        assert!(!instance.is_poisoned(&mut store));
        assert!(made.is_owned(&mut store).unwrap());
    }
}

/// C69: a destructor that traps ends its instance, and of one that has ended none is run.
#[test]
fn c69_destructors_that_trap_and_those_of_what_has_trapped() {
    let text = r#"(component
        (core module $d (func (export "dtor") (param i32) (if (i32.eq (local.get 0) (i32.const 9)) (then (unreachable)))))
        (core instance $d (instantiate $d))
        (type $r' (resource (rep i32) (dtor (core func $d "dtor")))) (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core module $m (import "" "new" (func $new (param i32) (result i32)))
            (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
            (func (export "trap") (unreachable)))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new))))))
        (func (export "make") (param "rep" u32) (result (own $r)) (canon lift (core func $m "make")))
        (func (export "trap") (canon lift (core func $m "trap"))))"#;
    for engine in engines() {
        let (mut store, made) = instance(&engine, text);
        let good = resource(call(&mut store, made, "make", &[Val::U32(1)]).unwrap());
        let bad = resource(call(&mut store, made, "make", &[Val::U32(9)]).unwrap());
        good.drop(&mut store).unwrap();
        let error = bad.drop(&mut store).unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable), "{error}");
        assert!(made.is_poisoned(&mut store));
        // It was dropped all the same.
        assert!(bad.drop(&mut store).unwrap_err().to_string().contains("gone"));

        let (mut store, made) = instance(&engine, text);
        let left = resource(call(&mut store, made, "make", &[Val::U32(9)]).unwrap());
        call(&mut store, made, "trap", &[]).unwrap_err();
        let error = left.drop(&mut store).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
    }
}

/// C68: a borrowed handle is no result, and none goes to who keeps it.
#[test]
fn c68_borrowed_handles_in_results_are_refused() {
    let text = r#"(component
        (type $r' (resource (rep i32))) (export $r "r" (type $r'))
        (core module $m (func (export "f") (result i32) (i32.const 0))) (core instance $m (instantiate $m))
        (func (export "f") (result (borrow $r)) (canon lift (core func $m "f"))))"#;
    let engine = innkeeper::engine(innkeeper::Config::default());
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap();
    let error = innkeeper::component::Component::new(&engine, bytes).unwrap_err().to_string();
    assert!(error.contains("borrow"), "{error}");
}

/// What has a destructor of the host's, and is counted where it goes.
struct Kept(Arc<AtomicU32>);

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// C73: handles that guests have left behind go with the store, and no destructor is run for them, of a guest or of the host. What stands behind those of the host is in the store's data, and goes once, with that.
#[test]
fn c73_what_is_left_goes_with_the_store() {
    let text = r#"(component
        (import "note" (func $note))
        (import "files" (instance $files
            (export "file" (type $file (sub resource)))
            (export "open" (func (result (own $file))))))
        (alias export $files "file" (type $file))
        (core func $open (canon lower (func $files "open"))) (core func $note (canon lower (func $note)))
        (core func $drop-file (canon resource.drop $file))
        (core module $d (import "" "note" (func $note)) (func (export "dtor") (param i32) (call $note)))
        (core instance $d (instantiate $d (with "" (instance (export "note" (func $note))))))
        (type $r (resource (rep i32) (dtor (core func $d "dtor"))))
        (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
        (core module $m (import "" "open" (func $open (result i32))) (import "" "new" (func $new (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32))) (import "" "drop-file" (func $drop-file (param i32)))
            ;; Three of each, of which one is dropped.
            (func (export "run") (drop (call $open)) (drop (call $open)) (call $drop-file (call $open))
                (drop (call $new (i32.const 1))) (drop (call $new (i32.const 2))) (call $drop (call $new (i32.const 3)))))
        (core instance $m (instantiate $m (with "" (instance (export "open" (func $open)) (export "new" (func $new))
            (export "drop" (func $drop)) (export "drop-file" (func $drop-file))))))
        (func (export "run") (canon lift (core func $m "run"))))"#;
    for engine in engines() {
        let [gone, by_guest, by_host]: [Arc<AtomicU32>; 3] = Default::default();
        let counts = || [&gone, &by_guest, &by_host].map(|count| count.load(Ordering::Relaxed));
        let mut linker: Linker<ResourceTable> = Linker::new(&engine);
        let noted = Arc::clone(&by_guest);
        linker.root().func_wrap("note", move |_, ()| {
            noted.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let mut files = linker.instance("files").unwrap();
        let destroyed = Arc::clone(&by_host);
        files.resource_of::<Kept>("file", move |mut store, file| {
            destroyed.fetch_add(1, Ordering::Relaxed);
            store.data_mut().delete(file).map(drop)
        });
        let opened = Arc::clone(&gone);
        files.func_wrap("open", move |mut store, ()| store.data_mut().push(Kept(Arc::clone(&opened))));
        let mut store = Store::new(&engine, ResourceTable::new()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        call(&mut store, instance, "run", &[]).unwrap();
        assert_eq!(counts(), [1, 1, 1]);
        let budget = store.budget().clone();
        drop(store);
        assert_eq!(counts(), [3, 1, 1], "values of the host go with the data, and nothing is run");
        assert_eq!(budget.used_bytes(), 0);
    }
}
