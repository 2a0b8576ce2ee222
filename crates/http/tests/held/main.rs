//! What guests make their host hold through WASI HTTP, counted byte by byte: every function of both versions, called again and again with the largest that it takes, stays within the guest's budget.
//!
//! A function that no row here calls fails the test, so that a new one is not forgotten.

#[allow(dead_code, reason = "engines and bodies are made otherwise here")]
#[path = "../shared/answering.rs"]
mod answering;
#[path = "../../../innkeeper/tests/counting_allocator/mod.rs"]
mod counting_allocator;
#[path = "../p2/guest.rs"]
mod guest_of_p2;
#[path = "../p3/guest.rs"]
mod guest_of_p3;
mod p2;
mod p3;
#[path = "../../../innkeeper/tests/wasi_0_2/surface.rs"]
mod surface;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use answering::{arrival, component, read, request, run};
use innkeeper::wasi::keys::Keys;
use innkeeper::{Config, Engine, Tiers};
use innkeeper_http::{Failure, Handler as _, Proxy, full};

/// How long something may take that happens soon, on a machine that is busy.
const SOON: Duration = Duration::from_secs(240);

/// What a guest may make its host hold: the memory of its own that each has is a part of it, which no allocator counts.
const LIMIT_BYTES: u64 = 12 << 20;

/// What guests hold without being charged, and what a host takes for one, whatever it does.
const FREE_BYTES: usize = 4 << 20;

/// Something that a guest does again and again.
struct Row {
    /// The functions that it is there for.
    of: &'static [&'static str],
    times: u32,
    /// What else the module has.
    items: &'static str,
    /// What it does first.
    before: &'static str,
    act: &'static str,
}

/// One test at a time: the process's bytes are counted, whoever has them.
static COUNTED: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    COUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a guest, and looks at what was held meanwhile; whether it ended by its limit.
fn check(of: &[&str], proxy: &Proxy) {
    let (outcome, held) = counting_allocator::peak_of(|| run(whole(proxy)));
    match outcome {
        Ok(status) => assert_eq!(status, 299, "{of:?}"),
        Err(Failure::Guest(told)) => {
            let is_good =
                told.contains("may make the host hold") || told.contains("has answered by an error");
            assert!(is_good && told.len() < 1000, "{of:?}: {told}");
        }
        Err(other) => panic!("{of:?}: {other:?}"),
    }
    assert!(held < LIMIT_BYTES as usize + FREE_BYTES, "{of:?}: {held} bytes were held");
}

async fn whole(proxy: &Proxy) -> Result<http::StatusCode, Failure> {
    let mut asked = request("POST", full(vec![b'b'; 300_000]));
    asked.headers_mut().insert("x-long", "a".repeat(10_000).parse().unwrap());
    let response = proxy.handle(asked, arrival(Some(SOON))).await?;
    let status = response.status();
    // Cut short where the guest has ended after its answer.
    let _ = read(response).await;
    Ok(status)
}

/// That the rows call all functions of `wasi:http`, and no others.
fn check_that_all_are_called(imports: &'static str, rows: &[Row]) {
    let all = surface::functions(imports);
    let of_http = all.iter().filter(|function| function.interface.starts_with("wasi:http/"));
    let named: BTreeSet<&str> = of_http.map(|function| function.name).collect();
    let called: BTreeSet<&str> = rows.iter().flat_map(|row| row.of.iter().copied()).collect();
    assert_eq!(named, called);
}

fn keys(upstream: SocketAddr) -> Keys {
    let mut keys = Keys::default();
    keys.limits.memory_bytes = Some(LIMIT_BYTES);
    keys.http.push(format!("*:http://{upstream}").parse().unwrap());
    keys
}

fn engine() -> Engine {
    innkeeper::engine_with(Config::default(), Tiers::Interpreter)
}

/// Whoever answers each request with a head of 56 KB and a body of 60 KB, on threads of its own.
fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let fields: String = (0..8).map(|number| format!("x{number}: {}\r\n", "v".repeat(7000))).collect();
    let head = format!("HTTP/1.1 234 OK\r\nContent-Length: 60000\r\n{fields}\r\n");
    let answer: Arc<[u8]> = [head.as_bytes(), &[b'y'; 60_000]].concat().into();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || answer_all(stream, &answer));
        }
    });
    address
}

/// Heads of these requests end within a read.
fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let mut piece = [0; 8192];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        if piece[..count].ends_with(b"\r\n\r\n") && stream.write_all(answer).is_err() {
            return;
        }
    }
}
