//! Keys to the network, and sockets of the host layer: cases S1 to S5 and S8 of the sandbox, with real sockets of this machine.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use innkeeper_wasi::host::{
    AddressFamily, Direction, Error, Explanation, Host, Interest, Interrupt, MissingKey, Nonblocking,
    Operation, Pollable, ReceiveFlags, Socket, SocketOption, Transport, WaitRequest, hold_thread,
};
use innkeeper_wasi::keys::{Keys, KeysBuilder, NetAction, NetKey, Policy};

use AddressFamily::{Ipv4, Ipv6};
use Transport::{Tcp, Udp};

fn builder(keys: &[&str]) -> KeysBuilder {
    keys.iter().fold(Keys::builder(), |builder, key| builder.net(key.parse().expect("key")))
}

fn host_of(keys: &[&str]) -> Host {
    Host::open(&builder(keys).build()).expect("keys open").0
}

fn at(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// The flags that would grant what was denied, oldest first.
fn missing(host: &Host) -> Vec<String> {
    let words = |denial: innkeeper_wasi::host::Denial| match denial.missing {
        MissingKey::Network { key } => key.to_string(),
        missing => format!("{missing:?}"),
    };
    host.denials().into_iter().map(words).collect()
}

fn socket(host: &Host, transport: Transport, family: AddressFamily) -> Socket {
    let socket = host.create_socket(transport, family).expect("socket");
    host.set_socket_nonblocking(&socket, Nonblocking::Yes).expect("flag");
    socket
}

fn receive_all(host: &Host, socket: &Socket, length: usize) -> Vec<u8> {
    let mut buffer = vec![0; length];
    host.set_socket_nonblocking(socket, Nonblocking::No).expect("flag");
    let flags = ReceiveFlags { wait_all: true, ..ReceiveFlags::default() };
    let received = hold_thread(host.receive(socket, &mut buffer, flags)).expect("receive");
    buffer.truncate(received);
    buffer
}

#[test]
fn s1_by_default_nothing_can_be_made_or_looked_up() {
    let host = host_of(&[]);
    for transport in [Tcp, Udp] {
        for family in [Ipv4, Ipv6] {
            assert_eq!(host.create_socket(transport, family).map(|_| ()), Err(Error::Denied));
        }
    }
    assert_eq!(host.start_lookup("localhost").map(|_| ()), Err(Error::Denied));
    assert_eq!(host.start_lookup("example.com").map(|_| ()), Err(Error::Denied));
    let denied: Vec<String> = host.denials().iter().map(ToString::to_string).collect();
    assert_eq!(
        denied,
        [
            "create a socket for TCP (2 times): no key is for anything that could be done with it",
            "create a socket for UDP (2 times): no key is for anything that could be done with it",
            "look up localhost: no key covers it",
            "look up example.com: no key covers it"
        ]
    );
    assert_eq!(host.gate().count(Operation::CreateSocket), 4);
    assert!(host.explain().iter().all(|line| matches!(line, Explanation::Denied(_))));
}

/// Each thing that is done in the network, without its key, and with the key that its denial names.
#[test]
fn s1_each_denial_names_the_key_that_grants() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let there = listener.local_addr().expect("address");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("socket");
    let peer = udp.local_addr().expect("address");
    type Attempt<'a> = Box<dyn Fn(&Host) -> Result<(), Error> + 'a>;
    let bound = |host: &Host| {
        let socket = socket(host, Udp, Ipv4);
        host.bind(&socket, at("0.0.0.0:0")).map(|()| socket)
    };
    let attempts: Vec<(NetAction, &str, Attempt<'_>)> = vec![
        (
            NetAction::Connect,
            "listen:*:9",
            Box::new(move |host| host.start_connect(&socket(host, Tcp, Ipv4), there)),
        ),
        (
            NetAction::Listen,
            "listen:*:9",
            Box::new(|host| host.bind(&socket(host, Tcp, Ipv4), at("127.0.0.1:0"))),
        ),
        (
            NetAction::Listen,
            "listen:*:9",
            Box::new(|host| host.bind(&socket(host, Tcp, Ipv4), at("0.0.0.0:0"))),
        ),
        // What nobody has bound is bound by the system, to every address.
        (NetAction::Listen, "listen:*:9", Box::new(|host| host.listen(&socket(host, Tcp, Ipv4), 8))),
        (
            NetAction::Listen,
            "connect:*:9",
            Box::new(|host| {
                let socket = socket(host, Tcp, Ipv4);
                host.bind(&socket, at("127.0.0.1:0")).expect("whoever may connect may have a port");
                host.listen(&socket, 8)
            }),
        ),
        (
            NetAction::UdpBind,
            "udp-bind:*:9",
            Box::new(|host| host.bind(&socket(host, Udp, Ipv4), at("127.0.0.1:0"))),
        ),
        (
            NetAction::Udp,
            "udp-bind:*:0",
            Box::new(move |host| hold_thread(host.send_datagram(&bound(host)?, b"x", Some(peer)))),
        ),
        (NetAction::Udp, "udp-bind:*:0", Box::new(move |host| host.associate(&bound(host)?, Some(peer)))),
        (NetAction::Resolve, "listen:*:9", Box::new(|host| host.start_lookup("localhost").map(|_| ()))),
    ];
    for action in NetAction::ALL {
        assert!(attempts.iter().any(|(tried, ..)| tried == action), "{action:?} is not tried");
    }
    for (index, (action, other, attempt)) in attempts.iter().enumerate() {
        let host = host_of(&[other]);
        assert_eq!(attempt(&host), Err(Error::Denied), "{index}");
        let named = missing(&host);
        assert_eq!(named.len(), 1, "{index}: {named:?}");
        let key: NetKey = named[0].parse().expect("a flag");
        assert_eq!(key.action, *action, "{index}");
        let host = host_of(&[other, &named[0]]);
        assert_eq!(attempt(&host), Ok(()), "{index}: {named:?}");
        assert!(missing(&host).is_empty());
    }
}

#[test]
fn a_guest_connects_and_exchanges_bytes() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let there = listener.local_addr().expect("address");
    let host = host_of(&[&format!("connect:{there}")]);
    let socket = socket(&host, Tcp, Ipv4);
    assert_eq!(host.finish_connect(&socket), Err(Error::NotConnected), "nobody has begun");
    assert_eq!(host.peer_address(&socket), Err(Error::NotConnected));
    host.set_socket_nonblocking(&socket, Nonblocking::No).expect("flag");
    hold_thread(host.connect(&socket, there)).expect("connect");
    let (mut peer, from) = listener.accept().expect("accept");
    assert_eq!(host.local_address(&socket), Ok(from));
    assert_eq!(host.peer_address(&socket), Ok(there));
    assert_eq!(host.start_connect(&socket, there), Err(Error::Invalid));
    assert_eq!(hold_thread(host.send(&socket, b"question")), Ok(8));
    let mut question = [0; 8];
    peer.read_exact(&mut question).expect("read");
    assert_eq!(&question, b"question");
    peer.write_all(b"answer").expect("write");
    drop(peer);
    assert_eq!(receive_all(&host, &socket, 100), b"answer");
}

#[test]
fn a_refused_connection_is_told() {
    let there = TcpListener::bind("127.0.0.1:0").expect("listener").local_addr().expect("address");
    let host = host_of(&[&format!("connect:{there}")]);
    let socket = host.create_socket(Tcp, Ipv4).expect("socket");
    assert_eq!(hold_thread(host.connect(&socket, there)), Err(Error::ConnectionRefused));
    assert_ne!(host.finish_connect(&socket), Ok(()));
}

#[test]
fn a_guest_listens_accepts_and_answers() {
    let host = host_of(&["listen:127.0.0.1:0"]);
    let listener = socket(&host, Tcp, Ipv4);
    host.bind(&listener, at("127.0.0.1:0")).expect("bind");
    assert_eq!(host.bind(&listener, at("127.0.0.1:0")), Err(Error::Invalid), "it is bound");
    assert_eq!(hold_thread(host.accept(&listener, Nonblocking::Yes)).map(|_| ()), Err(Error::Invalid));
    host.listen(&listener, u32::MAX).expect("listen");
    assert_eq!(hold_thread(host.accept(&listener, Nonblocking::Yes)).map(|_| ()), Err(Error::Again));
    let address = host.local_address(&listener).expect("address");
    let mut peer = TcpStream::connect(address).expect("connect");
    host.set_socket_nonblocking(&listener, Nonblocking::No).expect("flag");
    let connection = hold_thread(host.accept(&listener, Nonblocking::No)).expect("accept");
    peer.write_all(b"abc").expect("write");
    assert_eq!(receive_all(&host, &connection, 3), b"abc");
    assert_eq!(hold_thread(host.send(&connection, b"d")), Ok(1));
    let mut answer = [0];
    peer.read_exact(&mut answer).expect("read");
    assert_eq!(&answer, b"d");
    assert_eq!(connection.family(), Ipv4);
}

#[test]
fn s2_addresses_are_canonical_before_they_are_checked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let port = listener.local_addr().expect("address").port();
    let host = host_of(&[&format!("connect:[2001:db8::]/32:{port}"), "connect:[::/0]:9"]);
    // As an address of IPv6 it would be in a range that is granted, were that compared as text.
    let mapped = at(&format!("[::ffff:127.0.0.1]:{port}"));
    assert_eq!(host.start_connect(&socket(&host, Tcp, Ipv4), mapped), Err(Error::Denied));
    assert_eq!(missing(&host), [format!("connect:127.0.0.1:{port}")]);
    // What is granted is the address, whichever way it is written; sockets of IPv6 reach none of IPv4.
    let host = host_of(&[&format!("connect:127.0.0.1:{port}")]);
    let by_ipv4 = host.create_socket(Tcp, Ipv4).expect("socket");
    hold_thread(host.connect(&by_ipv4, mapped)).expect("connect");
    assert_eq!(host.peer_address(&by_ipv4), Ok(at(&format!("127.0.0.1:{port}"))));
    if has_ipv6() {
        assert_eq!(host.start_connect(&socket(&host, Tcp, Ipv6), mapped), Err(Error::Invalid));
    }
    // The system takes the unspecified address for this machine: so does the key.
    let host = host_of(&[&format!("connect:0.0.0.0/8:{port}")]);
    let unspecified = at(&format!("0.0.0.0:{port}"));
    assert_eq!(host.start_connect(&socket(&host, Tcp, Ipv4), unspecified), Err(Error::Denied));
    assert_eq!(missing(&host), [format!("connect:127.0.0.1:{port}")]);
}

#[test]
fn s2_to_be_bound_to_the_unspecified_address_takes_every_one() {
    let host = host_of(&["listen:127.0.0.1:0", "udp-bind:127.0.0.0/8:0"]);
    assert_eq!(host.bind(&socket(&host, Tcp, Ipv4), at("0.0.0.0:0")), Err(Error::Denied));
    assert_eq!(host.bind(&socket(&host, Udp, Ipv4), at("0.0.0.0:0")), Err(Error::Denied));
    assert_eq!(missing(&host), ["listen:0.0.0.0:0", "udp-bind:0.0.0.0:0"]);
    assert_eq!(host.bind(&socket(&host, Tcp, Ipv4), at("127.0.0.1:0")), Ok(()));
    assert_eq!(host.bind(&socket(&host, Udp, Ipv4), at("127.0.0.2:0")), Ok(()));
}

#[test]
fn s4_each_datagram_is_decided_on() {
    let (granted, other) =
        (UdpSocket::bind("127.0.0.1:0").expect("socket"), UdpSocket::bind("127.0.0.1:0").expect("socket"));
    let (to, elsewhere) = (granted.local_addr().expect("address"), other.local_addr().expect("address"));
    let host = host_of(&[&format!("udp:{to}")]);
    let socket = socket(&host, Udp, Ipv4);
    host.bind(&socket, at("0.0.0.0:0")).expect("whoever may send has a port to send from");
    let send = |to: Option<SocketAddr>| hold_thread(host.send_datagram(&socket, b"hello", to));
    for _ in 0..3 {
        assert_eq!(send(Some(to)), Ok(()));
        assert_eq!(send(Some(elsewhere)), Err(Error::Denied));
    }
    assert_eq!(send(None), Err(Error::Invalid), "it is associated with nobody");
    assert_eq!(host.associate(&socket, Some(elsewhere)), Err(Error::Denied));
    assert_eq!(host.associate(&socket, Some(to)), Ok(()));
    assert_eq!(send(None), Ok(()));
    assert_eq!(send(Some(elsewhere)), Err(Error::Denied), "also where it is associated with another");
    assert_eq!(host.associate(&socket, None), Ok(()));
    assert_eq!(send(None), Err(Error::Invalid));
    let mut buffer = [0; 8];
    for _ in 0..4 {
        assert_eq!(granted.recv(&mut buffer).expect("datagram"), 5);
    }
    other.set_nonblocking(true).expect("flag");
    assert!(other.recv(&mut buffer).is_err(), "nothing came");
    // The functions of connections are none of datagrams.
    assert_eq!(hold_thread(host.send(&socket, b"x")), Err(Error::Invalid));
    assert_eq!(hold_thread(host.receive(&socket, &mut buffer, ReceiveFlags::default())), Err(Error::Invalid));
}

#[test]
fn s4_whoever_may_only_send_hears_from_nobody_else() {
    let (friend, stranger) =
        (UdpSocket::bind("127.0.0.1:0").expect("socket"), UdpSocket::bind("127.0.0.1:0").expect("socket"));
    let friends = friend.local_addr().expect("address");
    for (keys, hears_all) in [
        (vec![format!("udp:{friends}")], false),
        (vec![format!("udp:{friends}"), String::from("udp-bind:127.0.0.1:0")], true),
    ] {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let host = host_of(&keys);
        let socket = socket(&host, Udp, Ipv4);
        host.bind(&socket, at("127.0.0.1:0")).expect("bind");
        let here = host.local_address(&socket).expect("address");
        for _ in 0..100 {
            stranger.send_to(b"stranger", here).expect("send");
        }
        friend.send_to(b"friend", here).expect("send");
        let mut buffer = [0; 16];
        host.set_socket_nonblocking(&socket, Nonblocking::No).expect("flag");
        let received = hold_thread(host.receive_datagram(&socket, &mut buffer)).expect("datagram");
        let expected: &[u8] = if hears_all { b"stranger" } else { b"friend" };
        assert_eq!(&buffer[..received.length_bytes], expected);
    }
}

#[test]
fn s5_a_socket_of_ipv6_is_of_nothing_else() {
    if !has_ipv6() {
        return;
    }
    let host = host_of(&["listen:*:*"]);
    let listener = socket(&host, Tcp, Ipv6);
    host.bind(&listener, at("[::]:0")).expect("bind");
    host.listen(&listener, 8).expect("listen");
    let port = host.local_address(&listener).expect("address").port();
    assert!(TcpStream::connect(("::1", port)).is_ok());
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "nobody listens there");
    assert_eq!(host.bind(&socket(&host, Tcp, Ipv6), at("127.0.0.1:0")), Err(Error::Invalid));
    assert_eq!(host.bind(&socket(&host, Tcp, Ipv4), at("[::1]:0")), Err(Error::Invalid));
}

#[test]
fn s8_sockets_are_as_many_as_handles_are_granted() {
    let keys = |most: u32| {
        let mut keys = builder(&["listen:127.0.0.1:0", "resolve:*"]).build();
        keys.limits.max_open_handles = most;
        Host::open(&keys).expect("keys open").0
    };
    let host = keys(5);
    let listener = socket(&host, Tcp, Ipv4);
    host.bind(&listener, at("127.0.0.1:0")).expect("bind");
    host.listen(&listener, 64).expect("listen");
    let address = host.local_address(&listener).expect("address");
    let peers: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).expect("connect")).collect();
    let mut accepted = Vec::new();
    host.set_socket_nonblocking(&listener, Nonblocking::No).expect("flag");
    let refused = loop {
        match hold_thread(host.accept(&listener, Nonblocking::Yes)) {
            Ok(connection) => accepted.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!((refused, accepted.len()), (Error::TooManyHandles, 4));
    assert_eq!(host.create_socket(Tcp, Ipv4).map(|_| ()), Err(Error::TooManyHandles));
    assert_eq!(host.start_lookup("127.0.0.1").map(|_| ()), Err(Error::TooManyHandles));
    let limit = host.explain().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(limit, ["one more open descriptor was refused: the limit is 5"]);
    // What is given up makes room.
    accepted.pop();
    assert!(hold_thread(host.accept(&listener, Nonblocking::Yes)).is_ok());
    drop(peers);
    let before = host.budget().used_for(innkeeper_engine::BudgetKind::Descriptor);
    assert!(before > 0, "sockets are charged");
    drop((accepted, listener));
    assert_eq!(host.budget().used_for(innkeeper_engine::BudgetKind::Descriptor), 0);
}

#[test]
fn names_are_looked_up_by_whoever_may() {
    let host = host_of(&["connect:localhost:80"]);
    let found = hold_thread(host.look_up("LOCALHOST.")).expect("addresses");
    assert!(!found.is_empty() && found.iter().all(IpAddr::is_loopback), "{found:?}");
    let listed = hold_thread(host.look_up("localhost")).expect("addresses");
    assert_eq!(found, listed);
    assert_eq!(hold_thread(host.look_up("other.example")), Err(Error::Denied));
    assert_eq!(missing(&host), ["resolve:other.example"]);
    let long = "a".repeat(1 << 20);
    for text in [&long, "", "a..b", "a b", "127.1", "0x7f000001", "b\u{fc}cher.example", "a\0b"] {
        assert_eq!(hold_thread(host.look_up(text)), Err(Error::Invalid), "{text}");
    }
    // What is an address is its own, without a key.
    let none = host_of(&[]);
    assert_eq!(hold_thread(none.look_up("::ffff:192.0.2.1")).as_deref(), Ok(&[at("192.0.2.1:0").ip()][..]));
}

#[test]
fn a_look_up_can_be_waited_for_and_interrupted() {
    let host = host_of(&["resolve:localhost"]);
    let lookup = host.start_lookup("localhost").expect("look-up");
    let interests = [Interest { on: Pollable::Lookup(&lookup), direction: Direction::Read }];
    let request = WaitRequest { interests: &interests, timeout: Some(Duration::from_secs(60)) };
    let ready = hold_thread(host.wait(&request)).expect("wait");
    assert!(ready[0].ready);
    assert!(host.finish_lookup(&lookup).is_ok());
    let interrupt = Interrupt::new().expect("interrupt");
    host.set_interrupt(interrupt.clone());
    interrupt.raise();
    // Whether the resolver is fast or slow: where it has to be waited for, the wait ends.
    let answer = hold_thread(host.look_up("localhost"));
    assert!(matches!(answer, Err(Error::Interrupted) | Ok(_)), "{answer:?}");
}

#[test]
fn very_many_look_ups_are_refused_for_now() {
    let host = host_of(&["resolve:*"]);
    let mut begun = Vec::new();
    let refused = (0..10_000).find_map(|number| match host.start_lookup(&format!("n{number}.invalid")) {
        Ok(lookup) => {
            begun.push(lookup);
            None
        }
        Err(error) => Some(error),
    });
    assert!(matches!(refused, Some(Error::NameTemporary | Error::TooManyHandles)), "{refused:?}");
}

#[test]
fn every_option_is_read_back_or_refused() {
    let host = host_of(&["connect:*:*", "udp:*:*"]);
    let families = if has_ipv6() { &[Ipv4, Ipv6][..] } else { &[Ipv4] };
    for (transport, family) in families.iter().flat_map(|&family| [(Tcp, family), (Udp, family)]) {
        let socket = socket(&host, transport, family);
        for &option in SocketOption::ALL {
            let value = match option {
                SocketOption::KeepAlive => 1,
                SocketOption::KeepAliveIdleNs | SocketOption::KeepAliveIntervalNs => 7_000_000_000,
                SocketOption::KeepAliveCount => 5,
                SocketOption::HopLimit => 42,
                _ => 8192,
            };
            let is_of_connections = matches!(
                option,
                SocketOption::KeepAliveIdleNs
                    | SocketOption::KeepAliveIntervalNs
                    | SocketOption::KeepAliveCount
            );
            if transport == Udp && is_of_connections {
                assert_eq!(host.socket_option(&socket, option), Err(Error::NotSupported), "{option:?}");
                continue;
            }
            assert_eq!(host.set_socket_option(&socket, option, value), Ok(()), "{option:?}");
            assert_eq!(host.socket_option(&socket, option), Ok(value), "{option:?} {family:?}");
            let zero = if option == SocketOption::KeepAlive { Ok(()) } else { Err(Error::Invalid) };
            assert_eq!(host.set_socket_option(&socket, option, 0), zero, "{option:?}");
            let large = if option == SocketOption::HopLimit { Err(Error::Invalid) } else { Ok(()) };
            assert_eq!(host.set_socket_option(&socket, option, u64::MAX), large, "{option:?}");
        }
    }
}

#[test]
fn datagrams_count_as_written() {
    let peer = UdpSocket::bind("127.0.0.1:0").expect("socket");
    let to = peer.local_addr().expect("address");
    let mut keys = builder(&[&format!("udp:{to}")]).build();
    keys.limits.written_bytes = Some(10);
    let (host, _) = Host::open(&keys).expect("keys open");
    let socket = socket(&host, Udp, Ipv4);
    host.bind(&socket, at("127.0.0.1:0")).expect("bind");
    let send = |bytes: &[u8]| hold_thread(host.send_datagram(&socket, bytes, Some(to)));
    assert_eq!(send(b"12345678"), Ok(()));
    assert_eq!(send(b"123"), Err(Error::Quota), "whole or not at all");
    assert_eq!(send(b"12"), Ok(()), "nothing was taken for what was refused");
    assert_eq!(send(b"1"), Err(Error::Quota));
    assert_eq!(send(&vec![0; 1 << 17]), Err(Error::Quota));
    keys.limits.written_bytes = None;
    let (host, _) = Host::open(&keys).expect("keys open");
    let socket = self::socket(&host, Udp, Ipv4);
    assert_eq!(
        hold_thread(host.send_datagram(&socket, &vec![0; 1 << 17], Some(to))),
        Err(Error::MessageSize)
    );
}

#[test]
fn what_was_used_is_learned_and_covers_the_same_run() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listener");
    let there = listener.local_addr().expect("address");
    let keys = builder(&["connect:*:*", "listen:*:*", "udp:*:*", "udp-bind:*:*", "resolve:*"]).build();
    let (host, _) = Host::open(&keys).expect("keys open");
    host.learn_usage();
    host.start_connect(&socket(&host, Tcp, Ipv4), there).expect("connect");
    host.bind(&socket(&host, Tcp, Ipv4), at("127.0.0.1:0")).expect("bind");
    let datagrams = socket(&host, Udp, Ipv4);
    host.bind(&datagrams, at("127.0.0.1:0")).expect("bind");
    host.associate(&datagrams, Some(at("127.0.0.1:9"))).expect("associate");
    hold_thread(host.look_up("localhost")).expect("addresses");
    let policy = Policy::covering(&keys, &host.usage().expect("usage"));
    let allowed: Vec<String> = policy.network.allow.iter().map(ToString::to_string).collect();
    let connect = format!("connect:{there}");
    assert_eq!(allowed, [&*connect, "udp:127.0.0.1:9", "udp-bind:127.0.0.1:0", "resolve:localhost"]);
    let read = Policy::parse(&policy.to_text()).expect("policy");
    assert_eq!(read.network, policy.network);
    let merged = read.clone().merged(policy);
    assert_eq!(merged.network, read.network);
}

#[test]
fn a_guest_cannot_have_any_number_of_addresses_noted() {
    let keys = builder(&["udp:*:*"]).build();
    let (host, _) = Host::open(&keys).expect("keys open");
    host.learn_usage();
    let socket = socket(&host, Udp, Ipv4);
    for number in 1..500_u16 {
        host.associate(&socket, Some(SocketAddr::from((Ipv4Addr::LOCALHOST, number)))).expect("associate");
    }
    let noted = host.usage().expect("usage").network;
    assert_eq!(noted.len(), 101);
    assert!(noted.iter().any(|key| key.to_string() == "udp:*:*"));
}
