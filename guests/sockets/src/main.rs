//! Sockets and names in WASI 0.2: a client, a server, datagrams and look-ups as programs do them with Rust's standard library, and each function by itself.
//!
//! Usage: `sockets client HOST:PORT`, `sockets serve ADDRESS:PORT COUNT`, `sockets udp HOST:PORT`, `sockets udp-serve ADDRESS:PORT COUNT`, `sockets resolve NAME`,
//! `sockets states`, `sockets without-keys`, `sockets misuse WHAT`.

mod misuse;
mod states;
mod without_keys;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["client", there] => client(there),
        ["serve", here, count] => serve(here, count.parse().unwrap_or(1)),
        ["udp", there] => udp(there),
        ["udp-serve", here, count] => udp_serve(here, count.parse().unwrap_or(1)),
        ["resolve", name] => resolve(name),
        ["states"] => {
            states::run();
            Ok(())
        }
        ["misuse", what] => {
            misuse::run(what);
            Ok(())
        }
        ["without-keys"] => {
            without_keys::run();
            Ok(())
        }
        _ => {
            eprintln!("usage: sockets client|serve|udp|udp-serve|resolve|states|without-keys|misuse");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sockets: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Asks once, and prints the answer.
fn client(there: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(there)?;
    stream.write_all(b"question\n")?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    print!("{answer}");
    Ok(())
}

/// Sends back what comes, for so many connections.
fn serve(here: &str, count: usize) -> std::io::Result<()> {
    let listener = TcpListener::bind(here)?;
    println!("listening on {}", listener.local_addr()?);
    for _ in 0..count {
        let (mut stream, _) = listener.accept()?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        stream.write_all(format!("you said {line}").as_bytes())?;
    }
    Ok(())
}

/// Sends a datagram, and prints what comes back.
fn udp(there: &str) -> std::io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"question", there)?;
    let mut buffer = [0; 64];
    let (count, _) = socket.recv_from(&mut buffer)?;
    println!("{}", String::from_utf8_lossy(&buffer[..count]));
    Ok(())
}

/// Sends datagrams back, so many.
fn udp_serve(here: &str, count: usize) -> std::io::Result<()> {
    let socket = UdpSocket::bind(here)?;
    println!("bound to {}", socket.local_addr()?);
    let mut buffer = [0; 64];
    for _ in 0..count {
        let (count, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..count], from)?;
    }
    Ok(())
}

/// Prints the addresses of a name.
fn resolve(name: &str) -> std::io::Result<()> {
    for address in (name, 0).to_socket_addrs()? {
        println!("{}", address.ip());
    }
    Ok(())
}
