//! Programs that are read again while they are served.

use std::path::{Path, PathBuf};

use crate::client::{Client, GET, ask, is_served};
use crate::{Server, guests, proxy_guest};

/// A server of this guest with these flags, and its folder.
fn server(kind: &[&str], guest: &str, flags: &[&str]) -> (Server, PathBuf) {
    let mut place = None;
    let server = Server::of_kind(kind, guest, flags, |dir, inn| {
        place = Some(dir.to_owned());
        inn.args(["--listen", "0"]);
    });
    (server, place.unwrap())
}

/// Puts a file in the place of another as whoever deploys does: it is there as a whole, or not at all.
pub(crate) fn put(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join("new"), text).unwrap();
    std::fs::rename(dir.join("new"), dir.join(name)).unwrap();
}

fn says(text: &str) -> String {
    guests::prints(&format!("Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len()), "")
}

fn body(server: &Server) -> String {
    let answer = ask(server.address(), GET);
    assert_eq!(answer.status, 200);
    String::from_utf8(answer.body).unwrap()
}

#[track_caller]
pub(crate) fn wait_for(server: &Server, wanted: &str) {
    let mut lines = Vec::new();
    while !lines.last().is_some_and(|line: &String| line.contains(wanted)) {
        lines.push(server.line());
    }
}

const READ_AGAIN: &str = "guest.wat: read again";
const STAYS: &str = "guest.wat: what was read before stays in use";

#[test]
fn new_code_answers_new_requests_and_old_requests_are_answered_by_the_old() {
    let (server, dir) = server(&["--cgi"], &guests::echo(), &[]);
    let mut open = Client::connect(server.address());
    open.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    open.wait_for("first\r\n");
    for text in ["new", "newer"] {
        put(&dir, "guest.wat", &says(text));
        server.signal("-HUP");
        wait_for(&server, READ_AGAIN);
        assert_eq!(body(&server), text);
    }
    open.send("6\r\nsecond\r\n0\r\n\r\n");
    let answer = open.answer().unwrap();
    assert_eq!((&*answer.body, answer.is_whole), (&b"firstsecond"[..], true));
    // The same connection is another request's.
    open.send(GET);
    assert_eq!(open.answer().unwrap().body, b"newer");
    assert!(server.log().iter().all(|line| line["status"] == 200));
}

/// Whatever is wrong with it: text, module, no program, nothing at all.
#[test]
fn what_is_not_in_order_is_said_and_the_old_code_goes_on() {
    let (server, dir) = server(&["--cgi"], &says("old"), &[]);
    let component = proxy_guest::component("(func $handle (param i32 i32))");
    for bad in ["(module", "(module (func i32.add))", "(module)", "", "no module", &component] {
        put(&dir, "guest.wat", bad);
        server.signal("-HUP");
        wait_for(&server, STAYS);
        assert_eq!(body(&server), "old", "{bad}");
    }
    std::fs::remove_file(dir.join("guest.wat")).unwrap();
    server.signal("-HUP");
    wait_for(&server, STAYS);
    put(&dir, "guest.wat", &says("new"));
    server.signal("-HUP");
    wait_for(&server, READ_AGAIN);
    assert_eq!(body(&server), "new");
}

#[test]
fn what_has_changed_is_seen_where_it_is_watched() {
    let (server, dir) = server(&["--cgi"], &says("old"), &["--watch"]);
    assert_eq!(body(&server), "old");
    put(&dir, "guest.wat", &says("new"));
    wait_for(&server, READ_AGAIN);
    assert_eq!(body(&server), "new");
    put(&dir, "guest.wat", "(module");
    wait_for(&server, STAYS);
    put(&dir, "guest.wat", &says("newer"));
    wait_for(&server, READ_AGAIN);
    assert_eq!(body(&server), "newer");
}

#[test]
fn components_are_read_again_too() {
    let status = |status: u32| {
        proxy_guest::component(&format!(
            "(func $handle (param i32) (param $out i32) (local $body i32)
                (local.set $body (call $answer (local.get $out) (i32.const {status})))
                (call $end (local.get $body) (call $stream (local.get $body))))"
        ))
    };
    let (server, dir) = server(&[], &status(200), &[]);
    is_served(server.address());
    put(&dir, "guest.wat", &status(201));
    server.signal("-HUP");
    wait_for(&server, READ_AGAIN);
    assert_eq!(ask(server.address(), GET).status, 201);
}

/// A policy is part of what is served, and what it had opened stays open where it is the same.
#[test]
fn policies_are_read_again() {
    let mut place = None;
    let server = Server::with(&guests::environment(), &["--watch"], |dir, inn| {
        place = Some(dir.to_owned());
        std::fs::write(dir.join("policy.toml"), "[environment.set]\nNAME = \"old\"\n").unwrap();
        inn.args(["--listen", "0", "--policy", "policy.toml"]);
    });
    let dir = place.unwrap();
    assert!(body(&server).contains("NAME=old\0"));
    put(&dir, "policy.toml", "[environment.set]\nNAME = \"new\"\n");
    wait_for(&server, READ_AGAIN);
    assert!(body(&server).contains("NAME=new\0"));
    put(&dir, "policy.toml", "[environment.unset]\n");
    wait_for(&server, STAYS);
    assert!(body(&server).contains("NAME=new\0"));
}

/// A guest that can write where its policy lies does not grant itself anything by that.
#[test]
fn no_guest_chooses_its_own_keys() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_owned();
    std::fs::create_dir(dir.join("data")).unwrap();
    std::fs::write(dir.join("guest.wat"), guests::environment()).unwrap();
    std::fs::write(dir.join("data/policy.toml"), "[environment.set]\nNAME = \"old\"\n").unwrap();
    let mut inn = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
    inn.args(["serve", "--cgi", "--cache", "off", "--watch", "--listen", "0", "--dir", "data::/data::rw"]);
    inn.args(["--policy", "data/policy.toml", "guest.wat"]).current_dir(&dir);
    // It is warned of, with how to mend it.
    let server = Server::start_after(inn, folder, |line| !line.starts_with("serving: "));
    put(&dir, "data/policy.toml", "[environment.set]\nNAME = \"new\"\n");
    wait_for(&server, "the policy lies in data, which the guest may write to: it is not read again");
    wait_for(&server, STAYS);
    assert!(body(&server).contains("NAME=old\0"));
}

/// What was opened when nobody had run stays open: no guest leads the next one's directory elsewhere, nor its program.
#[test]
fn nothing_is_opened_again_by_a_planted_link() {
    use std::os::unix::fs::symlink;
    let cat = guests::prints("Content-Type: text/plain\r\n\r\n", "");
    let mut place = None;
    let server = Server::with(&cat, &[], |dir, inn| {
        place = Some(dir.to_owned());
        std::fs::create_dir_all(dir.join("data/public")).unwrap();
        std::fs::create_dir(dir.join("out")).unwrap();
        std::fs::write(dir.join("data/public/file"), "public").unwrap();
        std::fs::write(dir.join("out/file"), "secret").unwrap();
        inn.args(["--listen", "0", "--dir", "data::/data::rw", "--static", "/public=data/public"]);
    });
    let dir = place.unwrap();
    // As the guest could.
    std::fs::rename(dir.join("data/public"), dir.join("data/moved")).unwrap();
    symlink("../out", dir.join("data/public")).unwrap();
    server.signal("-HUP");
    wait_for(&server, READ_AGAIN);
    let request = "GET /public/file HTTP/1.1\r\nHost: a\r\n\r\n";
    assert_eq!(ask(server.address(), request).body, b"public");
}
