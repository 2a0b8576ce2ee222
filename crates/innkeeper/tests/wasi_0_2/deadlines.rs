//! L4: whatever a guest waits for in WASI 0.2, the store's deadline ends it.

use std::time::{Duration, Instant};

use innkeeper::Trap;

use super::blocked::{NEVER, WAITING, World, params};
use super::drivers;
use super::types::bound_functions;

#[test]
fn l4_every_wait_ends_at_the_deadline() {
    let world = World::new();
    for name in WAITING {
        for mut driver in drivers(&world.keys()) {
            let begin = Instant::now();
            let params = params(&mut driver, name, NEVER);
            driver.store.set_deadline(Some(Duration::from_millis(50))).unwrap();
            let ended = driver.call(name, &params);
            let is_deadline = |error: &innkeeper::Error| error.trap() == Some(Trap::DeadlineExceeded);
            assert!(ended.as_ref().is_err_and(is_deadline), "{name}: {ended:?}");
            assert!(begin.elapsed() < Duration::from_secs(10), "{name}");
        }
    }
}

#[test]
fn every_function_that_says_that_it_blocks_is_tried() {
    for function in bound_functions() {
        let name = function.name;
        let is_of_sockets = function.interface.starts_with("wasi:sockets");
        if name.contains("block") && !is_of_sockets {
            let waits = WAITING.contains(&name) || name == "[method]output-stream.blocking-flush";
            assert!(waits, "{name} is not tried");
        }
    }
}
