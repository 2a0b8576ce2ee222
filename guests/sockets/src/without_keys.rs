//! Each function that could reach the network, for a guest whose keys do not let it: what comes of it is printed, one line a call.

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::OutgoingDatagram;
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::states::{LOOPBACK, ipv4};

/// Whether anybody has it makes no difference to what is denied.
const PORT: u16 = 47_001;

pub fn run() {
    let network = instance_network();
    let told = |what: &str, result: Result<(), ErrorCode>| match result {
        Ok(()) => println!("{what}: ok"),
        Err(code) => println!("{what}: {}", code.name()),
    };
    told("resolve-addresses", resolve_addresses(&network, "name.invalid").map(drop));
    let tcp = || create_tcp_socket(IpAddressFamily::Ipv4);
    told("create-tcp-socket", tcp().map(drop));
    if let (Ok(bound), Ok(connecting), Ok(listening)) = (tcp(), tcp(), tcp()) {
        told("tcp-socket.start-bind", bound.start_bind(&network, ipv4(LOOPBACK, PORT)));
        told("tcp-socket.start-connect", connecting.start_connect(&network, ipv4(LOOPBACK, PORT)));
        // Whoever may connect has a port to connect from, and does not listen on it.
        if listening.start_bind(&network, ipv4(LOOPBACK, 0)).is_ok() && listening.finish_bind().is_ok() {
            told("tcp-socket.start-listen", listening.start_listen());
        }
    }
    let udp = || create_udp_socket(IpAddressFamily::Ipv4);
    told("create-udp-socket", udp().map(drop));
    if let (Ok(bound), Ok(sending)) = (udp(), udp()) {
        told("udp-socket.start-bind", bound.start_bind(&network, ipv4(LOOPBACK, PORT)));
        // Whoever may send has a port to send from.
        if sending.start_bind(&network, ipv4((0, 0, 0, 0), 0)).is_err() || sending.finish_bind().is_err() {
            return;
        }
        told("udp-socket.stream", sending.stream(Some(ipv4(LOOPBACK, PORT))).map(drop));
        let Ok((_incoming, outgoing)) = sending.stream(None) else { return };
        let permitted = outgoing.check_send();
        let datagram = OutgoingDatagram { data: b"x".to_vec(), remote_address: Some(ipv4(LOOPBACK, PORT)) };
        told("outgoing-datagram-stream.send", permitted.and_then(|_| outgoing.send(&[datagram])).map(drop));
    }
}
