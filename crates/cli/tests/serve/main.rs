//! The built `inn serve`, as clients meet it who speak to it byte by byte: what is answered, what is refused, what ends.
//!
//! Nothing here waits for a time to pass but for what ends it: requests are kept in flight by their bodies, and deadlines are those of flags.

mod admin;
mod attacks;
mod bounds;
mod cgi;
mod client;
mod component;
mod config;
mod end;
mod files;
mod handover;
mod http1;
mod http2;
mod log;
mod planted;
mod reload;
mod requests;
mod services;
mod sources;
mod tls;

/// Components of the world `wasi:http/proxy`, made of text.
#[path = "../../../http/tests/p2/guest.rs"]
mod proxy_guest;

#[path = "../../../innkeeper/tests/wasi_0_2/surface.rs"]
mod surface;

/// Components of the world `wasi:http/service`, made of text.
#[path = "../../../http/tests/p3/guest.rs"]
mod service_guest;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that is running. It is killed when this is dropped.
struct Server {
    child: Child,
    /// The addresses that it has told, as it tells them.
    addresses: Vec<String>,
    stderr: Receiver<String>,
    _dir: tempfile::TempDir,
}

/// What has become of a server that has ended by itself.
struct Ended {
    code: Option<i32>,
    log: Vec<serde_json::Value>,
}

impl Server {
    /// A server of this guest, in the text format, with these flags.
    fn of(guest: &str, flags: &[&str]) -> Server {
        Server::with(guest, flags, |_, inn| {
            inn.args(["--listen", "0"]);
        })
    }

    /// [`Server::of`], of which the command is made up further: it is given the folder that the guest is in.
    fn with(guest: &str, flags: &[&str], prepare: impl FnOnce(&Path, &mut Command)) -> Server {
        Server::of_kind(&["--cgi"], guest, flags, prepare)
    }

    /// A server of the component whose `handle` is the function `$handle` of this text.
    fn of_component(text: &str, flags: &[&str]) -> Server {
        Server::of_kind(&[], &proxy_guest::component(text), flags, |_, inn| {
            inn.args(["--listen", "0"]);
        })
    }

    fn of_kind(
        kind: &[&str],
        guest: &str,
        flags: &[&str],
        prepare: impl FnOnce(&Path, &mut Command),
    ) -> Server {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("guest.wat"), guest).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
        command.arg("serve").args(kind).args(["--cache", "off"]).args(flags);
        prepare(dir.path(), &mut command);
        command.arg("guest.wat").current_dir(dir.path());
        Server::start(command, dir)
    }

    fn start(command: Command, dir: tempfile::TempDir) -> Server {
        Server::start_after(command, dir, |_| false)
    }

    /// [`Server::start`], where it says something first.
    fn start_after(mut command: Command, dir: tempfile::TempDir, is_before: impl Fn(&str) -> bool) -> Server {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (told, stderr) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(told.send(line))));
        let mut server = Server { child, addresses: Vec::new(), stderr, _dir: dir };
        let mut first = server.line();
        while is_before(&first) {
            first = server.line();
        }
        let address = first.strip_prefix("serving: ").unwrap_or_else(|| panic!("{first}"));
        server.addresses.push(address.to_owned());
        server
    }

    /// The next line on standard error.
    fn line(&self) -> String {
        self.stderr.recv_timeout(PATIENCE).expect("a line on standard error")
    }

    fn address(&self) -> SocketAddr {
        let (_, address) = self.addresses[0].split_once("://").unwrap();
        address.parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }

    /// Waits for its end.
    fn ended(mut self) -> Ended {
        let mut log = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        let log = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        Ended { code: self.child.wait().unwrap().code(), log }
    }

    /// Ends it as a service manager does, and gives its log.
    fn log(self) -> Vec<serde_json::Value> {
        self.signal("-TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0));
        ended.log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Guests, in the text format.
mod guests {
    /// A guest that begins by printing this, and goes on with these instructions: `$print` and `$read` take an address and a count of bytes.
    fn guest(text: &str, then: &str) -> String {
        let escaped: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 4)
            (data (i32.const 4096) "{escaped}")
            (func $print (param i32 i32)
                (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
                (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
            (func $read (param i32 i32) (result i32)
                (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
                (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
                (i32.load (i32.const 8)))
            (func (export "_start") (local $n i32)
                (call $print (i32.const 4096) (i32.const {length}))
                {then}))"#,
            length = text.len()
        )
    }

    const HEAD: &str = "Content-Type: text/plain\r\n\r\n";

    /// Says hello.
    pub(crate) fn hello() -> String {
        guest("Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nhello\n", "")
    }

    /// Gives the request's body back as it comes.
    pub(crate) fn echo() -> String {
        let echo = "(loop
            (local.set $n (call $read (i32.const 65536) (i32.const 65536)))
            (if (local.get $n) (then (call $print (i32.const 65536) (local.get $n)) (br 1))))";
        guest(HEAD, echo)
    }

    /// Reads the request's body to its end, and then answers.
    pub(crate) fn reader() -> String {
        let text = "Content-Type: text/plain\n\nread";
        let read = format!(
            "(loop (br_if 0 (call $read (i32.const 65536) (i32.const 65536))))
            (call $print (i32.const 4096) (i32.const {}))",
            text.len()
        );
        // It prints nothing before.
        guest(text, &read).replacen(&format!("(i32.const {})", text.len()), "(i32.const 0)", 1)
    }

    /// Prints its environment.
    pub(crate) fn environment() -> String {
        let print = "(drop (call $sizes (i32.const 16) (i32.const 20)))
            (drop (call $environ (i32.const 8192) (i32.const 65536)))
            (call $print (i32.const 65536) (i32.load (i32.const 20)))";
        guest(HEAD, print)
    }

    /// Does what the first letter of its query says; without one, says hello.
    pub(crate) fn by_query() -> String {
        let head = "Content-Type: text/plain\r\n\r\n";
        let find = r#"(drop (call $sizes (i32.const 16) (i32.const 20)))
            (drop (call $environ (i32.const 8192) (i32.const 65536)))
            (local.set $n (i32.const 65536))
            (loop
                (if (i32.and (i64.eq (i64.load (local.get $n)) (i64.load (i32.const 2048)))
                             (i64.eq (i64.load offset=5 (local.get $n)) (i64.load offset=5 (i32.const 2048))))
                    (then (local.set $n (i32.load8_u offset=13 (local.get $n))))
                    (else (local.set $n (i32.add (local.get $n) (i32.const 1))) (br 1))))"#;
        let is = |letter: char, then: &str| {
            format!("(if (i32.eq (local.get $n) (i32.const {})) (then {then}))\n", u32::from(letter))
        };
        let begin = format!("(call $print (i32.const 4096) (i32.const {}))", head.len());
        let sleep = "(drop (call $poll (i32.const 3072) (i32.const 3200) (i32.const 1) (i32.const 8)))";
        let all = [
            find.to_owned(),
            is('l', "(loop (br 0))"),
            is('s', sleep),
            is('g', &format!("{GROW} {sleep}")),
            is('t', "unreachable"),
            is('e', "(call $exit (i32.const 0))"),
            begin,
            is('T', "unreachable"),
            is('L', "(loop (br 0))"),
            is('S', sleep),
            is('w', "(loop (call $print (i32.const 65536) (i32.const 65536)) (br 0))"),
            is('b', "(loop (br_if 0 (call $read (i32.const 65536) (i32.const 65536))))"),
            is('m', COUNT),
        ];
        let more = r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#;
        let data = format!(
            r#"(data (i32.const 2048) "QUERY_STRING=") (data (i32.const 3096) "{}")"#,
            r"\ff".repeat(7) + r"\0f"
        );
        // It prints its head where it wants to.
        guest(head, &all.concat())
            .replacen(&format!("(i32.const {})", head.len()), "(i32.const 0)", 1)
            .replacen("(memory (export", &format!("{more}{data}(memory (export"), 1)
    }

    /// Takes memory page by page, and uses it.
    const GROW: &str = "(block (loop
        (local.set $n (memory.grow (i32.const 1)))
        (br_if 1 (i32.eq (local.get $n) (i32.const -1)))
        (memory.fill (i32.shl (local.get $n) (i32.const 16)) (i32.const 7) (i32.const 65536))
        (br 0)))";

    /// Prints a digit of memory, and writes another there.
    const COUNT: &str =
        "(i32.store8 (i32.const 4000) (i32.add (i32.load8_u (i32.const 3900)) (i32.const 48)))
        (i32.store8 (i32.const 3900) (i32.const 1))
        (call $print (i32.const 4000) (i32.const 1))";

    /// Prints text, and then does something.
    pub(crate) fn prints(text: &str, then: &str) -> String {
        guest(text, then)
    }
}
