//! What whoever looks after a server is told, on an address of its own.

use std::net::SocketAddr;
use std::process::Command;

use crate::client::{Answer, Client, ask, is_served};
use crate::{Server, guests};

/// A server with these flags, and where it tells how it does.
fn server(guest: &str, flags: &[&str]) -> (Server, SocketAddr) {
    let server = Server::of(guest, &[&["--admin", "0"], flags].concat());
    let line = server.line();
    let address = line.strip_prefix("admin: http://").unwrap_or_else(|| panic!("{line}"));
    let address = address.parse().unwrap();
    (server, address)
}

fn get(address: SocketAddr, path: &str) -> Answer {
    ask(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n"))
}

fn text(address: SocketAddr, path: &str) -> String {
    let answer = get(address, path);
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    String::from_utf8(answer.body).unwrap()
}

/// The value of a line of `/metrics`.
fn metric(address: SocketAddr, name: &str) -> f64 {
    let all = text(address, "/metrics");
    let line = all.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{all}")).parse().unwrap()
}

#[test]
fn requests_guests_and_limits_are_counted() {
    let flags = ["--max-body", "10", "--max-cpu", "200ms"];
    let (server, admin) = server(&guests::by_query(), &flags);
    for _ in 0..3 {
        is_served(server.address());
    }
    let get = |query: &str| ask(server.address(), format!("GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!((get("t").status, get("l").status), (500, 504));
    let large = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n";
    assert_eq!(ask(server.address(), large).status, 413);
    for (name, wanted) in [
        (r#"inn_requests_total{guest="guest.wat",status="200"}"#, 3.0),
        (r#"inn_requests_total{guest="guest.wat",status="500"}"#, 1.0),
        (r#"inn_requests_total{guest="",status="413"}"#, 1.0),
        (r#"inn_request_seconds_count{guest="guest.wat"}"#, 5.0),
        (r#"inn_guest_traps_total{guest="guest.wat",trap="unreachable"}"#, 1.0),
        (r#"inn_guest_instances_total{guest="guest.wat",use="new"}"#, 5.0),
        (r#"inn_guest_memory_peak_bytes_count{guest="guest.wat"}"#, 5.0),
        (r#"inn_limits_hit_total{limit="max-body"}"#, 1.0),
        ("inn_requests_in_flight", 0.0),
        ("inn_requests_waiting", 0.0),
    ] {
        assert_eq!(metric(admin, name), wanted, "{name}");
    }
    assert!(metric(admin, r#"inn_guest_cpu_seconds_total{guest="guest.wat"}"#) >= 0.2);
    assert!(metric(admin, "process_resident_memory_bytes") > 1e6);
    let status: serde_json::Value = serde_json::from_str(&text(admin, "/status.json")).unwrap();
    let failures = status["failures"].as_array().unwrap();
    let notes: Vec<&str> = failures.iter().map(|failure| failure["note"].as_str().unwrap()).collect();
    assert!(notes.iter().any(|note| note.contains("unreachable")), "{status}");
    assert!(failures.iter().all(|failure| failure["path"] == "/"), "no queries: {status}");
    // Its log has what it had before.
    assert_eq!(server.log().len(), 6);
}

#[test]
fn readiness_ends_before_life_does() {
    let (server, admin) = server(&guests::echo(), &[]);
    assert_eq!((get(admin, "/healthz").status, get(admin, "/readyz").status), (200, 200));
    let mut client = Client::connect(server.address());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    client.wait_for("x\r\n");
    let mut idle = Client::connect(server.address());
    idle.send(crate::client::GET);
    assert_eq!(idle.answer().unwrap().status, 200);
    assert_eq!(metric(admin, "inn_requests_in_flight"), 1.0);
    server.signal("-TERM");
    assert!(idle.is_closed());
    let answer = get(admin, "/readyz");
    assert_eq!((answer.status, &*answer.body), (503, &b"ending\n"[..]));
    assert_eq!(get(admin, "/healthz").status, 200);
    client.send("0\r\n\r\n");
    assert!(client.answer().unwrap().is_whole);
    assert_eq!(server.ended().code, Some(0));
}

/// However many requests the server has.
#[test]
fn it_is_told_when_there_is_no_room_for_requests() {
    let flags = ["--max-requests", "1", "--max-queue", "0", "--max-connections", "2"];
    let (server, admin) = server(&guests::echo(), &flags);
    let mut busy: Vec<Client> = (0..2).map(|_| Client::connect(server.address())).collect();
    busy[0].send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    busy[0].wait_for("x\r\n");
    assert_eq!(get(admin, "/readyz").status, 503);
    busy[1].send(crate::client::GET);
    assert_eq!(busy[1].answer().unwrap().status, 503);
    assert_eq!(metric(admin, r#"inn_limits_hit_total{limit="max-queue"}"#), 1.0);
    assert_eq!(get(admin, "/healthz").status, 200);
}

#[test]
fn it_is_told_to_those_who_may_ask() {
    let (server, admin) = server(&guests::hello(), &[]);
    let by =
        |host: &str, path: &str| ask(admin, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status;
    for path in ["/", "/status.json"] {
        assert_eq!((by("localhost:1", path), by("evil.example", path)), (200, 421), "{path}");
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(by("inn.example", path), 200, "{path}");
    }
    assert_eq!(get(admin, "/other").status, 404);
    assert_eq!(ask(admin, "POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").status, 405);
    let page = get(admin, "/");
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{page:?}");
    // Clients of the server are answered by the guest alone.
    for path in ["/metrics", "/healthz", "/status.json"] {
        assert_eq!(get(server.address(), path).body, b"hello\n");
    }
}

/// In a browser, where there is one: the page runs, and shows what was counted.
#[test]
fn the_page_shows_how_the_server_does() {
    let (server, admin) = server(&guests::by_query(), &[]);
    is_served(server.address());
    assert_eq!(ask(server.address(), "GET /?t HTTP/1.1\r\nHost: a\r\n\r\n").status, 500);
    let profile = tempfile::tempdir().unwrap();
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--dump-dom",
        "--virtual-time-budget=3000",
    ]);
    chromium.arg(format!("--user-data-dir={}", profile.path().display())).arg(format!("http://{admin}/"));
    let Ok(ran) = chromium.output() else {
        assert!(text(admin, "/").contains("<script>"));
        return;
    };
    let page = String::from_utf8_lossy(&ran.stdout);
    for wanted in ["<code>guest.wat</code>", ">serving<", "wasm trap: unreachable"] {
        assert!(page.contains(wanted), "no {wanted} in {page}\n{}", String::from_utf8_lossy(&ran.stderr));
    }
}

/// Whoever holds many connections keeps nobody from asking whether the server lives.
#[test]
fn it_is_told_however_many_connections_somebody_holds() {
    let (_server, admin) = server(&guests::hello(), &[]);
    let mut held: Vec<Client> = (0..100).map(|_| Client::connect(admin)).collect();
    for client in &mut held {
        client.send("GET /healthz HTTP/1.1\r\n");
    }
    assert_eq!(get(admin, "/healthz").status, 200);
}
