//! Functions that make handles, where there is room for none of them, for some, and for all: they make all or none, and what is refused can be asked for again.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::{Access, Keys, StdinKey, StdoutKey};

use super::driver::{Driver, flags_val, follow, resource, text_val};
use super::limits::gives_handles;
use super::{drivers, function_types};

/// What guests connect to, and what connects to them.
struct Peers {
    listener: TcpListener,
    connected: Vec<TcpStream>,
}

/// What a function is called with, and what was made for that, in order.
type Ready = (Vec<Val>, Vec<ResourceAny>);

/// A function that makes handles, as many of them as count among those that a guest may have open, and how it comes to be called.
struct Maker {
    name: &'static str,
    counted: usize,
    ready: fn(&mut Driver, &mut Peers) -> Ready,
}

const MAKERS: &[Maker] = &[
    maker("get-stdin", 1, |_, _| (vec![], vec![])),
    maker("get-stdout", 1, |_, _| (vec![], vec![])),
    maker("get-stderr", 1, |_, _| (vec![], vec![])),
    maker("get-directories", 2, |_, _| (vec![], vec![])),
    maker("subscribe-duration", 0, |_, _| (vec![Val::U64(1)], vec![])),
    maker("subscribe-instant", 0, |_, _| (vec![Val::U64(1)], vec![])),
    maker("instance-network", 0, |_, _| (vec![], vec![])),
    maker("[method]input-stream.subscribe", 0, |driver, _| of(get(driver, "get-stdin"))),
    maker("[method]output-stream.subscribe", 0, |driver, _| of(get(driver, "get-stdout"))),
    maker("[method]descriptor.read-via-stream", 1, |driver, _| file_at(driver, 0)),
    maker("[method]descriptor.write-via-stream", 1, |driver, _| file_at(driver, 0)),
    maker("[method]descriptor.append-via-stream", 1, |driver, _| of(file(driver))),
    maker("[method]descriptor.read-directory", 1, |driver, _| directory(driver, vec![])),
    maker("[method]descriptor.open-at", 1, |driver, _| {
        directory(driver, vec![follow(true), text_val("f"), flags_val(&["create"]), flags_val(&["read"])])
    }),
    maker("create-tcp-socket", 1, |_, _| (vec![ipv4()], vec![])),
    maker("create-udp-socket", 1, |_, _| (vec![ipv4()], vec![])),
    maker("resolve-addresses", 1, |driver, _| looked_up(driver)),
    maker("[method]resolve-address-stream.subscribe", 0, |driver, _| {
        let (params, mut made) = looked_up(driver);
        made.push(outcome(driver, "resolve-addresses", &params));
        (vec![Val::Resource(made[1])], made)
    }),
    maker("[method]tcp-socket.subscribe", 0, |driver, _| of(outcome(driver, "create-tcp-socket", &[ipv4()]))),
    maker("[method]udp-socket.subscribe", 0, |driver, _| of(outcome(driver, "create-udp-socket", &[ipv4()]))),
    maker("[method]tcp-socket.finish-connect", 2, |driver, peers| {
        let port = peers.listener.local_addr().unwrap().port();
        let (socket, network) =
            (outcome(driver, "create-tcp-socket", &[ipv4()]), get(driver, "instance-network"));
        let params = [Val::Resource(socket), Val::Resource(network), address(port)];
        driver.outcome("[method]tcp-socket.start-connect", &params).unwrap();
        (vec![Val::Resource(socket)], vec![network, socket])
    }),
    maker("[method]tcp-socket.accept", 3, |driver, peers| {
        let made = bound(driver, "tcp");
        let params = [Val::Resource(made[1])];
        driver.outcome("[method]tcp-socket.start-listen", &params).unwrap();
        driver.outcome("[method]tcp-socket.finish-listen", &params).unwrap();
        let bound_to = driver.outcome("[method]tcp-socket.local-address", &params).unwrap();
        let mut peer = TcpStream::connect(("127.0.0.1", port_of(bound_to))).unwrap();
        peer.write_all(b"hello").unwrap();
        peers.connected.push(peer);
        (params.into(), made)
    }),
    maker("[method]udp-socket.stream", 0, |driver, _| {
        let made = bound(driver, "udp");
        (vec![Val::Resource(made[1]), Val::Option(None)], made)
    }),
    maker("[method]incoming-datagram-stream.subscribe", 0, |driver, _| datagrams(driver, 2)),
    maker("[method]outgoing-datagram-stream.subscribe", 0, |driver, _| datagrams(driver, 3)),
];

const fn maker(name: &'static str, counted: usize, ready: fn(&mut Driver, &mut Peers) -> Ready) -> Maker {
    Maker { name, counted, ready }
}

fn of(resource: ResourceAny) -> Ready {
    (vec![Val::Resource(resource)], vec![resource])
}

fn get(driver: &mut Driver, name: &str) -> ResourceAny {
    resource(driver.call(name, &[]).unwrap())
}

fn outcome(driver: &mut Driver, name: &str, params: &[Val]) -> ResourceAny {
    resource(driver.outcome(name, params).unwrap())
}

/// The directory that files are in; the other one is dropped.
fn directory(driver: &mut Driver, rest: Vec<Val>) -> Ready {
    let mut directories = driver.directories().into_iter().map(|(directory, _)| directory);
    let first = directories.next().unwrap();
    directories.for_each(|other| driver.drop(other));
    ([vec![Val::Resource(first)], rest].concat(), vec![first])
}

fn file(driver: &mut Driver) -> ResourceAny {
    let (_, made) = directory(driver, vec![]);
    let file = driver.open(made[0], "f", (&[], &["read", "write"])).unwrap();
    driver.drop(made[0]);
    file
}

fn file_at(driver: &mut Driver, position: u64) -> Ready {
    let file = file(driver);
    (vec![Val::Resource(file), Val::U64(position)], vec![file])
}

fn looked_up(driver: &mut Driver) -> Ready {
    let network = get(driver, "instance-network");
    (vec![Val::Resource(network), text_val("localhost")], vec![network])
}

/// A network, and a socket that is bound to a port of this machine.
fn bound(driver: &mut Driver, transport: &str) -> Vec<ResourceAny> {
    let network = get(driver, "instance-network");
    let socket = outcome(driver, &format!("create-{transport}-socket"), &[ipv4()]);
    let params = [Val::Resource(socket), Val::Resource(network), address(0)];
    driver.outcome(&format!("[method]{transport}-socket.start-bind"), &params).unwrap();
    driver.outcome(&format!("[method]{transport}-socket.finish-bind"), &params[..1]).unwrap();
    vec![network, socket]
}

/// The streams of a socket, of which one is given.
fn datagrams(driver: &mut Driver, which: usize) -> Ready {
    let mut made = bound(driver, "udp");
    let streams = driver.outcome("[method]udp-socket.stream", &[Val::Resource(made[1]), Val::Option(None)]);
    handles_in(&streams.unwrap().unwrap(), &mut made);
    (vec![Val::Resource(made[which])], made)
}

fn ipv4() -> Val {
    Val::Enum("ipv4".into())
}

/// A port of this machine's.
fn address(port: u16) -> Val {
    let octets = Val::Tuple([127, 0, 0, 1].map(Val::U8).into());
    let fields = vec![("port".into(), Val::U16(port)), ("address".into(), octets)];
    Val::Variant("ipv4".into(), Some(Box::new(Val::Record(fields))))
}

fn port_of(address: Option<Val>) -> u16 {
    let Some(Val::Variant(_, Some(address))) = address else { panic!("{address:?}") };
    let Val::Record(fields) = *address else { panic!("{address:?}") };
    fields.iter().find_map(|(_, val)| if let Val::U16(port) = val { Some(*port) } else { None }).unwrap()
}

/// All handles in a value, in order.
fn handles_in(val: &Val, found: &mut Vec<ResourceAny>) {
    match val {
        Val::Resource(handle) => found.push(*handle),
        Val::Tuple(vals) | Val::List(List::Vals(vals)) => vals.iter().for_each(|val| handles_in(val, found)),
        Val::Result(Ok(Some(val))) | Val::Option(Some(val)) => handles_in(val, found),
        _ => {}
    }
}

/// Opens files until there is no room for one more.
fn fill(driver: &mut Driver, at: ResourceAny) -> Vec<ResourceAny> {
    std::iter::from_fn(|| match driver.open(at, "f", (&[], &["read"])) {
        Ok(file) => Some(file),
        Err(full) if full == "insufficient-memory" => None,
        Err(other) => panic!("{other}"),
    })
    .collect()
}

/// How a call ended.
enum Called {
    Done(Vec<ResourceAny>),
    Full,
    NotYet,
}

fn call(driver: &mut Driver, name: &str, params: &[Val]) -> Called {
    match driver.call(name, params) {
        Ok(Some(Val::Result(Err(Some(code))))) => match *code {
            Val::Enum(code) if ["new-socket-limit", "insufficient-memory"].contains(&&*code) => Called::Full,
            Val::Enum(code) if &*code == "would-block" => Called::NotYet,
            code => panic!("{name}: {code:?}"),
        },
        Ok(given) => {
            let mut handles = Vec::new();
            handles_in(&given.unwrap(), &mut handles);
            Called::Done(handles)
        }
        // It has no word for it.
        Err(error) => {
            let is_told = error.to_string().contains("handles open");
            assert!(is_told && name.starts_with("get-"), "{name}: {error}");
            driver.instantiate();
            Called::Full
        }
    }
}

/// D3, L1: no function leaves anything behind where there is no room for all that it makes, and none ends the guest that could have told it.
#[test]
fn whatever_makes_handles_makes_all_or_none() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "x").unwrap();
    let mut builder = Keys::builder()
        .dir(folder.path(), "/work", Access::ReadWrite)
        .dir(folder.path(), "/more", Access::ReadOnly)
        .stdin(StdinKey::Empty)
        .stdout(StdoutKey::Discard)
        .stderr(StdoutKey::Discard);
    for key in
        ["connect:127.0.0.1:*", "listen:127.0.0.1:0", "udp:127.0.0.1:*", "udp-bind:127.0.0.1:0", "resolve:*"]
    {
        builder = builder.net(key.parse().unwrap());
    }
    let mut keys = builder.build();
    keys.limits.max_open_handles = 12;
    let [first, _] = drivers(&keys);
    for (interface, name, ty) in function_types(&first) {
        let is_tried = MAKERS.iter().any(|maker| maker.name == name) || name.starts_with("get-terminal");
        let makes = ty.result().is_some_and(|ty| gives_handles(&ty));
        assert!(is_tried || !makes, "{interface} {name} is not tried");
    }
    let mut peers = Peers { listener: TcpListener::bind("127.0.0.1:0").unwrap(), connected: Vec::new() };
    for maker in MAKERS {
        for free_at_first in 0..maker.counted + 2 {
            let [mut driver, _] = drivers(&keys);
            make_with_room(&mut driver, maker, free_at_first, &mut peers);
        }
    }
}

/// Has a function called with room for so many handles, then for one more each time, until it is done; then drops everything.
fn make_with_room(driver: &mut Driver, maker: &Maker, free_at_first: usize, peers: &mut Peers) {
    let Maker { name, counted, ready } = maker;
    let (_, at) = directory(driver, vec![]);
    let most = fill(driver, at[0]);
    let count = most.len();
    most.into_iter().for_each(|file| driver.drop(file));
    let (params, made) = ready(driver, peers);
    let mut files = fill(driver, at[0]);
    let mut free = 0;
    let mut make_room = |driver: &mut Driver, files: &mut Vec<ResourceAny>| {
        driver.drop(files.pop().expect("a file to drop"));
        free += 1;
        free
    };
    let mut room = 0;
    while room < free_at_first {
        room = make_room(driver, &mut files);
    }
    let begin = Instant::now();
    let given = loop {
        match call(driver, name, &params) {
            Called::Done(given) => break given,
            // A connection of this machine's is there in no time, unless it was lost.
            Called::NotYet => {
                assert!(begin.elapsed() < Duration::from_secs(30), "{name} has lost what it was to give");
                thread::yield_now();
            }
            Called::Full => {
                assert!(room < *counted, "{name} is refused with room for {room}");
                room = make_room(driver, &mut files);
            }
        }
    };
    assert!(room >= *counted, "{name} is not refused with room for {room}");
    let rest = fill(driver, at[0]);
    assert_eq!(rest.len(), room - counted, "{name}");
    let all = [made, given].concat();
    for handle in all.into_iter().rev().chain(files).chain(rest) {
        handle.drop(&mut driver.store).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!(
        fill(driver, at[0]).len(),
        count,
        "{name} with room for {free_at_first} has left something behind"
    );
}
