//! `--static`: files beside the program, whole and in part, and nothing else.

use std::os::unix::fs::symlink;

use crate::client::{Answer, Client, ask};
use crate::{Server, guests};

/// A server that gives the files of `public`, beside which there is something that nobody may have.
fn server() -> Server {
    Server::with(&guests::hello(), &["--static", "/s=public"], |dir, inn| {
        let at = |name: &str| dir.join(name);
        std::fs::create_dir_all(at("public/sub/.git")).unwrap();
        std::fs::create_dir(at("public/empty")).unwrap();
        for (name, text) in [
            ("public/a b.txt", "0123456789"),
            ("public/page.HTML", "<p>"),
            ("public/none", ""),
            ("public/sub/index.html", "<h1>"),
            ("public/sub/.git/config", "secret"),
            ("public/.htpasswd", "secret"),
            ("secret", "secret"),
        ] {
            std::fs::write(at(name), text).unwrap();
        }
        std::fs::write(at("public/large"), vec![b'x'; 3_000_000]).unwrap();
        symlink("../secret", at("public/link")).unwrap();
        symlink("..", at("public/way")).unwrap();
        symlink("sub/index.html", at("public/inner")).unwrap();
        inn.args(["--listen", "0"]);
    })
}

fn get(server: &Server, path: &str, fields: &str) -> Answer {
    ask(server.address(), format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn field<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let line = answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {answer:?}"))
}

#[test]
fn files_are_given_beside_the_program() {
    let server = server();
    let text = get(&server, "/s/a%20b.txt", "");
    assert_eq!((text.status, &*text.body), (200, &b"0123456789"[..]));
    assert_eq!(field(&text, "content-type"), "text/plain; charset=utf-8");
    assert_eq!((field(&text, "content-length"), field(&text, "accept-ranges")), ("10", "bytes"));
    assert_eq!(field(&text, "x-content-type-options"), "nosniff");
    for (path, status, body) in [
        ("/s/page.HTML", 200, &b"<p>"[..]),
        ("/s/none", 200, b""),
        ("/s/inner", 200, b"<h1>"),
        ("/s/sub/", 200, b"<h1>"),
        ("/s//sub///index.html", 200, b"<h1>"),
        ("/s/sub", 301, b"Moved Permanently\n"),
        ("/s", 301, b"Moved Permanently\n"),
        ("/s/", 404, b"Not Found\n"),
        ("/s/empty/", 404, b"Not Found\n"),
        ("/s/other", 404, b"Not Found\n"),
        ("/s/page.HTML/", 404, b"Not Found\n"),
        // The program's.
        ("/", 200, b"hello\n"),
        ("/sub/", 200, b"hello\n"),
        ("/sx", 200, b"hello\n"),
    ] {
        let answer = get(&server, path, "");
        assert_eq!((answer.status, &*answer.body), (status, body), "{path}");
    }
    assert_eq!(field(&get(&server, "/s/sub?a=b", ""), "location"), "/s/sub/?a=b");
    assert_eq!(get(&server, "/s/large", "").body.len(), 3_000_000);
    let mut client = Client::connect(server.address());
    client.send("HEAD /s/large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let head = String::from_utf8(client.rest()).unwrap();
    assert!(head.contains("content-length: 3000000") && head.ends_with("\r\n\r\n"), "{head}");
    let posted = ask(server.address(), "POST /s/page.HTML HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((posted.status, field(&posted, "allow")), (405, "get, head"));
    assert!(server.log().iter().any(|line| line["guest"] == "files of public"));
}

#[test]
fn parts_and_conditions() {
    let server = server();
    let path = "/s/a%20b.txt";
    let whole = get(&server, path, "");
    let (tag, date) = (field(&whole, "etag").to_owned(), field(&whole, "last-modified").to_owned());
    let part = get(&server, path, "Range: bytes=2-4\r\n");
    assert_eq!((part.status, &*part.body, field(&part, "content-range")), (206, &b"234"[..], "bytes 2-4/10"));
    let end = get(&server, path, "Range: bytes=-3\r\n");
    assert_eq!((end.status, &*end.body), (206, &b"789"[..]));
    let beyond = get(&server, path, "Range: bytes=10-\r\n");
    assert_eq!((beyond.status, field(&beyond, "content-range")), (416, "bytes */10"));
    assert_eq!(get(&server, path, "Range: bytes=0-1,4-5\r\n").body.len(), 10);
    let large = get(&server, "/s/large", "Range: bytes=1000000-2999999\r\n");
    assert_eq!((large.status, large.body.len()), (206, 2_000_000));
    // In lower case, as this client gives it; a tag that may change is one as well.
    let tag = tag.replace("w/", "W/");
    for fields in [format!("If-None-Match: {tag}\r\n"), String::from("If-None-Match: *\r\n")] {
        let mut client = Client::connect(server.address());
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{fields}\r\n"));
        let answer = String::from_utf8(client.rest()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 304 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }
    assert_eq!(get(&server, path, "If-Match: \"other\"\r\n").status, 412);
    assert_eq!(get(&server, path, "If-None-Match: \"other\"\r\n").status, 200);
    assert!(date.ends_with("gmt"), "{date}");
}

#[test]
fn nothing_else_is_given() {
    let server = server();
    for path in [
        "/s/../secret",
        "/s/%2e%2e/secret",
        "/s/..%2fsecret",
        "/s/sub/../../secret",
        "/s/link",
        "/s/way/secret",
        "/s/way/",
        "/s/.htpasswd",
        "/s/sub/.git/config",
        "/s/%2ehtpasswd",
        "/s//etc/passwd",
        "/s/a%00",
        "/s/%",
        "/s/sub%2findex.html",
    ] {
        let answer = get(&server, path, "");
        assert_eq!((answer.status, &*answer.body), (404, &b"Not Found\n"[..]), "{path}");
    }
    let mut inn = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
    for (flag, wanted) in [
        ("/s=none", "no directory of files"),
        ("/=.", "the program's"),
        ("s=.", "begin with /"),
        ("/s", "/PATH=DIR"),
        ("/%73=.", "letters, digits"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("guest.wat"), guests::hello()).unwrap();
        let ran =
            inn.args(["serve", "--cgi", "--cache", "off", "--listen", "0", "--static", flag, "guest.wat"]);
        let ran = ran.current_dir(dir.path()).output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && stderr.contains(wanted), "{flag}: {stderr}");
        inn = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
    }
}
