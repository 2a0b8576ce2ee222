//! Each function in each state that a socket can be in: what comes of it is printed, one line a call.

use wasip2::io::poll::Pollable;
use wasip2::io::streams::StreamError;
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress, Network,
};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

pub fn run() {
    let network = instance_network();
    println!("# tcp: bind");
    tcp_bind(&network);
    println!("# tcp: listen, connect, accept");
    tcp_connections(&network);
    println!("# tcp: options");
    tcp_options();
    println!("# udp");
    udp(&network);
    println!("# names");
    names(&network);
}

pub fn ipv4(address: (u8, u8, u8, u8), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address })
}

fn ipv6(address: (u16, u16, u16, u16, u16, u16, u16, u16), port: u16) -> IpSocketAddress {
    IpSocketAddress::Ipv6(Ipv6SocketAddress { port, address, flow_info: 0, scope_id: 0 })
}

pub const LOOPBACK: (u8, u8, u8, u8) = (127, 0, 0, 1);
/// `::ffff:127.0.0.1`
const MAPPED: (u16, u16, u16, u16, u16, u16, u16, u16) = (0, 0, 0, 0, 0, 0xffff, 0x7f00, 1);

fn told<T>(what: &str, result: Result<T, ErrorCode>) -> Option<T> {
    match result {
        Ok(value) => {
            println!("{what}: ok");
            Some(value)
        }
        Err(code) => {
            println!("{what}: {}", code.name());
            None
        }
    }
}

/// Waits until what was begun can be finished.
fn finish<T>(what: &str, pollable: Pollable, call: impl Fn() -> Result<T, ErrorCode>) -> Option<T> {
    loop {
        match call() {
            Err(ErrorCode::WouldBlock) => pollable.block(),
            result => return told(what, result),
        }
    }
}

fn port_of(address: IpSocketAddress) -> u16 {
    match address {
        IpSocketAddress::Ipv4(address) => address.port,
        IpSocketAddress::Ipv6(address) => address.port,
    }
}

fn tcp(family: IpAddressFamily) -> TcpSocket {
    create_tcp_socket(family).expect("a socket")
}

fn tcp_bind(network: &Network) {
    let socket = tcp(IpAddressFamily::Ipv4);
    told("finish-bind before start", socket.finish_bind());
    told("finish-listen before start", socket.finish_listen());
    told("finish-connect before start", socket.finish_connect());
    told("local-address unbound", socket.local_address());
    told("remote-address unbound", socket.remote_address());
    told("accept unbound", socket.accept());
    told("shutdown unbound", socket.shutdown(ShutdownType::Both));
    told("start-listen unbound", socket.start_listen());
    println!("is-listening: {}", socket.is_listening());
    println!("address-family: {:?}", socket.address_family());
    told("bind to another family", socket.start_bind(network, ipv6((0, 0, 0, 0, 0, 0, 0, 1), 0)));
    told("bind to a multicast address", socket.start_bind(network, ipv4((224, 0, 0, 1), 0)));
    told("bind to broadcast", socket.start_bind(network, ipv4((255, 255, 255, 255), 0)));
    told("bind to somebody else's address", socket.start_bind(network, ipv4((192, 0, 2, 1), 0)));
    told("bind", socket.start_bind(network, ipv4(LOOPBACK, 0)));
    told("bind while binding", socket.start_bind(network, ipv4(LOOPBACK, 0)));
    told("finish-bind", socket.finish_bind());
    told("finish-bind again", socket.finish_bind());
    told("bind again", socket.start_bind(network, ipv4(LOOPBACK, 0)));
    let address = told("local-address", socket.local_address());
    told("remote-address bound", socket.remote_address());
    told("accept bound", socket.accept());
    if let Some(address) = address {
        println!("it has a port: {}", port_of(address) != 0);
        let other = tcp(IpAddressFamily::Ipv4);
        socket.start_listen().expect("listen");
        socket.finish_listen().expect("listen");
        told("bind to an address in use", other.start_bind(network, address));
    }
    let socket = tcp(IpAddressFamily::Ipv6);
    told("bind to a mapped address", socket.start_bind(network, ipv6(MAPPED, 0)));
    told("connect to a mapped address", socket.start_connect(network, ipv6(MAPPED, 80)));
}

fn tcp_connections(network: &Network) {
    let listener = tcp(IpAddressFamily::Ipv4);
    listener.start_bind(network, ipv4(LOOPBACK, 0)).expect("bind");
    told("listen while binding", listener.start_listen());
    listener.finish_bind().expect("bind");
    told("set-listen-backlog-size 0", listener.set_listen_backlog_size(0));
    told("set-listen-backlog-size", listener.set_listen_backlog_size(u64::MAX));
    told("listen", listener.start_listen());
    told("listen while beginning to", listener.start_listen());
    told("finish-listen", listener.finish_listen());
    told("finish-listen again", listener.finish_listen());
    told("listen again", listener.start_listen());
    println!("is-listening: {}", listener.is_listening());
    told("set-listen-backlog-size while listening", listener.set_listen_backlog_size(7));
    told("accept nothing", listener.accept());
    let there = listener.local_address().expect("address");
    told("connect a listener", listener.start_connect(network, there));
    told("shutdown of a listener", listener.shutdown(ShutdownType::Both));

    let client = tcp(IpAddressFamily::Ipv4);
    told("connect to the unspecified address", client.start_connect(network, ipv4((0, 0, 0, 0), 80)));
    told("connect to port 0", client.start_connect(network, ipv4(LOOPBACK, 0)));
    told("connect to a multicast address", client.start_connect(network, ipv4((224, 0, 0, 1), 80)));
    told("connect to another family", client.start_connect(network, ipv6((0, 0, 0, 0, 0, 0, 0, 1), 80)));
    told("connect", client.start_connect(network, there));
    told("connect while connecting", client.start_connect(network, there));
    told("listen while connecting", client.start_listen());
    told("set-listen-backlog-size while connecting", client.set_listen_backlog_size(7));
    let streams = finish("finish-connect", client.subscribe(), || client.finish_connect());
    told("finish-connect again", client.finish_connect());
    told("connect again", client.start_connect(network, there));
    told("bind a connection", client.start_bind(network, ipv4(LOOPBACK, 0)));
    told("listen with a connection", client.start_listen());
    told("set-listen-backlog-size of a connection", client.set_listen_backlog_size(7));
    println!(
        "remote-address is the listener's: {}",
        client.remote_address().map(port_of) == Ok(port_of(there))
    );

    let accepted = finish("accept", listener.subscribe(), || listener.accept());
    let (Some((input, output)), Some((socket, their_input, their_output))) = (streams, accepted) else {
        return;
    };
    println!("ports match: {}", socket.remote_address().map(port_of) == client.local_address().map(port_of));
    output.blocking_write_and_flush(b"hello").expect("write");
    println!(
        "received: {:?}",
        their_input.blocking_read(10).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).ok()
    );
    println!("nothing more: {:?}", their_input.read(10).map(|bytes| bytes.len()).ok());
    told("shutdown send", client.shutdown(ShutdownType::Send));
    println!("the other end is told: {}", matches!(their_input.blocking_read(10), Err(StreamError::Closed)));
    println!("no more can be sent: {}", output.blocking_write_and_flush(b"x").is_err());
    println!("check-write after shutdown: {}", matches!(output.check_write(), Err(StreamError::Closed)));
    their_output.blocking_write_and_flush(b"answer").expect("write");
    println!(
        "received: {:?}",
        input.blocking_read(3).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).ok()
    );
    told("shutdown receive", client.shutdown(ShutdownType::Receive));
    println!("no more is received: {}", matches!(input.read(10), Err(StreamError::Closed)));
    told("shutdown both", socket.shutdown(ShutdownType::Both));
    drop((input, output, client, their_input, their_output, socket));

    let port = {
        let closed = tcp(IpAddressFamily::Ipv4);
        closed.start_bind(network, ipv4(LOOPBACK, 0)).expect("bind");
        closed.finish_bind().expect("bind");
        closed.local_address().map(port_of).expect("address")
    };
    let client = tcp(IpAddressFamily::Ipv4);
    told("connect where nobody listens", client.start_connect(network, ipv4(LOOPBACK, port)));
    finish("finish-connect", client.subscribe(), || client.finish_connect());
    told("finish-connect of what failed", client.finish_connect());
    told("connect what failed", client.start_connect(network, there));
}

fn tcp_options() {
    for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
        let socket = tcp(family);
        println!("keep-alive-enabled: {:?}", socket.keep_alive_enabled().ok());
        told("set-keep-alive-enabled", socket.set_keep_alive_enabled(true));
        println!("keep-alive-enabled: {:?}", socket.keep_alive_enabled().ok());
        for time in [0, 1, 7_000_000_000, u64::MAX] {
            told("set-keep-alive-idle-time", socket.set_keep_alive_idle_time(time));
            println!("keep-alive-idle-time: {:?}", socket.keep_alive_idle_time().ok());
            told("set-keep-alive-interval", socket.set_keep_alive_interval(time));
            println!("keep-alive-interval: {:?}", socket.keep_alive_interval().ok());
        }
        for count in [0, 1, 5, u32::MAX] {
            told("set-keep-alive-count", socket.set_keep_alive_count(count));
            println!("keep-alive-count: {:?}", socket.keep_alive_count().ok());
        }
        for hops in [0, 1, 42, 255] {
            told("set-hop-limit", socket.set_hop_limit(hops));
            println!("hop-limit: {:?}", socket.hop_limit().ok());
        }
        for size in [0, 8192] {
            told("set-receive-buffer-size", socket.set_receive_buffer_size(size));
            told("set-send-buffer-size", socket.set_send_buffer_size(size));
        }
        println!("receive-buffer-size: {:?}", socket.receive_buffer_size().ok());
        println!("send-buffer-size: {:?}", socket.send_buffer_size().ok());
        told("set-receive-buffer-size", socket.set_receive_buffer_size(u64::MAX));
        told("set-send-buffer-size", socket.set_send_buffer_size(u64::MAX));
    }
}

fn bound_udp(network: &Network) -> UdpSocket {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).expect("a socket");
    socket.start_bind(network, ipv4(LOOPBACK, 0)).expect("bind");
    socket.finish_bind().expect("bind");
    socket
}

fn udp(network: &Network) {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).expect("a socket");
    told("finish-bind before start", socket.finish_bind());
    told("local-address unbound", socket.local_address());
    told("remote-address unbound", socket.remote_address());
    told("stream unbound", socket.stream(None));
    println!("address-family: {:?}", socket.address_family());
    told("bind to another family", socket.start_bind(network, ipv6((0, 0, 0, 0, 0, 0, 0, 1), 0)));
    told("bind to somebody else's address", socket.start_bind(network, ipv4((192, 0, 2, 1), 0)));
    told("bind", socket.start_bind(network, ipv4(LOOPBACK, 0)));
    told("bind while binding", socket.start_bind(network, ipv4(LOOPBACK, 0)));
    told("finish-bind", socket.finish_bind());
    told("finish-bind again", socket.finish_bind());
    told("bind again", socket.start_bind(network, ipv4(LOOPBACK, 0)));
    told("remote-address of all", socket.remote_address());
    for hops in [0, 1, 42, 255] {
        told("set-unicast-hop-limit", socket.set_unicast_hop_limit(hops));
        println!("unicast-hop-limit: {:?}", socket.unicast_hop_limit().ok());
    }
    told("set-receive-buffer-size 0", socket.set_receive_buffer_size(0));
    told("set-send-buffer-size 0", socket.set_send_buffer_size(0));
    told("set-receive-buffer-size", socket.set_receive_buffer_size(8192));
    told("set-send-buffer-size", socket.set_send_buffer_size(8192));
    println!("receive-buffer-size: {:?}", socket.receive_buffer_size().ok());
    println!("send-buffer-size: {:?}", socket.send_buffer_size().ok());
    println!("the socket is ready: {}", socket.subscribe().ready());

    let peer = bound_udp(network);
    let there = peer.local_address().expect("address");
    told("stream with another family", socket.stream(Some(ipv6((0, 0, 0, 0, 0, 0, 0, 1), 9))));
    told("stream with port 0", socket.stream(Some(ipv4(LOOPBACK, 0))));
    told("stream with the unspecified address", socket.stream(Some(ipv4((0, 0, 0, 0), 9))));
    let (incoming, outgoing) = socket.stream(None).expect("streams");
    let (their_incoming, their_outgoing) = peer.stream(None).expect("streams");
    let datagram = |data: &[u8], remote_address| OutgoingDatagram { data: data.to_vec(), remote_address };
    let send = |what: &str, datagrams: &[OutgoingDatagram]| {
        let permitted = outgoing.check_send().expect("check-send");
        println!("check-send: {}", permitted > 0);
        match outgoing.send(datagrams) {
            Ok(sent) => println!("{what}: {sent}"),
            Err(code) => println!("{what}: {}", code.name()),
        }
    };
    send("send nothing", &[]);
    send("send to nobody", &[datagram(b"x", None)]);
    send("send to port 0", &[datagram(b"x", Some(ipv4(LOOPBACK, 0)))]);
    send("send to the unspecified address", &[datagram(b"x", Some(ipv4((0, 0, 0, 0), 9)))]);
    send("send to another family", &[datagram(b"x", Some(ipv6((0, 0, 0, 0, 0, 0, 0, 1), 9)))]);
    send("send too much", &[datagram(&[0; 1 << 17], Some(there))]);
    send("send two, of which one is wrong", &[datagram(b"first", Some(there)), datagram(b"x", None)]);
    send("send", &[datagram(b"second", Some(there)), datagram(b"", Some(there))]);
    println!("receive none: {:?}", their_incoming.receive(0).map(|datagrams| datagrams.len()).ok());
    let mut received = Vec::new();
    while received.len() < 3 {
        their_incoming.subscribe().block();
        received.extend(their_incoming.receive(8).expect("datagrams"));
    }
    for datagram in &received {
        println!("received: {:?}", String::from_utf8_lossy(&datagram.data));
    }
    println!("nothing more: {:?}", their_incoming.receive(8).map(|datagrams| datagrams.len()).ok());
    println!("not ready: {}", !their_incoming.subscribe().ready());
    println!("ready for sending: {}", their_outgoing.subscribe().ready());
    drop((incoming, outgoing));
    let streams = told("stream with one peer", socket.stream(Some(there)));
    println!("remote-address: {}", socket.remote_address().map(port_of) == Ok(port_of(there)));
    if let Some((incoming, outgoing)) = streams {
        let send = |what: &str, datagrams: &[OutgoingDatagram]| {
            outgoing.check_send().expect("check-send");
            match outgoing.send(datagrams) {
                Ok(sent) => println!("{what}: {sent}"),
                Err(code) => println!("{what}: {}", code.name()),
            }
        };
        send("send to the peer", &[datagram(b"a", None), datagram(b"b", Some(there))]);
        send("send to another", &[datagram(b"x", Some(ipv4(LOOPBACK, 9)))]);
        drop((incoming, outgoing));
    }
    told("stream with all", socket.stream(None));
    told("remote-address of all", socket.remote_address());
}

fn names(network: &Network) {
    for name in ["127.0.0.1", "::1", "[::1]", "", " ", "a b", "a\0b"] {
        let Some(stream) = told(&format!("resolve {name:?}"), resolve_addresses(network, name)) else {
            continue;
        };
        let next = || stream.resolve_next_address();
        while let Some(Some(address)) = finish("next", stream.subscribe(), next) {
            match address {
                IpAddress::Ipv4(address) => println!("{address:?}"),
                IpAddress::Ipv6(address) => println!("{address:?}"),
            }
        }
    }
}
