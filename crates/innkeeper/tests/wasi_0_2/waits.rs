//! In calls that can wait, whatever a guest of WASI 0.2 waits for holds no thread: each function that may wait goes on when what it waits for is there, is ended by a deadline,
//! and can be dropped meanwhile; and guests that wait for each other share a thread.

use std::pin::pin;
use std::time::{Duration, Instant};

use innkeeper::component::{Func, Val};
use innkeeper::wasi::keys::{Keys, Sink, StdoutKey};
use innkeeper::{Error, Trap};

use super::blocked::{NEVER, WAITING, World, params};
use super::driver::{Driver, resource};
use super::sleeper::{SOON, Sleeper};
use super::sockets::{Program, keys};
use super::{drivers, engines};

const MOMENT: Duration = Duration::from_millis(50);

/// Calls a function in a way that can wait; gives whether it has succeeded by its own word.
async fn call(driver: &mut Driver, func: Func, params: &[Val]) -> Result<bool, Error> {
    let has_result = func.ty(&driver.store)?.result().is_some();
    let mut results = vec![Val::Bool(false); usize::from(has_result)];
    func.call_async(&mut driver.store, params, &mut results).await?;
    Ok(!matches!(results.pop(), Some(Val::Result(Err(_)))))
}

#[test]
fn what_waits_suspends_and_goes_on() {
    for name in WAITING {
        for number in 0..2 {
            let mut world = World::new();
            let [one, other] = drivers(&world.keys());
            let mut driver = if number == 0 { one } else { other };
            let (params, func) = (params(&mut driver, name, MOMENT), driver.func(name));
            let sleeper = Sleeper::new();
            let mut waiting = pin!(call(&mut driver, func, &params));
            assert!(sleeper.poll(waiting.as_mut()).is_pending(), "{name}");
            world.act(name);
            assert!(sleeper.run(waiting).unwrap(), "{name}");
        }
    }
}

/// What waits by itself is not woken by anybody: the deadline does it.
#[test]
fn a_deadline_ends_what_waits() {
    let world = World::new();
    for name in WAITING {
        for mut driver in drivers(&world.keys()) {
            let begin = Instant::now();
            let (params, func) = (params(&mut driver, name, NEVER), driver.func(name));
            driver.store.set_deadline(Some(MOMENT)).unwrap();
            let ended = Sleeper::new().run(pin!(call(&mut driver, func, &params)));
            let is_deadline = |error: &Error| error.trap() == Some(Trap::DeadlineExceeded);
            assert!(ended.as_ref().is_err_and(is_deadline), "{name}: {ended:?}");
            assert!(begin.elapsed() < SOON, "{name}");
        }
    }
}

/// What is dropped in mid-wait has taken nothing, what was lent for it is given back, and the store goes on with other instances.
#[test]
fn what_waits_can_be_dropped() {
    for name in WAITING {
        for number in 0..2 {
            let mut world = World::new();
            let [one, other] = drivers(&world.keys());
            let mut driver = if number == 0 { one } else { other };
            let (params, func) = (params(&mut driver, name, NEVER), driver.func(name));
            {
                let mut waiting = Box::pin(call(&mut driver, func, &params));
                assert!(Sleeper::new().poll(waiting.as_mut()).is_pending(), "{name}");
            }
            let told = driver.call("subscribe-duration", &[Val::U64(0)]).unwrap_err().to_string();
            assert!(told.contains("cannot enter component instance"), "{name}: {told}");
            driver.instantiate();
            let soon = resource(driver.call("subscribe-duration", &[Val::U64(0)]).unwrap());
            driver.call("[method]pollable.block", &[Val::Resource(soon)]).unwrap();
            if name.contains("input-stream") || name.contains("splice") {
                // It is the next one's.
                world.act(name);
                let stdin = resource(driver.call("get-stdin", &[]).unwrap());
                let params = [Val::Resource(stdin), Val::U64(9)];
                let read = driver.outcome("[method]input-stream.blocking-read", &params).unwrap();
                assert_eq!(read, Some(super::driver::bytes_val(b"x")), "{name}");
            }
        }
    }
}

/// A call that cannot wait holds its thread, also where the store's last call could wait.
#[test]
fn a_synchronous_call_holds_the_thread() {
    for name in WAITING {
        for number in 0..2 {
            let mut world = World::new();
            let [one, other] = drivers(&world.keys());
            let mut driver = if number == 0 { one } else { other };
            let (soon, func) = (params(&mut driver, "poll", Duration::ZERO), driver.func("poll"));
            assert!(Sleeper::new().run(pin!(call(&mut driver, func, &soon))).unwrap());
            let params = params(&mut driver, name, MOMENT);
            let beside = std::thread::spawn(move || {
                std::thread::sleep(MOMENT);
                world.act(name);
                world
            });
            let answer = driver.call(name, &params).unwrap();
            assert!(!matches!(answer, Some(Val::Result(Err(_)))), "{name}: {answer:?}");
            drop(beside.join().unwrap());
        }
    }
}

/// A server that accepts, and a client that it answers, on one thread: each waits for what the other does.
#[test]
fn two_programs_on_one_thread_answer_each_other() {
    for engine in engines() {
        let (send, printed) = std::sync::mpsc::channel();
        let sink = Sink::callback(move |bytes: &[u8]| drop(send.send(bytes.to_vec())));
        let keys_of_server = keys(&["serve", "127.0.0.1:0", "1"], &["listen:127.0.0.1:0"])
            .stdout(StdoutKey::Sink(sink))
            .build();
        let mut server = Program::new(&engine, &keys_of_server);
        let sleeper = Sleeper::new();
        let mut serving = pin!(server.run_async());
        assert!(sleeper.poll(serving.as_mut()).is_pending());
        let line = String::from_utf8(printed.try_iter().flatten().collect()).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        let mut client =
            Program::new(&engine, &keys(&["client", &address], &[&format!("connect:{address}")]).build());
        let calling = pin!(client.run_async());
        let both = smol::future::zip(serving, calling);
        let (served, called) = sleeper.run(pin!(both));
        assert_eq!((served.unwrap(), called.unwrap()), (0, 0));
    }
}

/// Many guests that sleep take as long as one of them.
#[test]
fn guests_sleep_beside_each_other() {
    const GUESTS: u32 = 20;
    const SLEEP: Duration = Duration::from_millis(200);
    let mut sleeping = Vec::new();
    let begin = Instant::now();
    for _ in 0..GUESTS {
        let [mut driver, _] = drivers(&Keys::default());
        sleeping.push(Box::pin(async move {
            let params = params(&mut driver, "poll", SLEEP);
            let func = driver.func("poll");
            call(&mut driver, func, &params).await.unwrap();
        }));
    }
    let sleeper = Sleeper::new();
    for one in &mut sleeping {
        assert!(sleeper.poll(one.as_mut()).is_pending());
    }
    for mut one in sleeping {
        sleeper.run(one.as_mut());
    }
    assert!(begin.elapsed() >= SLEEP);
    assert!(begin.elapsed() < SLEEP * GUESTS, "one after the other");
}
