//! What a guest can make the host hold through WASI 0.2 is bounded.

use innkeeper::component::{Type, TypeKind, Val};
use innkeeper::wasi::keys::{Access, Keys, Random, StdinKey, StdoutKey};

use super::driver::{Driver, flags_val, follow, resource, text_val};
use super::{drivers, function_types};

/// D3: descriptors, streams and listings are counted together; what is dropped makes room, and the limit is told.
#[test]
fn d3_handles_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "x").unwrap();
    let mut keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    keys.limits.max_open_handles = 12;
    for mut driver in drivers(&keys) {
        let at = driver.directories()[0].0;
        let mut open = Vec::new();
        let full = loop {
            match driver.open(at, "f", (&[], &["read"])) {
                Ok(file) => open.push(file),
                Err(full) => break full,
            }
        };
        assert_eq!((full.as_str(), open.len()), ("insufficient-memory", 11));
        let told = driver.store.data().host().explain();
        assert!(format!("{told:?}").contains("LimitReached"), "{told:?}");
        assert_eq!(driver.at("read-directory", at, &[]).map(drop), Err("insufficient-memory".to_owned()));
        assert_eq!(
            driver.at("read-via-stream", open[0], &[Val::U64(0)]).map(drop),
            Err("insufficient-memory".to_owned())
        );
        driver.drop(open.pop().unwrap());
        let listing = resource(driver.at("read-directory", at, &[]).unwrap());
        driver.drop(listing);
        let stream = resource(driver.at("read-via-stream", open[0], &[Val::U64(0)]).unwrap());
        driver.drop(stream);
        driver.open(at, "f", (&[], &["read"])).unwrap();
    }
}

/// P7, C109: more random bytes than the guest may make the host hold, or than there can be.
#[test]
fn c109_random_bytes_are_bounded() {
    let mut keys = Keys::builder().random(Random::Seeded(7)).build();
    keys.limits.memory_bytes = Some(64 << 20);
    for length in [1 << 32, u64::MAX, 1 << 30] {
        for mut driver in drivers(&keys) {
            driver.call("get-random-bytes", &[Val::U64(length)]).unwrap_err();
        }
    }
    let some = |driver: &mut Driver| driver.call("get-random-bytes", &[Val::U64(100)]).unwrap();
    let [mut one, mut other] = drivers(&keys);
    assert_eq!(some(&mut one), some(&mut other), "both follow from the seed");
    assert_ne!(some(&mut one), one.call("get-insecure-random-bytes", &[Val::U64(100)]).unwrap());
}

/// Calls that make a handle each, by the function's name; `at` is a directory with a file `f`.
fn makers(driver: &mut Driver) -> Vec<(&'static str, Vec<Val>)> {
    let at = driver.directories()[0].0;
    let file = Val::Resource(driver.open(at, "f", (&[], &["read", "write"])).unwrap());
    let at = Val::Resource(at);
    let mut get = |name: &str| Val::Resource(resource(driver.call(name, &[]).unwrap()));
    let (stdin, stdout) = (get("get-stdin"), get("get-stdout"));
    vec![
        ("get-stdin", vec![]),
        ("get-stdout", vec![]),
        ("get-stderr", vec![]),
        ("get-directories", vec![]),
        ("subscribe-duration", vec![Val::U64(1)]),
        ("subscribe-instant", vec![Val::U64(1)]),
        ("[method]input-stream.subscribe", vec![stdin]),
        ("[method]output-stream.subscribe", vec![stdout]),
        ("[method]descriptor.read-via-stream", vec![file.clone(), Val::U64(0)]),
        ("[method]descriptor.write-via-stream", vec![file.clone(), Val::U64(0)]),
        ("[method]descriptor.append-via-stream", vec![file]),
        ("[method]descriptor.read-directory", vec![at.clone()]),
        (
            "[method]descriptor.open-at",
            vec![at, follow(true), text_val("f"), flags_val(&[]), flags_val(&["read"])],
        ),
    ]
}

/// Whether handles are among what a type is made of that are given away.
pub(crate) fn gives_handles(ty: &Type) -> bool {
    let any = |types: Vec<Type>| types.iter().any(gives_handles);
    match ty.kind() {
        TypeKind::Own => true,
        TypeKind::List(of) | TypeKind::Option(of) => gives_handles(&of),
        TypeKind::Tuple(types) => any(types),
        // Errors are given, too, and are not what is asked for.
        TypeKind::Result(ok, _) => any(ok.into_iter().collect()),
        _ => false,
    }
}

/// L1, Y7: whatever makes handles is refused in the end, and not before the limits; what is held is charged to the guest.
#[test]
fn l1_whatever_makes_handles_is_bounded() {
    const MOST_CALLS: u32 = 200_000;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "x").unwrap();
    let mut keys = Keys::builder()
        .dir(folder.path(), "/work", Access::ReadWrite)
        .stdin(StdinKey::Empty)
        .stdout(StdoutKey::Discard)
        .stderr(StdoutKey::Discard)
        .build();
    keys.limits.memory_bytes = Some(8 << 20);
    keys.limits.max_open_handles = 200;
    let [mut first, _] = drivers(&keys);
    let tried: Vec<&str> = makers(&mut first).into_iter().map(|(name, _)| name).collect();
    for (interface, name, ty) in function_types(&first) {
        // Sockets have a test of their own; of terminals there are none here.
        let is_elsewhere = interface.starts_with("wasi:sockets") || name.starts_with("get-terminal");
        if ty.result().is_some_and(|ty| gives_handles(&ty)) && !is_elsewhere {
            assert!(tried.contains(&&*name), "{interface} {name} is not tried");
        }
    }
    for number in 0..tried.len() {
        for mut driver in drivers(&keys) {
            let (name, params) = makers(&mut driver).swap_remove(number);
            let refused = (0..MOST_CALLS).any(|_| match driver.call(name, &params) {
                Ok(Some(Val::Result(Err(Some(code))))) => {
                    assert_eq!(*code, Val::Enum("insufficient-memory".into()), "{name}");
                    true
                }
                Ok(_) => false,
                Err(error) => {
                    let told = error.to_string();
                    assert!(told.contains("memory_bytes") || told.contains("handles open"), "{name}: {told}");
                    true
                }
            });
            assert!(refused, "{name}");
            let told = format!("{:?}", driver.store.data().host().explain());
            assert!(told.contains("LimitReached"), "{name}: {told}");
        }
    }
}

/// C106: large environments, and names of all kinds.
#[test]
fn c106_arguments_and_environment_of_any_size() {
    let mut keys = Keys::builder().argument("tool").argument("two words").argument("").build();
    keys.environment.push(("BIG".to_owned(), "v".repeat(1 << 20)));
    keys.environment.push(("ü".to_owned(), "€=".to_owned()));
    for mut driver in drivers(&keys) {
        let Some(Val::List(arguments)) = driver.call("get-arguments", &[]).unwrap() else { panic!() };
        assert_eq!(format!("{arguments:?}").matches("String").count(), 3);
        let told = format!("{:?}", driver.call("get-environment", &[]).unwrap());
        assert!(told.len() > 1 << 20 && told.contains("€="));
        assert_eq!(driver.call("initial-cwd", &[]).unwrap(), Some(Val::Option(None)));
    }
}
