//! HTTP keys as they are written, and what each covers.

use super::*;

fn key(text: &str) -> HttpKey {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The request `METHOD URL`.
fn target(text: &str) -> HttpTarget {
    let (method, url) = text.split_once(' ').expect("a method");
    let (scheme, rest) = url.split_once("://").expect("a scheme");
    let scheme = if scheme == "http" { HttpScheme::Http } else { HttpScheme::Https };
    let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (authority, None),
    };
    HttpTarget::new(method, scheme, (host, port), path).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn keys_are_printed_as_they_are_read() {
    for (text, printed) in [
        ("GET:https://example.com/v1/*", "GET:https://example.com/v1/*"),
        ("POST,GET,POST:https://example.com/a", "GET,POST:https://example.com/a"),
        ("https://example.com", "*:https://example.com/*"),
        ("*:HTTP://Example.COM.:80/", "*:http://example.com/"),
        ("GET:http://example.com:443", "GET:http://example.com:443/*"),
        ("GET:https://*.example.com:8000-8999,443/*", "GET:https://*.example.com:443,8000-8999/*"),
        ("GET:https://*:*", "GET:https://*:*/*"),
        ("GET:http://192.0.2.1", "GET:http://192.0.2.1/*"),
        ("GET:http://[2001:db8::1]:81/x", "GET:http://[2001:db8::1]:81/x"),
        ("GET:http://[fd00::/8]/x", "GET:http://[fd00::/8]/x"),
        ("M-SEARCH:http://example.com/a%20b", "M-SEARCH:http://example.com/a%20b"),
    ] {
        assert_eq!(key(text).to_string(), printed);
        assert_eq!(key(printed), key(text));
    }
    for (text, reason) in [
        ("", "no HTTP key"),
        ("GET:example.com", "no HTTP key"),
        ("get:https://example.com", "write GET"),
        ("GET,:https://example.com", "no method"),
        ("G T:https://example.com", "no method"),
        ("GET:ftp://example.com", "no scheme"),
        ("GET:https://", "which host"),
        ("GET:https:///x", "which host"),
        ("GET:https://user:secret@example.com", "no user and password"),
        ("GET:https://user@example.com/", "no user and password"),
        ("GET:https://example.com:0", "port 0"),
        ("GET:https://example.com:x/", "no port"),
        ("GET:https://example.com/?a=b", "query"),
        ("GET:https://example.com?a=b", "query"),
        ("GET:https://example.com/#a", "`#`"),
        ("GET:https://example.com/v1*", "after the last /"),
        ("GET:https://example.com/*/x", "after the last /"),
        ("GET:https://example.com/a b", "escaped"),
        ("GET:https://example.com/ü", "escaped"),
        ("GET:https://example.com/v1/../*", "another path"),
        ("GET:https://127.1/", "ends in a number"),
        ("GET:https://2001:db8::1/", "brackets"),
        ("GET:https://[2001:db8::1/", "bracket"),
    ] {
        let error = text.parse::<HttpKey>().expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn a_key_covers_its_methods_scheme_hosts_ports_and_paths_and_nothing_else() {
    let v1 = "GET,POST:https://api.example.com/v1/*";
    for (key_text, request, expected) in [
        (v1, "GET https://api.example.com/v1/items", true),
        (v1, "POST https://API.example.com.:443/v1/", true),
        (v1, "PUT https://api.example.com/v1/items", false),
        (v1, "get https://api.example.com/v1/items", false),
        (v1, "GET http://api.example.com/v1/items", false),
        (v1, "GET http://api.example.com:443/v1/items", false),
        (v1, "GET https://api.example.com:444/v1/items", false),
        (v1, "GET https://api.example.com.evil.net/v1/items", false),
        (v1, "GET https://example.com/v1/items", false),
        (v1, "GET https://192.0.2.1/v1/items", false),
        (v1, "GET https://api.example.com/v1", false),
        (v1, "GET https://api.example.com/v10/items", false),
        (v1, "GET https://api.example.com/V1/items", false),
        (v1, "GET https://api.example.com//v1/items", false),
        // Ways out of the path, as some servers read them.
        (v1, "GET https://api.example.com/v1/../admin", false),
        (v1, "GET https://api.example.com/v1/%2e%2E/admin", false),
        (v1, "GET https://api.example.com/v1/.%2e/admin", false),
        (v1, "GET https://api.example.com/v1/..;x/admin", false),
        (v1, "GET https://api.example.com/v1/..%2fadmin", false),
        (v1, "GET https://api.example.com/v1/..%5Cadmin", false),
        (v1, "GET https://api.example.com/v1/%252e%252e/admin", false),
        (v1, "GET https://api.example.com/v1/..", false),
        (v1, "GET https://api.example.com/v1/...", true),
        (v1, "GET https://api.example.com/v1/a..b/.c", true),
        ("GET:https://example.com/a", "GET https://example.com/a", true),
        ("GET:https://example.com/a", "GET https://example.com/a/", false),
        ("GET:https://example.com", "GET https://example.com/a/../b", true),
        ("*:https://*.example.com", "BREW https://a.example.com/", true),
        ("*:https://*.example.com", "GET https://a.b.example.com/", false),
        ("*:http://localhost:8080", "GET http://127.0.0.1:8080/", true),
        ("*:http://localhost:8080", "GET http://[::1]:8080/", true),
        ("*:http://localhost:8080", "GET http://127.0.0.2:8080/", false),
        ("*:http://127.0.0.1:8080", "GET http://[::ffff:127.0.0.1]:8080/", true),
        ("*:http://[fd00::/8]", "GET http://[fd12::1]/", true),
        ("*:http://*:*", "GET http://192.0.2.7:1/", true),
    ] {
        assert_eq!(key(key_text).covers(&target(request)), expected, "{key_text} {request}");
    }
}

/// Whatever guests send, keys for it can be read back, are for it, and for every method or path only where no key can say less.
#[test]
fn keys_for_any_request_can_be_read_back() {
    let methods = (0..=255_u8).map(|byte| format!("GE{}T", char::from(byte)));
    let methods = methods
        .chain(["*", "get", "GET", "", ",", "GET,POST", &"A".repeat(32), &"A".repeat(33)].map(String::from));
    for method in methods {
        for path in ["/", "/v1/x", "*", "/x*", "/x{", "/x\"y", "/é", "/x y", "/..", "/a?b", "/a#b", ""] {
            let target = HttpTarget::new(&method, HttpScheme::Https, ("example.com", None), path).unwrap();
            let least = HttpKey::of(&target);
            assert_eq!(least.to_string().parse().as_ref(), Ok(&least), "{method:?} {path:?}");
            assert!(least.covers(&target), "{least} {method:?} {path:?}");
            let is_written = ["GET", &"A".repeat(32)].contains(&&*method) && ["/", "/v1/x"].contains(&path);
            assert!(!is_written || least.is_of_one_request(), "{least}");
        }
    }
}

/// Paths that some server takes for a way out.
#[test]
fn what_some_servers_read_as_a_step_is_for_keys_to_all_paths() {
    for part in [
        "..",
        ".",
        "%2e%2e",
        ".%2E",
        "..;",
        "..;x=y",
        "..%3b",
        "%2e%2e%3B",
        "..%20",
        "..%09",
        "..%0d%0a",
        "%c0%ae%c0%ae",
        "%C1%1c",
        "%u002e%u002e",
        "..%2f",
        "..%5c",
        "..\\",
        "%252e",
        "..%00",
        ".%20;x",
    ] {
        for path in [format!("/v1/{part}/admin"), format!("/v1/{part}")] {
            let target = HttpTarget::new("GET", HttpScheme::Https, ("example.com", None), &path).unwrap();
            assert!(!key("GET:https://example.com/v1/*").covers(&target), "{path}");
            assert!(key("GET:https://example.com/*").covers(&target), "{path}");
        }
    }
    for path in [
        "/v1/..a",
        "/v1/a..",
        "/v1/...",
        "/v1/%41",
        "/v1/a;b",
        "/v1/a%3bb",
        "/v1/%",
        "/v1/%zz",
        "/v1/%e2%82%ac",
        "/v1/",
    ] {
        let target = HttpTarget::new("GET", HttpScheme::Https, ("example.com", None), path).unwrap();
        assert!(key("GET:https://example.com/v1/*").covers(&target), "{path}");
    }
}

#[test]
fn the_least_key_covers_its_request() {
    for request in [
        "GET https://api.example.com/v1/items",
        "POST http://192.0.2.1:81/",
        "GET http://[2001:db8::1]/x",
        "BREW https://example.com/a/../b",
        "GET https://example.com/x/*",
    ] {
        let target = target(request);
        let least = HttpKey::of(&target);
        assert!(least.covers(&target), "{least} {request}");
        assert_eq!(key(&least.to_string()), least);
        assert_eq!(target.to_string(), request);
    }
}
