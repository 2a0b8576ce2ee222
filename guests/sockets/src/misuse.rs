//! What the specification forbids, and no function has an error for: the host ends the program.

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{IpAddressFamily, IpSocketAddress};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{OutgoingDatagram, UdpSocket};
use wasip2::sockets::udp_create_socket::create_udp_socket;

use crate::states::{LOOPBACK, ipv4};

pub fn run(what: &str) {
    match what {
        "send-unasked" => {
            let (socket, there) = bound();
            let (_incoming, outgoing) = socket.stream(None).expect("streams");
            let _ = outgoing.send(&[datagram(there)]);
        }
        "send-too-many" => {
            let (socket, there) = bound();
            let (_incoming, outgoing) = socket.stream(None).expect("streams");
            let permitted = outgoing.check_send().expect("permission");
            let datagrams: Vec<OutgoingDatagram> = (0..=permitted).map(|_| datagram(there)).collect();
            let _ = outgoing.send(&datagrams);
        }
        "send-twice" => {
            let (socket, there) = bound();
            let (_incoming, outgoing) = socket.stream(None).expect("streams");
            outgoing.check_send().expect("permission");
            outgoing.send(&[datagram(there)]).expect("sent");
            let _ = outgoing.send(&[datagram(there)]);
        }
        "stream-twice" => {
            let (socket, _) = bound();
            let _streams = socket.stream(None).expect("streams");
            let _ = socket.stream(None);
        }
        "drop-udp-socket-first" => {
            let (socket, _) = bound();
            let streams = socket.stream(None).expect("streams");
            drop(socket);
            drop(streams);
        }
        "drop-tcp-socket-first" => {
            let socket = create_tcp_socket(IpAddressFamily::Ipv4).expect("a socket");
            let pollable = socket.subscribe();
            drop(socket);
            drop(pollable);
        }
        _ => return,
    }
    println!("nothing came of it");
}

fn bound() -> (UdpSocket, IpSocketAddress) {
    let socket = create_udp_socket(IpAddressFamily::Ipv4).expect("a socket");
    socket.start_bind(&instance_network(), ipv4(LOOPBACK, 0)).expect("bind");
    socket.finish_bind().expect("bind");
    let address = socket.local_address().expect("address");
    (socket, address)
}

fn datagram(to: IpSocketAddress) -> OutgoingDatagram {
    OutgoingDatagram { data: b"x".to_vec(), remote_address: Some(to) }
}
