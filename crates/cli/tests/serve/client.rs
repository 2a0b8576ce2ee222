//! A client that sends what it is told to, byte by byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::PATIENCE;

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer of HTTP/1.1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case, without the status.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body was there as a whole.
    pub(crate) is_whole: bool,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, read: Vec::new() }
    }

    /// Sends bytes. Whether the server still takes them is told by its answer.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends bytes, and gives whether the server has taken them all.
    pub(crate) fn sends(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// The next answer; none where the connection is closed instead.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(end) = find(&self.read, b"\r\n\r\n") {
                break end + 4;
            }
            if !self.more() {
                assert!(self.read.is_empty(), "{}", String::from_utf8_lossy(&self.read));
                return None;
            }
        };
        let head: Vec<u8> = self.read.drain(..end).collect();
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let (first, head) = head.split_once("\r\n").unwrap();
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let mut body = Vec::new();
        let is_whole = match (field("content-length:"), field("transfer-encoding:")) {
            (Some(length), _) => self.take(length.parse().unwrap(), &mut body),
            (None, Some(_)) => self.chunks(&mut body),
            (None, None) => {
                while self.more() {}
                body.append(&mut self.read);
                true
            }
        };
        Some(Answer { status, head: head.to_owned(), body, is_whole })
    }

    /// Sends a request whose answer comes meanwhile, and gives that.
    pub(crate) fn answer_while_sending(&mut self, request: Vec<u8>) -> Answer {
        let mut stream = self.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || stream.write_all(&request));
        let answer = self.answer().expect("an answer");
        sender.join().unwrap().unwrap();
        answer
    }

    /// Waits until this has come. It stays to be read.
    pub(crate) fn wait_for(&mut self, text: &str) {
        while find(&self.read, text.as_bytes()).is_none() {
            assert!(self.more(), "no {text:?} in {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Whether the server has closed the connection, having said nothing more.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more()
    }

    /// All that comes until the connection is closed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.read)
    }

    /// Exactly so many bytes; none where the connection is closed before.
    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.take(count, &mut bytes).then_some(bytes)
    }

    /// Says that nothing more will be sent, unless the server has closed the connection.
    pub(crate) fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    fn take(&mut self, count: usize, into: &mut Vec<u8>) -> bool {
        while self.read.len() < count {
            if !self.more() {
                into.append(&mut self.read);
                return false;
            }
        }
        into.extend(self.read.drain(..count));
        true
    }

    fn chunks(&mut self, into: &mut Vec<u8>) -> bool {
        loop {
            let end = loop {
                match find(&self.read, b"\r\n") {
                    Some(end) => break end,
                    None if self.more() => {}
                    None => return false,
                }
            };
            let line: Vec<u8> = self.read.drain(..end + 2).collect();
            let size = usize::from_str_radix(str::from_utf8(&line).unwrap().trim(), 16).unwrap();
            let mut end = Vec::new();
            if !self.take(size, into) || !self.take(2, &mut end) {
                return false;
            }
            if size == 0 {
                return true;
            }
        }
    }

    /// Reads more; false at the end.
    fn more(&mut self) -> bool {
        let mut bytes = [0; 16 << 10];
        match self.stream.read(&mut bytes) {
            Ok(count) => {
                self.read.extend(&bytes[..count]);
                count > 0
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Sends one request on a connection of its own, and gives the answer.
pub(crate) fn ask(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut client = Client::connect(address);
    client.send(request);
    client.answer().expect("an answer")
}

/// Checks that a server answers somebody.
#[track_caller]
pub(crate) fn is_served(address: SocketAddr) {
    assert_eq!(ask(address, GET).status, 200);
}

/// A request.
pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
