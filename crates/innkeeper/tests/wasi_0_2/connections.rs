//! TCP connections, one function at a time: when sockets are ready, in each of their states, and what a guest is told once its peer has ended, or has broken the connection off.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::Keys;

use super::driver::{Driver, bytes_val, resource, text_val};
use super::drivers;

fn keys() -> Keys {
    let network = ["connect:127.0.0.1:*", "listen:127.0.0.1:*", "udp-bind:127.0.0.1:*", "resolve:localhost"];
    network.iter().fold(Keys::builder(), |keys, key| keys.net(key.parse().unwrap())).build()
}

fn local(port: u16) -> Val {
    let ip = Val::Tuple([127, 0, 0, 1].map(Val::U8).to_vec());
    Val::variant("ipv4", Some(Val::record([("port", Val::U16(port)), ("address", ip)])))
}

fn port_of(address: Option<Val>) -> u16 {
    match address {
        Some(Val::Variant(_, Some(record))) => match *record {
            Val::Record(fields) => match fields[0].1 {
                Val::U16(port) => port,
                ref other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// A guest's socket.
#[derive(Clone, Copy)]
struct Socket {
    kind: &'static str,
    handle: ResourceAny,
    network: ResourceAny,
}

/// A TCP socket that is connected, with its streams.
struct Connected {
    socket: Socket,
    input: ResourceAny,
    output: ResourceAny,
}

impl Socket {
    fn new(driver: &mut Driver, kind: &'static str) -> Socket {
        let made = driver.outcome(&format!("create-{kind}"), &[Val::enumeration("ipv4")]);
        let network = resource(driver.call("instance-network", &[]).unwrap());
        Socket { kind, handle: resource(made.unwrap()), network }
    }

    fn call(self, driver: &mut Driver, name: &str, rest: &[Val]) -> Result<Option<Val>, String> {
        let params = [&[Val::Resource(self.handle)], rest].concat();
        driver.outcome(&format!("[method]{}.{name}", self.kind), &params)
    }

    fn start(self, driver: &mut Driver, name: &str, port: u16) -> Result<Option<Val>, String> {
        self.call(driver, &format!("start-{name}"), &[Val::Resource(self.network), local(port)])
    }

    fn subscribe(self, driver: &mut Driver) -> ResourceAny {
        subscribe(driver, (self.kind, self.handle))
    }

    /// Connects it.
    fn connect(self, driver: &mut Driver, port: u16) -> Connected {
        self.start(driver, "connect", port).unwrap();
        let pollable = self.subscribe(driver);
        block(driver, pollable);
        let streams = self.call(driver, "finish-connect", &[]).unwrap();
        let Some(Val::Tuple(streams)) = streams else { panic!("{streams:?}") };
        let [input, output] = [0, 1].map(|index| resource(Some(streams[index].clone())));
        Connected { socket: self, input, output }
    }
}

impl Connected {
    /// With a peer that the test holds.
    fn new(driver: &mut Driver) -> (Connected, TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connected = Socket::new(driver, "tcp-socket").connect(driver, port);
        (connected, listener.accept().unwrap().0)
    }

    fn write(&self, driver: &mut Driver, name: &str) -> Result<(), String> {
        let params = [Val::Resource(self.output), bytes_val(b"unread")];
        told(driver, &format!("[method]output-stream.{name}"), &params).map(drop)
    }

    fn read(&self, driver: &mut Driver, length: u64) -> Result<Option<Val>, String> {
        let params = [Val::Resource(self.input), Val::U64(length)];
        told(driver, "[method]input-stream.blocking-read", &params)
    }

    fn await_input(&self, driver: &mut Driver) {
        let pollable = subscribe(driver, ("input-stream", self.input));
        block(driver, pollable);
        driver.drop(pollable);
    }
}

fn subscribe(driver: &mut Driver, (kind, handle): (&str, ResourceAny)) -> ResourceAny {
    resource(driver.call(&format!("[method]{kind}.subscribe"), &[Val::Resource(handle)]).unwrap())
}

fn block(driver: &mut Driver, pollable: ResourceAny) {
    driver.call("[method]pollable.block", &[Val::Resource(pollable)]).unwrap();
}

fn is_ready(driver: &mut Driver, pollable: ResourceAny) -> bool {
    driver.call("[method]pollable.ready", &[Val::Resource(pollable)]).unwrap() == Some(Val::Bool(true))
}

/// What a function of a stream gives; of what it has failed with, the reason.
fn told(driver: &mut Driver, name: &str, params: &[Val]) -> Result<Option<Val>, String> {
    match driver.call(name, params).unwrap() {
        Some(Val::Result(Ok(value))) => Ok(value.map(|value| *value)),
        Some(Val::Result(Err(Some(error)))) => match *error {
            Val::Variant(label, None) => Err(label.to_string()),
            Val::Variant(_, Some(error)) => {
                let reason = driver.call("[method]error.to-debug-string", &[*error]).unwrap();
                let Some(Val::String(reason)) = reason else { panic!("{reason:?}") };
                Err(reason)
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// One pollable serves a socket for as long as it lives: it is ready where what was started can be finished, where somebody can be accepted, and where there is nothing to wait for.
#[test]
fn c110_sockets_are_ready_where_nothing_has_to_be_waited_for() {
    for mut driver in drivers(&keys()) {
        let driver = &mut driver;
        let listener = Socket::new(driver, "tcp-socket");
        let pollable = listener.subscribe(driver);
        assert!(is_ready(driver, pollable), "unbound");
        listener.start(driver, "bind", 0).unwrap();
        assert!(is_ready(driver, pollable), "while it is bound");
        listener.call(driver, "finish-bind", &[]).unwrap();
        assert!(is_ready(driver, pollable), "bound");
        listener.call(driver, "start-listen", &[]).unwrap();
        assert!(is_ready(driver, pollable), "while it begins to listen");
        block(driver, pollable);
        listener.call(driver, "finish-listen", &[]).unwrap();
        assert!(!is_ready(driver, pollable), "nobody has come");
        let port = port_of(listener.call(driver, "local-address", &[]).unwrap());

        let client = Socket::new(driver, "tcp-socket");
        let of_client = client.subscribe(driver);
        assert!(is_ready(driver, of_client), "unbound");
        client.start(driver, "connect", port).unwrap();
        block(driver, of_client);
        block(driver, pollable);
        listener.call(driver, "accept", &[]).unwrap();
        assert!(!is_ready(driver, pollable), "only one has come");
        let streams = client.call(driver, "finish-connect", &[]).unwrap();
        assert!(is_ready(driver, of_client), "connected");
        // Also where nothing can be sent, for which the stream is asked.
        let Some(Val::Tuple(streams)) = streams else { panic!("{streams:?}") };
        let output = resource(Some(streams[1].clone()));
        let room = |driver: &mut Driver| {
            let room = driver.outcome("[method]output-stream.check-write", &[Val::Resource(output)]);
            let Ok(Some(Val::U64(room))) = room else { panic!("{room:?}") };
            room as usize
        };
        let mut left = room(driver);
        while left > 0 {
            let piece = [Val::Resource(output), bytes_val(&vec![0; left])];
            driver.outcome("[method]output-stream.write", &piece).unwrap();
            left = room(driver);
        }
        assert!(is_ready(driver, of_client), "connected, and no room");

        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let refused = Socket::new(driver, "tcp-socket");
        let of_refused = refused.subscribe(driver);
        refused.start(driver, "connect", nobody).unwrap();
        block(driver, of_refused);
        let finished = refused.call(driver, "finish-connect", &[]);
        assert_eq!(finished, Err("connection-refused".to_owned()));
        assert!(is_ready(driver, of_refused), "closed");
    }
}

#[test]
fn c110_datagram_sockets_and_look_ups_are_ready() {
    for mut driver in drivers(&keys()) {
        let driver = &mut driver;
        let socket = Socket::new(driver, "udp-socket");
        let pollable = socket.subscribe(driver);
        assert!(is_ready(driver, pollable), "unbound");
        socket.start(driver, "bind", 0).unwrap();
        assert!(is_ready(driver, pollable), "while it is bound");
        socket.call(driver, "finish-bind", &[]).unwrap();
        assert!(is_ready(driver, pollable), "bound");
        socket.call(driver, "stream", &[Val::Option(None)]).unwrap();
        assert!(is_ready(driver, pollable), "with streams");

        for name in ["192.0.2.1", "localhost"] {
            let look_up = [Val::Resource(socket.network), text_val(name)];
            let found = resource(driver.outcome("resolve-addresses", &look_up).unwrap());
            let pollable = subscribe(driver, ("resolve-address-stream", found));
            // Before there is an answer, with one, and when all addresses were given.
            block(driver, pollable);
            let next = |driver: &mut Driver| {
                let next = "[method]resolve-address-stream.resolve-next-address";
                driver.outcome(next, &[Val::Resource(found)]).unwrap()
            };
            while next(driver) != Some(Val::Option(None)) {
                assert!(is_ready(driver, pollable), "{name}");
            }
            assert!(is_ready(driver, pollable), "{name}");
        }
    }
}

/// How a peer can have left a connection.
const LEFT: [&str; 4] = ["not at all", "by its end", "by both ends", "by a reset"];

/// Has the peer leave, and waits until the guest's socket knows it.
fn leave(driver: &mut Driver, (connected, peer): (&Connected, TcpStream), how: &str) -> Option<TcpStream> {
    let mut peer = peer;
    match how {
        "not at all" => return Some(peer),
        "by its end" => peer.shutdown(Shutdown::Write).unwrap(),
        "by both ends" => {
            connected.socket.call(driver, "shutdown", &[Val::enumeration("send")]).unwrap();
            assert_eq!(peer.read(&mut [0]).unwrap(), 0);
            peer.shutdown(Shutdown::Write).unwrap();
        }
        "by a reset" => {
            // What it has not read resets the connection when it closes.
            connected.write(driver, "blocking-write-and-flush").unwrap();
            assert!(peer.peek(&mut [0; 8]).unwrap() > 0);
            drop(peer);
            connected.await_input(driver);
            return None;
        }
        other => panic!("{other}"),
    }
    connected.await_input(driver);
    Some(peer)
}

/// C110: what is shut down stays so, whoever says it again, and whatever the peer has done. The socket's addresses and options stay what they are: programs' own libraries hold it for connected, and end
/// them where they are told that it is not.
#[test]
fn c110_shutting_down_again_changes_nothing() {
    for mut driver in drivers(&keys()) {
        let driver = &mut driver;
        for left in LEFT {
            for how in ["receive", "send", "both"] {
                let (connected, peer) = Connected::new(driver);
                let there = connected.socket.call(driver, "remote-address", &[]).unwrap();
                let peer = leave(driver, (&connected, peer), left);
                for _ in 0..3 {
                    let shut = connected.socket.call(driver, "shutdown", &[Val::enumeration(how)]);
                    assert_eq!(shut, Ok(None), "{how}, {left}");
                }
                if how != "send" {
                    for length in [0, 10] {
                        let read = connected.read(driver, length);
                        assert_eq!(read, Err("closed".to_owned()), "{how}, {left}");
                    }
                }
                if how != "receive" {
                    let wrote = connected.write(driver, "blocking-write-and-flush");
                    assert_eq!(wrote, Err("closed".to_owned()), "{how}, {left}");
                }
                let remote = connected.socket.call(driver, "remote-address", &[]);
                assert_eq!(remote, Ok(there), "{how}, {left}");
                for (name, rest) in [
                    ("local-address", &[][..]),
                    ("hop-limit", &[]),
                    ("set-hop-limit", &[Val::U8(9)]),
                    ("keep-alive-enabled", &[]),
                    ("set-keep-alive-enabled", &[Val::Bool(true)]),
                    ("set-keep-alive-idle-time", &[Val::U64(1_000_000_000)]),
                    ("set-keep-alive-interval", &[Val::U64(1_000_000_000)]),
                    ("set-keep-alive-count", &[Val::U32(2)]),
                    ("set-receive-buffer-size", &[Val::U64(8192)]),
                    ("set-send-buffer-size", &[Val::U64(8192)]),
                ] {
                    let result = connected.socket.call(driver, name, rest);
                    assert!(result.is_ok(), "{name}, {how}, {left}: {result:?}");
                }
                drop(peer);
            }
        }
    }
}

/// C105: what is written in vain is written to a closed stream, from the first time on; whoever reads is told of the reset, and not of an end, also where a write has heard of it before.
#[test]
fn c105_a_reset_connection_is_closed_for_writing_and_has_failed_for_reading() {
    let closed = || Err::<(), _>("closed".to_owned());
    for mut driver in drivers(&keys()) {
        let driver = &mut driver;
        for is_read_first in [true, false] {
            let (connected, peer) = Connected::new(driver);
            let mut peer = peer;
            peer.write_all(b"last words").unwrap();
            assert!(leave(driver, (&connected, peer), "by a reset").is_none());
            let read = |driver: &mut Driver| {
                let words = connected.read(driver, 10);
                assert_eq!(words, Ok(Some(Val::List(List::U8(b"last words".to_vec())))));
                let failed = connected.read(driver, 10);
                assert_eq!(failed, Err("connection reset".to_owned()), "{is_read_first}");
                assert_eq!(connected.read(driver, 10), Err("closed".to_owned()));
                assert_eq!(connected.read(driver, 0), Err("closed".to_owned()));
            };
            if is_read_first {
                read(driver);
            }
            assert_eq!(connected.write(driver, "blocking-write-and-flush"), closed());
            assert_eq!(connected.write(driver, "blocking-write-and-flush"), closed());
            let room = told(driver, "[method]output-stream.check-write", &[Val::Resource(connected.output)]);
            assert_eq!(room.map(drop), closed());
            if !is_read_first {
                read(driver);
            }
        }
    }
}

/// C104: a connection whose peer has ended is at its end for whoever reads nothing as well.
#[test]
fn c104_a_peer_that_has_ended_is_at_its_end() {
    for mut driver in drivers(&keys()) {
        let driver = &mut driver;
        let (connected, peer) = Connected::new(driver);
        assert_eq!(connected.read(driver, 0), Ok(Some(Val::List(List::U8(vec![])))));
        let peer = leave(driver, (&connected, peer), "by its end");
        for length in [10, 0, 10, 0] {
            assert_eq!(connected.read(driver, length), Err("closed".to_owned()));
        }
        assert_eq!(connected.write(driver, "blocking-write-and-flush"), Ok(()));
        drop(peer);
    }
}
