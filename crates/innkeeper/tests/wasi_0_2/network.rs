//! Sockets through WASI 0.2, one function at a time: cases S2 to S5 and S8 of the sandbox, and sockets that are dropped while something is under way.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::Keys;

use super::driver::{Driver, bytes_val, resource, text_val};
use super::drivers;

fn keys(network: &[&str]) -> Keys {
    network.iter().fold(Keys::builder(), |keys, key| keys.net(key.parse().unwrap())).build()
}

fn ipv4(address: [u8; 4], port: u16) -> Val {
    let ip = Val::Tuple(address.map(Val::U8).to_vec());
    Val::variant("ipv4", Some(Val::record([("port", Val::U16(port)), ("address", ip)])))
}

fn ipv6(address: [u16; 8], port: u16) -> Val {
    let ip = Val::Tuple(address.map(Val::U16).to_vec());
    let parts =
        [("port", Val::U16(port)), ("flow-info", Val::U32(0)), ("address", ip), ("scope-id", Val::U32(0))];
    Val::variant("ipv6", Some(Val::record(parts)))
}

const LOCAL: [u8; 4] = [127, 0, 0, 1];
/// `::ffff:127.0.0.1`
const MAPPED: [u16; 8] = [0, 0, 0, 0, 0, 0xffff, 0x7f00, 1];

/// A socket of a kind (`tcp`, `udp`) and a family.
fn socket(driver: &mut Driver, kind: &str, family: &str) -> Result<ResourceAny, String> {
    driver.outcome(&format!("create-{kind}-socket"), &[Val::enumeration(family)]).map(resource)
}

fn method(
    driver: &mut Driver,
    (kind, of): (&str, ResourceAny),
    name: &str,
    rest: &[Val],
) -> Result<Option<Val>, String> {
    driver.outcome(&format!("[method]{kind}-socket.{name}"), &[&[Val::Resource(of)], rest].concat())
}

/// Begins something with an address, and ends it.
fn with_address(
    driver: &mut Driver,
    of: (&str, ResourceAny),
    name: &str,
    address: Val,
) -> Result<Option<Val>, String> {
    let network = resource(driver.call("instance-network", &[]).unwrap());
    let begun = method(driver, of, &format!("start-{name}"), &[Val::Resource(network), address]);
    driver.drop(network);
    begun?;
    let pollable =
        driver.call(&format!("[method]{}-socket.subscribe", of.0), &[Val::Resource(of.1)]).unwrap();
    let pollable = resource(pollable);
    driver.call("[method]pollable.block", &[Val::Resource(pollable)]).unwrap();
    driver.drop(pollable);
    method(driver, of, &format!("finish-{name}"), &[])
}

/// Nobody has come to a listener.
fn nobody_came(listener: &TcpListener) -> bool {
    listener.set_nonblocking(true).unwrap();
    listener.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

/// S2: an address is what the system takes it for, whichever way it is written, and that is what a key must be for.
#[test]
fn s2_addresses_are_canonical_before_they_are_checked() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let others = format!("connect:[::/0]:{port}");
    for mut driver in drivers(&keys(&[&others, "connect:0.0.0.0/8:*"])) {
        let of = ("tcp", socket(&mut driver, "tcp", "ipv4").unwrap());
        for (address, errors) in [
            (ipv4(LOCAL, port), &["access-denied"][..]),
            (ipv4([0, 0, 0, 0], port), &["access-denied", "invalid-argument"]),
            (ipv6(MAPPED, port), &["access-denied", "invalid-argument"]),
        ] {
            let told = with_address(&mut driver, of, "connect", address.clone()).unwrap_err();
            assert!(errors.contains(&told.as_str()), "{address:?}: {told}");
        }
        if let Ok(of_ipv6) = socket(&mut driver, "tcp", "ipv6") {
            let of = ("tcp", of_ipv6);
            let told = with_address(&mut driver, of, "connect", ipv6(MAPPED, port)).unwrap_err();
            assert!(["access-denied", "invalid-argument"].contains(&told.as_str()), "{told}");
        }
    }
    assert!(nobody_came(&listener));
    // To be bound to all addresses takes a key for all of them.
    for mut driver in drivers(&keys(&["listen:127.0.0.1:0"])) {
        let of = ("tcp", socket(&mut driver, "tcp", "ipv4").unwrap());
        let told = with_address(&mut driver, of, "bind", ipv4([0, 0, 0, 0], 0));
        assert_eq!(told, Err("access-denied".to_owned()));
        assert_eq!(with_address(&mut driver, of, "bind", ipv4(LOCAL, 0)), Ok(None));
        if let Ok(of_ipv6) = socket(&mut driver, "tcp", "ipv6") {
            for address in [[0; 8], MAPPED] {
                let told = with_address(&mut driver, ("tcp", of_ipv6), "bind", ipv6(address, 0)).unwrap_err();
                assert!(["access-denied", "invalid-argument"].contains(&told.as_str()), "{told}");
            }
        }
    }
}

/// S3: what a name is looked up as is no permission to go there: each address is checked where it is used.
#[test]
fn s3_a_name_that_may_be_looked_up_may_not_be_connected_to() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for mut driver in drivers(&keys(&["resolve:localhost", "connect:127.0.0.2:*"])) {
        let network = resource(driver.call("instance-network", &[]).unwrap());
        let lookup = driver.outcome("resolve-addresses", &[Val::Resource(network), text_val("localhost")]);
        let lookup = resource(lookup.unwrap());
        let pollable =
            driver.call("[method]resolve-address-stream.subscribe", &[Val::Resource(lookup)]).unwrap();
        let pollable = resource(pollable);
        driver.call("[method]pollable.block", &[Val::Resource(pollable)]).unwrap();
        let first =
            driver.outcome("[method]resolve-address-stream.resolve-next-address", &[Val::Resource(lookup)]);
        assert!(matches!(first, Ok(Some(Val::Option(Some(_))))), "{first:?}");
        let of = ("tcp", socket(&mut driver, "tcp", "ipv4").unwrap());
        let told = with_address(&mut driver, of, "connect", ipv4(LOCAL, port));
        assert_eq!(told, Err("access-denied".to_owned()));
        driver.drop(pollable);
    }
    assert!(nobody_came(&listener));
}

/// S4: each datagram is decided on, also in a list with others, and where the socket sends to another by itself.
#[test]
fn s4_each_datagram_is_decided_on() {
    let [granted, other] = [0; 2].map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    let [to, elsewhere] = [&granted, &other].map(|socket| socket.local_addr().unwrap().port());
    let key = format!("udp:127.0.0.1:{to}");
    for mut driver in drivers(&keys(&[&key])) {
        let of = ("udp", socket(&mut driver, "udp", "ipv4").unwrap());
        assert_eq!(with_address(&mut driver, of, "bind", ipv4([0, 0, 0, 0], 0)), Ok(None));
        let Ok(Some(Val::Tuple(streams))) = method(&mut driver, of, "stream", &[Val::Option(None)]) else {
            panic!("no streams")
        };
        let [incoming, outgoing] = [0, 1].map(|index| resource(Some(streams[index].clone())));
        let mut send = |ports: &[u16]| {
            let permitted =
                driver.outcome("[method]outgoing-datagram-stream.check-send", &[Val::Resource(outgoing)]);
            assert!(
                matches!(permitted, Ok(Some(Val::U64(count))) if count >= ports.len() as u64),
                "{permitted:?}"
            );
            let datagram = |port: &u16| {
                let address = Val::Option(Some(Box::new(ipv4(LOCAL, *port))));
                Val::record([("data", bytes_val(b"hello")), ("remote-address", address)])
            };
            let list = Val::List(List::Vals(ports.iter().map(datagram).collect()));
            driver.outcome("[method]outgoing-datagram-stream.send", &[Val::Resource(outgoing), list])
        };
        for _ in 0..3 {
            assert_eq!(send(&[to]), Ok(Some(Val::U64(1))));
            assert_eq!(send(&[elsewhere]), Err("access-denied".to_owned()));
        }
        // What comes before the one that may not be sent has gone.
        assert_eq!(send(&[to, elsewhere, to]), Ok(Some(Val::U64(1))));
        assert_eq!(send(&[elsewhere]), Err("access-denied".to_owned()));
        driver.drop(incoming);
        driver.drop(outgoing);
        let told = method(&mut driver, of, "stream", &[Val::Option(Some(Box::new(ipv4(LOCAL, elsewhere))))]);
        assert_eq!(told.map(drop), Err("access-denied".to_owned()));
    }
    let mut buffer = [0; 16];
    for _ in 0..2 * 4 {
        assert_eq!(granted.recv(&mut buffer).unwrap(), 5);
    }
    for socket in [granted, other] {
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut buffer).is_err(), "one too many has come");
    }
}

/// S5: a socket of IPv6 takes nobody of IPv4.
#[test]
fn s5_a_socket_of_ipv6_is_of_nothing_else() {
    if TcpListener::bind("[::1]:0").is_err() {
        println!("not run: this system has no addresses of IPv6");
        return;
    }
    for mut driver in drivers(&keys(&["listen:*:*"])) {
        let of = ("tcp", socket(&mut driver, "tcp", "ipv6").unwrap());
        assert_eq!(with_address(&mut driver, of, "bind", ipv6([0; 8], 0)), Ok(None));
        method(&mut driver, of, "start-listen", &[]).unwrap();
        method(&mut driver, of, "finish-listen", &[]).unwrap();
        let address = method(&mut driver, of, "local-address", &[]).unwrap();
        let Some(Val::Variant(_, Some(record))) = address else { panic!("{address:?}") };
        let Val::Record(parts) = *record else { panic!() };
        let Val::U16(port) = parts[0].1 else { panic!() };
        assert!(TcpStream::connect(("::1", port)).is_ok());
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "nobody listens there");
    }
}

/// S8: connections that are taken are as many as handles are granted, however many come; what is given up makes room.
#[test]
fn s8_connections_are_as_many_as_handles_are_granted() {
    let mut keys = keys(&["listen:127.0.0.1:0"]);
    keys.limits.max_open_handles = 16;
    for mut driver in drivers(&keys) {
        let of = ("tcp", socket(&mut driver, "tcp", "ipv4").unwrap());
        assert_eq!(with_address(&mut driver, of, "bind", ipv4(LOCAL, 0)), Ok(None));
        method(&mut driver, of, "start-listen", &[]).unwrap();
        method(&mut driver, of, "finish-listen", &[]).unwrap();
        let address = method(&mut driver, of, "local-address", &[]).unwrap();
        let Some(Val::Variant(_, Some(record))) = address else { panic!("{address:?}") };
        let Val::Record(parts) = *record else { panic!() };
        let Val::U16(port) = parts[0].1 else { panic!() };
        let peers: Vec<TcpStream> =
            (0..24).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap()).collect();
        let mut accepted = Vec::new();
        let refused = loop {
            match method(&mut driver, of, "accept", &[]) {
                Ok(Some(Val::Tuple(parts))) => accepted.push(parts),
                other => break other.unwrap_err(),
            }
        };
        assert!(!accepted.is_empty() && accepted.len() < 16, "{}", accepted.len());
        assert!(["new-socket-limit", "out-of-memory"].contains(&refused.as_str()), "{refused}");
        let limit = format!("{:?}", driver.store.data().host().explain());
        assert!(limit.contains("LimitReached"), "{limit}");
        for part in accepted.pop().unwrap().into_iter().rev() {
            driver.drop(resource(Some(part)));
        }
        let again = method(&mut driver, of, "accept", &[]);
        assert!(again.is_ok(), "{again:?}");
        drop(peers);
    }
}

/// C110: a socket is dropped while it is being connected, or while somebody waits to be taken; nothing of it is left.
#[test]
fn c110_sockets_are_dropped_while_something_is_under_way() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut keys = keys(&["connect:127.0.0.1:*", "listen:127.0.0.1:0"]);
    keys.limits.max_open_handles = 12;
    for mut driver in drivers(&keys) {
        let network = resource(driver.call("instance-network", &[]).unwrap());
        for round in 0..200 {
            let connects =
                socket(&mut driver, "tcp", "ipv4").unwrap_or_else(|error| panic!("{round}: {error}"));
            let params = [Val::Resource(network), ipv4(LOCAL, port)];
            method(&mut driver, ("tcp", connects), "start-connect", &params).unwrap();
            driver.drop(connects);
            drop(listener.accept().unwrap());
        }
        for _ in 0..50 {
            let of = ("tcp", socket(&mut driver, "tcp", "ipv4").unwrap());
            with_address(&mut driver, of, "bind", ipv4(LOCAL, 0)).unwrap();
            method(&mut driver, of, "start-listen", &[]).unwrap();
            method(&mut driver, of, "finish-listen", &[]).unwrap();
            // Nobody is there yet.
            assert_eq!(method(&mut driver, of, "accept", &[]).map(drop), Err("would-block".to_owned()));
            driver.drop(of.1);
        }
    }
}
