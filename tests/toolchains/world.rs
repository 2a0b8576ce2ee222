//! Uses files, the environment and the network, as far as one program can talk to itself, and says what came of it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

fn main() -> std::io::Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    print!("{name}: {}", std::fs::read_to_string(&name)?);
    println!("WORD is {:?}", std::env::var("WORD"));
    std::fs::create_dir_all("/work/made/deep")?;
    std::fs::write("/work/made/deep/file", "written")?;
    std::fs::rename("/work/made/deep/file", "/work/made/file")?;
    let mut names: Vec<_> = std::fs::read_dir("/work/made")?.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    println!("{names:?} {}", std::fs::metadata("/work/made/file")?.len());
    std::fs::remove_dir_all("/work/made")?;
    println!("{:?}", std::fs::read("/etc/passwd").map_err(|error| error.kind()));

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.write_all(b"question")?;
    client.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    server.read_to_string(&mut text)?;
    server.write_all(format!("{text}, and an answer").as_bytes())?;
    drop(server);
    text.clear();
    client.read_to_string(&mut text)?;
    println!("{text}");

    let (one, other) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    one.send_to(b"datagram", other.local_addr()?)?;
    let mut buffer = [0; 16];
    let (count, from) = other.recv_from(&mut buffer)?;
    println!("{} {}", String::from_utf8_lossy(&buffer[..count]), from == one.local_addr()?);

    let found = ("localhost", 80).to_socket_addrs()?.any(|address| address.ip().is_loopback());
    println!("localhost is a loopback address: {found}");
    println!("{:?}", TcpStream::connect("127.0.0.1:1").map_err(|error| error.kind()));
    std::process::exit(3)
}
