//! What a guest waits for, and whoever is at the other end.

use std::fs::File;
use std::io::{ErrorKind as IoError, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use innkeeper::wasi::host::{Grant, Host};
use innkeeper::wasi::keys::{Access, DirKey, FileMode, Keys, ListenKey, StdinKey, StdoutKey};
use innkeeper::wasi::p1::Context;

use super::MOMENT;
use super::cases::Case;

/// What somebody else does for the guest to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Nothing: time passes.
    Nothing,
    /// Writes to standard input.
    WritesInput,
    /// Reads what standard output has room for.
    ReadsOutput,
    /// Writes to the pipe in the directory.
    WritesPipe,
    /// Reads all of the pipe in the directory, so that there is room.
    ReadsPipe,
    /// Opens the other end of the pipe that nobody has opened.
    OpensToWrite,
    OpensToRead,
    /// Connects to the listener.
    Connects,
    /// Sends to the connection that the guest has accepted.
    Sends,
    /// Closes that connection.
    Closes,
}

/// What the guest waits for, and whoever is at the other end.
pub(crate) struct World {
    dir: tempfile::TempDir,
    stdin: File,
    stdout: File,
    pipe: File,
    pub(crate) address: SocketAddr,
    pub(crate) peer: Option<TcpStream>,
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A pipe with a name, both of whose ends are open, and that does not wait.
pub(crate) fn open_pipe(path: &Path) -> File {
    make_pipe(path);
    File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap()
}

/// Writes until there is no room.
fn fill(pipe: &mut File) {
    let error = loop {
        if let Err(error) = pipe.write(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), IoError::WouldBlock);
}

impl World {
    pub(crate) fn new(case: &Case) -> (World, Context) {
        let dir = tempfile::tempdir().unwrap();
        let granted = dir.path().join("d");
        std::fs::create_dir(&granted).unwrap();
        let (stdin, stdout) = (dir.path().join("stdin"), dir.path().join("stdout"));
        let (input, mut output, mut pipe) =
            (open_pipe(&stdin), open_pipe(&stdout), open_pipe(&granted.join("pipe")));
        make_pipe(&granted.join("none"));
        let keys = Keys::builder()
            .stdin(StdinKey::File(stdin))
            .stdout(StdoutKey::File { path: stdout, mode: FileMode::Append })
            .directory(DirKey::new(&granted, "/", Access::ReadWrite))
            .listener(ListenKey::new("127.0.0.1:0".parse().unwrap()))
            .build();
        let (host, handles) = Host::open(&keys).unwrap();
        let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else {
            panic!("a listener")
        };
        fill(&mut output);
        if case.peer == Peer::ReadsPipe {
            fill(&mut pipe);
        }
        let peer = case.before.contains("$accept").then(|| TcpStream::connect(address).unwrap());
        (World { dir, stdin: input, stdout: output, pipe, address, peer }, Context::from_parts(host, handles))
    }

    fn lonely(&self) -> PathBuf {
        self.dir.path().join("d/none")
    }

    pub(crate) fn act(&mut self, peer: Peer) {
        let drain = |pipe: &mut File| while pipe.read(&mut [0; 1 << 16]).is_ok() {};
        match peer {
            Peer::Nothing => {}
            Peer::WritesInput => self.stdin.write_all(b"input").unwrap(),
            Peer::ReadsOutput => drain(&mut self.stdout),
            Peer::WritesPipe => self.pipe.write_all(b"input").unwrap(),
            Peer::ReadsPipe => drain(&mut self.pipe),
            Peer::OpensToWrite => self.pipe = File::options().write(true).open(self.lonely()).unwrap(),
            Peer::OpensToRead => {
                self.pipe =
                    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(self.lonely()).unwrap();
            }
            Peer::Connects => self.peer = Some(TcpStream::connect(self.address).unwrap()),
            Peer::Sends => self.peer.as_mut().unwrap().write_all(b"input").unwrap(),
            Peer::Closes => self.peer = None,
        }
    }

    /// Who acts beside a call that holds this thread.
    pub(crate) fn act_beside(mut self, peer: Peer) -> std::thread::JoinHandle<World> {
        std::thread::spawn(move || {
            std::thread::sleep(MOMENT);
            self.act(peer);
            self
        })
    }
}
