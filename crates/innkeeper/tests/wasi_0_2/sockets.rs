//! Sockets and names, as programs use them: cases S1 to S5 of the sandbox through WASI 0.2, every function in every state, and what programs print beside what another host
//! prints.
//!
//! The program is guests/sockets, which says how it is built. What it prints of states is in sockets.expected, and is what wasmtime prints with
//! `-S inherit-network,allow-ip-name-lookup,tcp,udp`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use innkeeper::component::{Component, Linker};
use innkeeper::wasi::host::{MissingKey, Transport};
use innkeeper::wasi::keys::{Capture, Keys, KeysBuilder, Sink, StdoutKey};
use innkeeper::wasi::p2;
use innkeeper::{Engine, Error, Store, Trap};

use super::engines;
use super::surface::functions;
use super::types::IMPORTS;

const PROGRAM: &[u8] = include_bytes!("../../../../guests/sockets/sockets.wasm");
const STATES: &str = include_str!("sockets.expected");

pub(crate) fn keys(arguments: &[&str], network: &[&str]) -> KeysBuilder {
    let keys = Keys::builder().argument("sockets").arguments(arguments.iter().copied());
    network.iter().fold(keys, |keys, key| keys.net(key.parse().unwrap()))
}

/// The program in a store of its own.
pub(crate) struct Program {
    store: Store<p2::Context>,
    linker: Linker<p2::Context>,
    component: Component,
}

impl Program {
    pub(crate) fn new(engine: &Engine, keys: &Keys) -> Program {
        let mut linker = Linker::new(engine);
        p2::add_to_linker(&mut linker, |context: &mut p2::Context| context).unwrap();
        let store = Store::new(engine, p2::Context::new(keys).unwrap()).unwrap();
        Program { store, linker, component: Component::new(engine, PROGRAM).unwrap() }
    }

    fn run(&mut self) -> Result<i32, Error> {
        let instance = self.linker.instantiate(&mut self.store, &self.component)?;
        p2::call_run(&mut self.store, instance)
            .or_else(|error| innkeeper::wasi::exit_code(&error).ok_or(error))
    }

    #[cfg(feature = "async")]
    pub(crate) async fn run_async(&mut self) -> Result<i32, Error> {
        let instance = self.linker.instantiate_async(&mut self.store, &self.component).await?;
        p2::call_run_async(&mut self.store, instance).await
    }
}

/// Runs the program to its end; gives what it printed, and which keys it lacked, as flags.
fn run(arguments: &[&str], network: &[&str]) -> (String, Vec<String>) {
    let [engine, _] = engines();
    run_in(&engine, arguments, network)
}

fn run_in(engine: &Engine, arguments: &[&str], network: &[&str]) -> (String, Vec<String>) {
    let printed = Capture::new(1 << 20);
    let keys = keys(arguments, network).stdout(StdoutKey::Capture(printed.clone())).build();
    let mut program = Program::new(engine, &keys);
    let code = program.run();
    let missing = program.store.data().host().denials().into_iter().map(|denial| match denial.missing {
        MissingKey::Network { key } => key.to_string(),
        // Any key to use it will do.
        MissingKey::Socket { transport: Transport::Tcp } => String::from("connect:192.0.2.1:9"),
        MissingKey::Socket { transport: Transport::Udp } => String::from("udp:192.0.2.1:9"),
        missing => panic!("{missing:?}"),
    });
    let missing = missing.collect();
    assert!(code.is_ok(), "{code:?}");
    (String::from_utf8(printed.contents()).unwrap(), missing)
}

/// Runs the program on a thread; gives what it prints, piece by piece.
fn start(arguments: &[&str], network: &[&str]) -> (Receiver<String>, thread::JoinHandle<i32>) {
    let (send, printed) = channel();
    let sink =
        Sink::callback(move |bytes: &[u8]| drop(send.send(String::from_utf8_lossy(bytes).into_owned())));
    let keys = keys(arguments, network).stdout(StdoutKey::Sink(sink)).build();
    let running = thread::spawn(move || {
        let [engine, _] = engines();
        Program::new(&engine, &keys).run().unwrap()
    });
    (printed, running)
}

/// The address that a line of the program's ends with.
fn address_in(printed: &Receiver<String>) -> String {
    let mut line = String::new();
    while !line.ends_with('\n') {
        line += &printed.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    line.trim().rsplit(' ').next().unwrap().to_owned()
}

/// Whether the system has sockets of IPv6 at all, as nearly every one has, with or without addresses for them.
fn has_sockets_of_ipv6() -> bool {
    const NO_SUCH_FAMILY: i32 = 97;
    let bound = std::net::TcpListener::bind("[::]:0");
    bound.err().and_then(|error| error.raw_os_error()) != Some(NO_SUCH_FAMILY)
}

#[test]
fn c110_every_function_in_every_state() {
    if !has_sockets_of_ipv6() {
        println!("not run: the program makes a socket of IPv6, and this system has none");
        return;
    }
    let network = [
        "connect:127.0.0.1:*",
        "listen:*:0",
        "listen:192.0.2.1:0",
        "udp:127.0.0.1:*",
        "udp-bind:127.0.0.1:0",
        "resolve:*",
        "listen:127.0.0.1:*",
    ];
    for engine in engines() {
        let (printed, missing) = run_in(&engine, &["states"], &network);
        let differs = printed.lines().zip(STATES.lines()).find(|(printed, expected)| printed != expected);
        assert!(printed == STATES, "first difference, printed and expected: {differs:?}");
        assert!(missing.is_empty(), "{missing:?}");
    }
}

/// What each function of `wasi:sockets` takes, and there are no others.
#[test]
fn s1_every_function_is_denied_without_its_key_and_the_denial_names_it() {
    /// They reach the network, or whoever has what they give could: the program tries them.
    const NEED_KEYS: &[&str] = &[
        "resolve-addresses",
        "create-tcp-socket",
        "create-udp-socket",
        "tcp-socket.start-bind",
        "tcp-socket.start-connect",
        "tcp-socket.start-listen",
        "udp-socket.start-bind",
        "udp-socket.stream",
        "outgoing-datagram-stream.send",
    ];
    /// They grant nothing, or are of what only those above give.
    const NEED_NONE: &[&str] = &["instance-network"];
    let of_resources = [
        "tcp-socket.",
        "udp-socket.",
        "incoming-datagram-stream.",
        "outgoing-datagram-stream.",
        "resolve-address-stream.",
    ];
    let all: Vec<&str> = functions(IMPORTS)
        .iter()
        .filter(|function| function.interface.starts_with("wasi:sockets/"))
        .map(|function| function.name.trim_start_matches("[method]"))
        .collect();
    assert_eq!(all.len(), 52, "one more is unstable");
    for name in &all {
        let is_known = NEED_KEYS.contains(name)
            || NEED_NONE.contains(name)
            || of_resources.iter().any(|of| name.starts_with(of));
        assert!(is_known, "{name} is in neither list");
    }
    assert!(NEED_KEYS.iter().all(|name| all.contains(name)));

    // Each denial's key is granted, and the program run again, until nothing is denied.
    let mut granted: Vec<String> = Vec::new();
    let (mut denied, mut allowed) = (Vec::new(), Vec::new());
    for _ in 0..NEED_KEYS.len() {
        let network: Vec<&str> = granted.iter().map(String::as_str).collect();
        let (printed, missing) = run(&["without-keys"], &network);
        for line in printed.lines() {
            let (name, result) = line.split_once(": ").unwrap();
            match result {
                "access-denied" => denied.push(name.to_owned()),
                _ => allowed.push(name.to_owned()),
            }
        }
        if missing.is_empty() {
            break;
        }
        assert!(missing.iter().all(|key| !granted.contains(key)), "{missing:?} did not grant");
        granted.extend(missing);
        granted.sort();
        granted.dedup();
    }
    for name in NEED_KEYS {
        assert!(denied.iter().any(|denied| denied == name), "{name} was never denied: {denied:?}");
        // Sockets are made, and tried, once they can be.
        let is_made = name.starts_with("create-");
        assert!(
            is_made || allowed.iter().any(|allowed| allowed == name),
            "{name} stays denied with {granted:?}"
        );
    }
}

#[test]
fn a_client_connects_by_address_and_by_name() {
    for (host, key) in [("127.0.0.1", "connect:127.0.0.1:"), ("localhost", "connect:localhost:")] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(format!("{} bytes\n", question.len()).as_bytes()).unwrap();
        });
        let (printed, missing) = run(&["client", &format!("{host}:{port}")], &[&format!("{key}{port}")]);
        assert_eq!((printed.as_str(), missing), ("9 bytes\n", vec![]));
        peer.join().unwrap();
    }
}

#[test]
fn names_are_looked_up() {
    let (printed, missing) = run(&["resolve", "localhost"], &["resolve:localhost"]);
    let found: Vec<String> = printed.lines().map(String::from).collect();
    let known: Vec<String> =
        ("localhost", 0).to_socket_addrs().unwrap().map(|address| address.ip().to_string()).collect();
    assert!(!found.is_empty() && found.iter().all(|address| known.contains(address)), "{found:?} {known:?}");
    assert!(missing.is_empty());
    let (printed, missing) = run(&["resolve", "localhost"], &["resolve:*.localhost"]);
    assert_eq!((printed.as_str(), missing), ("", vec![String::from("resolve:localhost")]));
}

#[test]
fn a_client_without_the_key_is_told_it() {
    let (_, missing) = run(&["client", "127.0.0.1:7"], &["connect:127.0.0.1:8"]);
    assert_eq!(missing, ["connect:127.0.0.1:7"]);
    let (_, missing) = run(&["client", "localhost:7"], &[]);
    assert_eq!(missing, ["resolve:localhost"]);
}

#[test]
fn a_server_accepts_and_answers() {
    let (printed, running) = start(&["serve", "127.0.0.1:0", "3"], &["listen:127.0.0.1:0"]);
    let address = address_in(&printed);
    for number in 0..3 {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(format!("{number}\n").as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert_eq!(answer, format!("you said {number}\n"));
    }
    assert_eq!(running.join().unwrap(), 0);
}

#[test]
fn datagrams_are_sent_and_answered() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = peer.local_addr().unwrap().to_string();
    let answering = thread::spawn(move || {
        let mut buffer = [0; 16];
        let (count, from) = peer.recv_from(&mut buffer).unwrap();
        peer.send_to(&buffer[..count], from).unwrap();
    });
    let (printed, missing) = run(&["udp", &there], &[&format!("udp:{there}")]);
    assert_eq!((printed.as_str(), missing), ("question\n", vec![]));
    answering.join().unwrap();

    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = client.local_addr().unwrap().port();
    let network = ["udp-bind:127.0.0.1:0", &format!("udp:127.0.0.1:{port}")];
    let (printed, running) = start(&["udp-serve", "127.0.0.1:0", "1"], &network);
    client.send_to(b"hello", address_in(&printed)).unwrap();
    let mut buffer = [0; 16];
    let (count, _) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"hello");
    assert_eq!(running.join().unwrap(), 0);
}

/// C72, and what else no function has an error for: the program is ended, and told why.
#[test]
fn c72_what_is_forbidden_is_a_trap_that_says_so() {
    let network = ["connect:127.0.0.1:*", "udp:127.0.0.1:*", "udp-bind:127.0.0.1:0"];
    for (what, told) in [
        ("send-unasked", "was given 1 datagrams, and `check-send` has allowed 0"),
        ("send-too-many", "was given 17 datagrams, and `check-send` has allowed 16"),
        ("send-twice", "was given 1 datagrams, and `check-send` has allowed 0"),
        ("stream-twice", "`udp-socket.stream` was called before the streams that it gave last were dropped"),
        ("drop-udp-socket-first", "udp-socket was dropped before the wasi:sockets/udp"),
        ("drop-tcp-socket-first", "tcp-socket was dropped before the wasi:io/poll pollable"),
    ] {
        let [engine, _] = engines();
        let ended = Program::new(&engine, &keys(&["misuse", what], &network).build()).run();
        let error = ended.expect_err(what).to_string();
        assert!(error.contains(told), "{what}: {error}");
    }
}

/// Nobody ever answers, connects or sends: the store's deadline ends the wait.
#[test]
fn l4_waits_on_sockets_end_at_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = silent.local_addr().unwrap().to_string();
    let network = [&*format!("connect:{there}"), "listen:127.0.0.1:0", "udp-bind:127.0.0.1:0"];
    for arguments in
        [["client", &there, ""], ["serve", "127.0.0.1:0", "1"], ["udp-serve", "127.0.0.1:0", "1"]]
    {
        let arguments: Vec<&str> = arguments.into_iter().filter(|argument| !argument.is_empty()).collect();
        let [engine, _] = engines();
        let mut program = Program::new(&engine, &keys(&arguments, &network).build());
        program.store.set_deadline(Some(Duration::from_millis(100))).unwrap();
        let ended = program.run();
        assert!(
            ended.as_ref().is_err_and(|error| error.trap() == Some(Trap::DeadlineExceeded)),
            "{arguments:?}: {ended:?}"
        );
    }
}

#[test]
fn network_error_code_is_there_for_whoever_wants_it() {
    let [engine, _] = engines();
    let text = r#"(component
        (import "wasi:io/error@0.2.12" (instance $io (export "error" (type (sub resource)))))
        (alias export $io "error" (type $error))
        (type $network (instance
            (alias outer 1 $error (type $e)) (export "error" (type $error (eq $e)))
            (type $codes (enum "unknown" "access-denied" "not-supported" "invalid-argument" "out-of-memory" "timeout" "concurrency-conflict"
                "not-in-progress" "would-block" "invalid-state" "new-socket-limit" "address-not-bindable" "address-in-use" "remote-unreachable"
                "connection-refused" "connection-reset" "connection-aborted" "datagram-too-large" "name-unresolvable"
                "temporary-resolver-failure" "permanent-resolver-failure"))
            (export "error-code" (type $code (eq $codes)))
            (export "network-error-code" (func (param "err" (borrow $error)) (result (option $code))))))
        (import "wasi:sockets/network@0.2.12" (instance (type $network))))"#;
    let component = Component::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
    let mut program = Program::new(&engine, &Keys::default());
    program.linker.instantiate(&mut program.store, &component).unwrap();
}
