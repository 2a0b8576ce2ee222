//! What a guest can make the host hold through WASI 0.2 is bounded.

use innkeeper::component::Val;
use innkeeper::wasi::host::LimitReached;
use innkeeper::wasi::keys::{Access, Keys, Random, StdoutKey};

use super::driver::{Driver, resource};
use super::drivers;

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

/// L1: what handles stand for is charged to the guest, whatever it is.
#[test]
fn l1_what_is_held_is_charged() {
    let mut keys = Keys::builder().stdout(StdoutKey::Discard).build();
    keys.limits.memory_bytes = Some(16 << 20);
    for mut driver in drivers(&keys) {
        let told = loop {
            if let Err(error) = driver.call("subscribe-duration", &[Val::U64(1)]) {
                break error.to_string();
            }
        };
        assert!(told.contains("Limits::memory_bytes"), "{told}");
        let is_told = |reached: &LimitReached| matches!(reached, LimitReached::Memory { .. });
        let explained = driver.store.data().host().explain();
        let reached = explained.iter().filter_map(|told| match told {
            innkeeper::wasi::host::Explanation::LimitReached(reached) => Some(reached),
            _ => None,
        });
        assert!(reached.into_iter().any(is_told), "{explained:?}");
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
