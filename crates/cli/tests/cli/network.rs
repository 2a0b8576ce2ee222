//! Keys to the network, as a user grants them: what a denial suggests is typed, a policy is learned, limits and deadlines hold.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::thread::{JoinHandle, spawn};

use crate::{guest, inn, scratch};

/// Somebody who answers so many connections.
fn server(connections: usize) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = spawn(move || {
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).unwrap();
            stream.write_all(format!("{} bytes\n", question.len()).as_bytes()).unwrap();
        }
    });
    (port, answering)
}

/// Runs `inn` as a shell does that has been typed these flags; gives what it printed, and its messages.
fn typed(cwd: &Path, flags: &[String], arguments: &str) -> (String, String) {
    let command = format!(r#"exec "$INN" --cache off {} "$GUEST" {arguments}"#, flags.join(" "));
    let ran = Command::new("bash")
        .args(["-c", &command])
        .current_dir(cwd)
        .env("INN", env!("CARGO_BIN_EXE_inn"))
        .env("GUEST", guest("sockets"))
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(ran.stdout), text(ran.stderr))
}

#[test]
fn what_is_suggested_is_typed_until_nothing_is_denied() {
    let folder = scratch();
    let (port, answering) = server(2);
    for (there, suggested) in [
        (format!("127.0.0.1:{port}"), vec!["connect:HOST:PORT", "connect:127.0.0.1:"]),
        (format!("localhost:{port}"), vec!["resolve:localhost", "connect:HOST:PORT", "connect:127.0.0.1:"]),
    ] {
        let mut flags: Vec<String> = Vec::new();
        for suggested in suggested {
            let (printed, told) = typed(folder.path(), &flags, &format!("client {there}"));
            assert_eq!(printed, "", "{told}");
            let flag = told.rsplit_once("--net ").map(|_| ()).and_then(|()| {
                let (_, rest) =
                    told.split_once("grant it with ").or_else(|| told.split_once("grant one with "))?;
                Some(rest.split([',', '\n']).next()?.to_owned())
            });
            let flag = flag.unwrap_or_else(|| panic!("nothing is suggested: {told}"));
            assert!(flag.contains(suggested), "{flag}, not {suggested}: {told}");
            // Which host is meant has to be filled in: any will do, as the next denial says it.
            flags.push(flag.replace("HOST:PORT", "192.0.2.1:9"));
        }
        let (printed, told) = typed(folder.path(), &flags, &format!("client {there}"));
        assert_eq!((printed.as_str(), told.as_str()), ("9 bytes\n", ""), "{flags:?}");
    }
    answering.join().unwrap();
}

#[test]
fn a_policy_is_learned_and_grants_the_same_and_no_more() {
    let folder = scratch();
    let (port, answering) = server(2);
    let there = format!("localhost:{port}");
    let learn =
        ["policy", "learn", "--to", "net.toml", "--net", "connect:*:*", "{sockets}", "client", &there];
    inn(&learn).current_dir(&folder).run().code(0).stdout("9 bytes\n");
    let policy = std::fs::read_to_string(folder.path().join("net.toml")).unwrap();
    assert!(policy.contains(&format!("\"connect:127.0.0.1:{port}\"")), "{policy}");
    assert!(policy.contains("\"resolve:localhost\""), "{policy}");
    let run = |arguments: &[&str]| {
        inn(&[&["--policy", "net.toml", "{sockets}"], arguments].concat()).current_dir(&folder).run()
    };
    run(&["client", &there]).code(0).stdout("9 bytes\n").stderr("");
    answering.join().unwrap();
    run(&["client", "127.0.0.1:9"]).code(1).says(&["grant it with --net connect:127.0.0.1:9"]);
}

#[test]
fn a_socket_that_a_component_cannot_find_is_told_of() {
    let ran = inn(&["--cache", "off", "--listen", "127.0.0.1:0", "{sockets}", "without-keys"]).run();
    ran.code(0).says(&["note: --listen: ", "--net listen:127.0.0.1:0 lets it do so"]);
}

#[test]
fn limits_and_deadlines_hold_for_sockets() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = silent.local_addr().unwrap().to_string();
    let key = format!("connect:{there}");
    let run = |flags: &[&str]| {
        inn(&[&["--cache", "off", "--net", &key], flags, &["{sockets}", "client", &there]].concat()).run()
    };
    run(&["--timeout", "300ms"]).says(&["--timeout is 300ms"]);
    // With that, the guest cannot even say what went wrong.
    run(&["--max-written", "4"]).says(&["--max-written is 4"]);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let there = peer.local_addr().unwrap().to_string();
    let udp = [
        "--cache",
        "off",
        "--max-written",
        "4",
        "--net",
        &format!("udp:{there}"),
        "{sockets}",
        "udp",
        &there,
    ];
    inn(&udp).run().says(&["--max-written is 4"]);
}
