//! Sockets and names: what goes over connections, datagrams, states, and what there is no key for.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::{Capture, Keys, StdinKey, StdoutKey};

use super::driver::{Driver, bytes_val, resource, text_val};
use super::program::{Ends, start};
use super::{drivers, engines};

fn keys(network: &[&str]) -> Keys {
    network.iter().fold(Keys::builder(), |keys, key| keys.net(key.parse().unwrap())).build()
}

/// An address of IPv4.
fn address(ip: [u8; 4], port: u16) -> Val {
    let ip = Val::Tuple(ip.map(Val::U8).to_vec());
    Val::variant("ipv4", Some(Val::record([("port", Val::U16(port)), ("address", ip)])))
}

fn local(port: u16) -> Val {
    address([127, 0, 0, 1], port)
}

fn family(name: &str) -> Val {
    Val::enumeration(name)
}

fn socket(driver: &mut Driver, kind: &str) -> ResourceAny {
    resource(driver.outcome(&format!("[static]{kind}.create"), &[family("ipv4")]).unwrap())
}

fn method(driver: &mut Driver, socket: ResourceAny, name: &str, rest: &[Val]) -> Result<Option<Val>, String> {
    driver.outcome(&format!("[method]{name}"), &[&[Val::Resource(socket)], rest].concat())
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

fn said<R>(error: &str) -> Result<R, String> {
    Err(error.to_owned())
}

/// A guest that connects to itself: what one end sends, the other one receives until the first one has ended, and then the port is free again.
#[test]
fn connections_come_and_carry_bytes() {
    let body = "
        (local.set $a (call $socket))
        (if (call $bind (local.get $a) (i32.const 0)) (then (return (i32.const 1))))
        (local.set $g (call $port (local.get $a)))
        (call $tcp-listen (local.get $a) (i32.const 128))
        (if (i32.load8_u (i32.const 128)) (then (return (i32.const 1))))
        (local.set $b (i32.load (i32.const 132)))
        (local.set $c (call $socket))
        (if (call $connect (local.get $c) (local.get $g)) (then (return (i32.const 1))))
        (drop (call $wait (local.get $b) (call $sockets-read (local.get $b) (i32.const 65536) (i32.const 1))))
        (local.set $d (i32.load (i32.const 65536)))
        (local.set $ends (call $new))
        (local.set $e (call $tcp-send (local.get $c) (call $readable (local.get $ends))))
        (i32.store (i32.const 200) (i32.const 0x676e6970))
        (drop (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 4)))
        (call $drop-writable (call $writable (local.get $ends)))
        (call $tcp-receive (local.get $d) (i32.const 16))
        (local.set $ends (call $new))
        (local.set $f (call $stdout (call $readable (local.get $ends))))
        (call $pump (i32.load (i32.const 16)) (call $writable (local.get $ends)))
        (if (i32.or (call $net-ended (local.get $e))
                (i32.or (call $net-ended (i32.load (i32.const 20))) (call $ended (local.get $f))))
            (then (return (i32.const 1))))
        ;; Once only.
        (call $tcp-receive (local.get $d) (i32.const 16))
        (call $drop-readable (i32.load (i32.const 16)))
        (if (i32.eqz (call $net-ended (i32.load (i32.const 20)))) (then (return (i32.const 1))))
        ;; `invalid-state`
        (if (i32.ne (i32.load8_u (i32.const 68)) (i32.const 5)) (then (return (i32.const 1))))
        ;; What the stream of connections has kept open is closed when that is dropped.
        (call $drop-tcp (local.get $a))
        (call $drop-sockets (local.get $b))
        (call $bind (call $socket) (local.get $g))";
    for engine in engines() {
        let capture = Capture::new(100);
        let network = ["connect:127.0.0.1:*", "listen:127.0.0.1:*"];
        let keys = network.iter().fold(Keys::builder(), |keys, key| keys.net(key.parse().unwrap()));
        let keys = keys.stdout(StdoutKey::Capture(capture.clone())).build();
        assert_eq!(start(&engine, (body, Ends::Returning), &keys, |_| ()).unwrap(), 0);
        assert_eq!(capture.contents(), b"ping");
    }
}

/// A megabyte goes to a peer of the host's and back, both ways at once.
#[test]
fn a_peer_gets_and_gives_all_bytes() {
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), &bytes).unwrap();
    for engine in engines() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut back = stream.try_clone().unwrap();
            let mut buffer = vec![0; 10_000];
            loop {
                let count = stream.read(&mut buffer).unwrap();
                if count == 0 {
                    return;
                }
                back.write_all(&buffer[..count]).unwrap();
            }
        });
        // The file goes to the connection without coming by, and what comes back to standard output.
        let body = format!(
            "(local.set $c (call $socket))
            (if (call $connect (local.get $c) (i32.const {port})) (then (return (i32.const 1))))
            (call $tcp-receive (local.get $c) (i32.const 24))
            (local.set $b (call $open (call $directory) (i32.const 0) (i32.const 1)))
            (call $read-file (local.get $b) (i64.const 0) (i32.const 16))
            (local.set $e (call $tcp-send (local.get $c) (i32.load (i32.const 16))))
            (local.set $ends (call $new))
            (local.set $f (call $stdout (call $readable (local.get $ends))))
            (call $pump (i32.load (i32.const 24)) (call $writable (local.get $ends)))
            (i32.or (call $net-ended (local.get $e)) (i32.or (call $net-ended (i32.load (i32.const 28)))
                (i32.or (call $file-ended (i32.load (i32.const 20))) (call $ended (local.get $f)))))"
        );
        let capture = Capture::new(2 << 20);
        let keys = Keys::builder()
            .dir(folder.path(), "/work", innkeeper::wasi::keys::Access::ReadOnly)
            .net(format!("connect:127.0.0.1:{port}").parse().unwrap())
            .stdout(StdoutKey::Capture(capture.clone()))
            .build();
        assert_eq!(start(&engine, (&body, Ends::Returning), &keys, |_| ()).unwrap(), 0);
        peer.join().unwrap();
        assert!(capture.contents() == bytes);
    }
}

/// C105: a reset is told to whoever sends, by the first write, and to whoever receives, whichever of them hears of it first; and is no end, nor anything else that is wrong with the socket.
#[test]
fn c105_a_reset_is_told_both_ways() {
    // `connection-reset`
    let is_reset = "(if (i32.ne (i32.load8_u (i32.const 68)) (i32.const 11)) (then (return (i32.const 1))))";
    let send = format!(
        "(drop (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 4)))
        (call $drop-writable (call $writable (local.get $ends)))
        (if (i32.eqz (call $net-ended (local.get $e))) (then (return (i32.const 1)))) {is_reset}"
    );
    let receive = format!(
        "(drop (call $read (i32.load (i32.const 16))))
        (call $drop-readable (i32.load (i32.const 16)))
        (if (i32.eqz (call $net-ended (i32.load (i32.const 20)))) (then (return (i32.const 1)))) {is_reset}"
    );
    for engine in engines() {
        for (first, second) in [(&send, &receive), (&receive, &send)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (stdin, gone) = std::io::pipe().unwrap();
            let peer = thread::spawn(move || {
                let (stream, _) = listener.accept().unwrap();
                // What it has not read resets the connection when it closes.
                assert!(stream.peek(&mut [0; 4]).unwrap() > 0);
                drop((stream, gone));
            });
            // That the peer is gone, standard input tells, and the socket is not asked before.
            let body = format!(
                "(local.set $c (call $socket))
                (if (call $connect (local.get $c) (i32.const {port})) (then (return (i32.const 1))))
                (local.set $ends (call $new))
                (local.set $e (call $tcp-send (local.get $c) (call $readable (local.get $ends))))
                (call $tcp-receive (local.get $c) (i32.const 16))
                (drop (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 4)))
                (call $stdin (i32.const 24))
                (drop (call $read (i32.load (i32.const 24))))
                {first} {second}
                (call $tcp-peer (local.get $c) (i32.const 128))
                (i32.load8_u (i32.const 128))"
            );
            let keys = Keys::builder()
                .stdin(StdinKey::Opened(Arc::new(OwnedFd::from(stdin))))
                .net(format!("connect:127.0.0.1:{port}").parse().unwrap())
                .build();
            assert_eq!(start(&engine, (&body, Ends::Returning), &keys, |_| ()).unwrap(), 0);
            peer.join().unwrap();
        }
    }
}

#[test]
fn datagrams_are_sent_and_received() {
    for mut driver in drivers(&keys(&["udp:127.0.0.1:*", "udp-bind:127.0.0.1:*"])) {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = local(peer.local_addr().unwrap().port());
        let one = socket(&mut driver, "udp-socket");
        assert_eq!(method(&mut driver, one, "udp-socket.receive", &[]), said("invalid-state"));
        assert_eq!(method(&mut driver, one, "udp-socket.get-local-address", &[]), said("invalid-state"));
        let nowhere = [bytes_val(b"x"), Val::Option(None)];
        assert_eq!(method(&mut driver, one, "udp-socket.send", &nowhere), said("invalid-argument"));
        let long = [bytes_val(&[0; 65_536]), Val::Option(Some(Box::new(to.clone())))];
        assert_eq!(method(&mut driver, one, "udp-socket.send", &long), said("datagram-too-large"));
        method(&mut driver, one, "udp-socket.bind", &[local(0)]).unwrap();
        assert_eq!(method(&mut driver, one, "udp-socket.bind", &[local(0)]), said("invalid-state"));
        let port = port_of(method(&mut driver, one, "udp-socket.get-local-address", &[]).unwrap());
        let sent = [bytes_val(b"ping"), Val::Option(Some(Box::new(to.clone())))];
        method(&mut driver, one, "udp-socket.send", &sent).unwrap();
        let mut buffer = [0; 10];
        let (count, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..count], from), (&b"ping"[..], SocketAddr::from(([127, 0, 0, 1], port))));
        peer.send_to(b"pong", from).unwrap();
        let received = method(&mut driver, one, "udp-socket.receive", &[]).unwrap();
        assert_eq!(received, Some(Val::Tuple(vec![Val::List(List::U8(b"pong".to_vec())), to.clone()])));
        // One peer only, until it is nobody's.
        assert_eq!(method(&mut driver, one, "udp-socket.disconnect", &[]), said("invalid-state"));
        method(&mut driver, one, "udp-socket.connect", std::slice::from_ref(&to)).unwrap();
        assert_eq!(method(&mut driver, one, "udp-socket.get-remote-address", &[]), Ok(Some(to.clone())));
        let other = [bytes_val(b"x"), Val::Option(Some(Box::new(local(1))))];
        assert_eq!(method(&mut driver, one, "udp-socket.send", &other), said("invalid-argument"));
        method(&mut driver, one, "udp-socket.send", &nowhere).unwrap();
        method(&mut driver, one, "udp-socket.disconnect", &[]).unwrap();
        assert_eq!(method(&mut driver, one, "udp-socket.get-remote-address", &[]), said("invalid-state"));
        driver.drop(one);
    }
}

#[test]
fn sockets_go_through_their_states() {
    for mut driver in drivers(&keys(&["connect:127.0.0.1:*", "listen:127.0.0.1:*"])) {
        let listener = socket(&mut driver, "tcp-socket");
        assert_eq!(method(&mut driver, listener, "tcp-socket.get-local-address", &[]), said("invalid-state"));
        for (wrong, error) in
            [(address([224, 0, 0, 1], 0), "invalid-argument"), (address([192, 0, 2, 1], 80), "access-denied")]
        {
            assert_eq!(method(&mut driver, listener, "tcp-socket.bind", &[wrong]), said(error));
        }
        let backlog = |driver: &mut Driver, size| {
            method(driver, listener, "tcp-socket.set-listen-backlog-size", &[Val::U64(size)]).map(drop)
        };
        assert_eq!(backlog(&mut driver, 0), said("invalid-argument"));
        assert_eq!(backlog(&mut driver, 7), Ok(()));
        method(&mut driver, listener, "tcp-socket.bind", &[local(0)]).unwrap();
        assert_eq!(method(&mut driver, listener, "tcp-socket.bind", &[local(0)]), said("invalid-state"));
        let port = port_of(method(&mut driver, listener, "tcp-socket.get-local-address", &[]).unwrap());
        let is_listening = |driver: &mut Driver| {
            driver.call("[method]tcp-socket.get-is-listening", &[Val::Resource(listener)]).unwrap()
        };
        assert_eq!(is_listening(&mut driver), Some(Val::Bool(false)));
        assert!(matches!(method(&mut driver, listener, "tcp-socket.listen", &[]), Ok(Some(Val::Stream(_)))));
        assert_eq!(is_listening(&mut driver), Some(Val::Bool(true)));
        assert_eq!(method(&mut driver, listener, "tcp-socket.listen", &[]).map(drop), said("invalid-state"));
        assert_eq!(backlog(&mut driver, u64::MAX), Ok(()));
        assert_eq!(
            method(&mut driver, listener, "tcp-socket.connect", &[local(port)]),
            said("invalid-state")
        );
        let client = socket(&mut driver, "tcp-socket");
        for (wrong, error) in [
            (local(0), "invalid-argument"),
            (address([0, 0, 0, 0], 80), "invalid-argument"),
            // This changes nothing of it.
            (address([192, 0, 2, 1], 80), "access-denied"),
        ] {
            assert_eq!(method(&mut driver, client, "tcp-socket.connect", &[wrong]), said(error));
        }
        assert_eq!(method(&mut driver, client, "tcp-socket.get-remote-address", &[]), said("invalid-state"));
        method(&mut driver, client, "tcp-socket.connect", &[local(port)]).unwrap();
        assert_eq!(method(&mut driver, client, "tcp-socket.get-remote-address", &[]), Ok(Some(local(port))));
        assert_eq!(method(&mut driver, client, "tcp-socket.connect", &[local(port)]), said("invalid-state"));
        let options: &[(&str, Val)] = &[
            ("keep-alive-enabled", Val::Bool(true)),
            ("keep-alive-idle-time", Val::U64(7_000_000_000)),
            ("keep-alive-interval", Val::U64(3_000_000_000)),
            ("keep-alive-count", Val::U32(5)),
            ("hop-limit", Val::U8(33)),
        ];
        for (option, value) in options {
            let set = format!("tcp-socket.set-{option}");
            method(&mut driver, client, &set, std::slice::from_ref(value)).unwrap();
            let get = format!("tcp-socket.get-{option}");
            assert_eq!(method(&mut driver, client, &get, &[]), Ok(Some(value.clone())), "{option}");
        }
        for option in ["receive-buffer-size", "send-buffer-size"] {
            let set = format!("tcp-socket.set-{option}");
            assert_eq!(method(&mut driver, client, &set, &[Val::U64(0)]), said("invalid-argument"));
            method(&mut driver, client, &set, &[Val::U64(u64::MAX)]).unwrap();
            let get = format!("tcp-socket.get-{option}");
            assert!(matches!(method(&mut driver, client, &get, &[]), Ok(Some(Val::U64(1..)))));
        }
        // Nobody listens there: what could not be connected can be used no more.
        let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let refused = socket(&mut driver, "tcp-socket");
        assert_eq!(
            method(&mut driver, refused, "tcp-socket.connect", &[local(unused)]),
            said("connection-refused")
        );
        for name in ["tcp-socket.get-local-address", "tcp-socket.get-hop-limit", "tcp-socket.listen"] {
            assert_eq!(method(&mut driver, refused, name, &[]).map(drop), said("invalid-state"), "{name}");
        }
    }
}

/// S1: nothing is done in the network without a key, and what is missing is told.
#[test]
fn s1_nothing_is_done_without_a_key() {
    for mut driver in drivers(&Keys::default()) {
        for kind in ["tcp-socket", "udp-socket"] {
            let made = driver.outcome(&format!("[static]{kind}.create"), &[family("ipv6")]);
            assert_eq!(made.map(drop), said("access-denied"), "{kind}");
        }
        assert_eq!(
            driver.outcome("resolve-addresses", &[text_val("example.com")]).map(drop),
            said("access-denied")
        );
        assert_eq!(
            driver.outcome("resolve-addresses", &[text_val("not a name")]).map(drop),
            said("invalid-argument")
        );
        let told = format!("{:?}", driver.store.data().host().explain());
        assert!(told.contains("example.com"), "{told}");
    }
    for mut driver in drivers(&keys(&["udp:192.0.2.1:7"])) {
        let one = socket(&mut driver, "udp-socket");
        let to = |port| [bytes_val(b"x"), Val::Option(Some(Box::new(local(port))))];
        assert_eq!(method(&mut driver, one, "udp-socket.send", &to(7)), said("access-denied"));
        assert_eq!(method(&mut driver, one, "udp-socket.connect", &[local(7)]), said("access-denied"));
        assert_eq!(method(&mut driver, one, "udp-socket.bind", &[local(7)]), said("access-denied"));
        assert_eq!(
            driver.outcome("[static]tcp-socket.create", &[family("ipv4")]).map(drop),
            said("access-denied")
        );
    }
}

#[test]
fn addresses_are_their_own_names() {
    for mut driver in drivers(&Keys::default()) {
        let found = driver.outcome("resolve-addresses", &[text_val("192.0.2.7")]).unwrap();
        let ip = Val::variant("ipv4", Some(Val::Tuple([192, 0, 2, 7].map(Val::U8).to_vec())));
        match found {
            Some(Val::List(list)) => assert_eq!(list.get(0), Some(ip)),
            other => panic!("{other:?}"),
        }
    }
}
