//! Several handlers, each for hosts and a part of all paths.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use http::header::HOST;
use http::{Request, StatusCode};

use crate::{Arrival, Body, Failure, Handler, Response, full};

/// Hands each request to the handler whose host is the most exact one that is the request's, and of those to the one whose path is the longest that the request's begins with.
#[derive(Default)]
pub struct Routes(Vec<Route>);

struct Route {
    /// None: all of them.
    host: Option<HostPattern>,
    /// With no slash at its end.
    path: String,
    handler: Arc<dyn Handler>,
}

/// A name of hosts, without a port: one, or with `*.` before it all that end so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    /// In lower case, with a dot before it where it is the end of others.
    text: String,
}

impl HostPattern {
    /// Whether it stands for a host in lower case, without a port.
    fn is_of(&self, host: &str) -> bool {
        match self.text.starts_with('.') {
            true => host.len() > self.text.len() && host.ends_with(&self.text),
            false => host == self.text,
        }
    }

    /// How exact it is: one name before all that end so, and of these the longest.
    fn exactness(&self) -> (bool, usize) {
        (!self.text.starts_with('.'), self.text.len())
    }
}

impl FromStr for HostPattern {
    type Err = String;

    /// Reads `example.com`, `*.example.com`, an IPv4 address or an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<HostPattern, String> {
        let name = text.strip_prefix('*').unwrap_or(text);
        let is_wild = name.len() < text.len();
        let is_address = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let is_address = is_address.is_some_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
        let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
            && !name.ends_with('.');
        if !is_address && (!is_name || name.is_empty() || name.starts_with('.') != is_wild || name == ".") {
            return Err(String::from("write a name such as example.com or *.example.com, without a port"));
        }
        Ok(HostPattern { text: name.to_ascii_lowercase() })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.text.starts_with('.') { "*" } else { "" };
        write!(f, "{star}{}", self.text)
    }
}

impl Routes {
    /// None yet: every request is answered with 404.
    #[must_use]
    pub fn new() -> Routes {
        Routes::default()
    }

    /// Adds a handler for `path` of whatever host, and all paths below it: `/a` is that of `/a` and `/a/b`, and not of `/ab`. False where there is one for the same path.
    #[must_use]
    pub fn add(&mut self, path: &str, handler: Arc<dyn Handler>) -> bool {
        self.add_of_host(None, path, handler)
    }

    /// As [`Routes::add`], of these hosts; of all where there is none.
    #[must_use]
    pub fn add_of_host(&mut self, host: Option<&HostPattern>, path: &str, handler: Arc<dyn Handler>) -> bool {
        let path = path.trim_end_matches('/').to_owned();
        if self.0.iter().any(|route| route.path == path && route.host.as_ref() == host) {
            return false;
        }
        self.0.push(Route { host: host.cloned(), path, handler });
        // The one that is asked first is the one that counts.
        self.0.sort_by_key(|route| {
            std::cmp::Reverse((route.host.as_ref().map(HostPattern::exactness), route.path.len()))
        });
        true
    }

    fn find(&self, host: &str, path: &str) -> Option<&Arc<dyn Handler>> {
        let is_meant = |route: &&Route| {
            route.host.as_ref().is_none_or(|pattern| pattern.is_of(host))
                && path
                    .strip_prefix(&*route.path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || path == "*")
        };
        self.0.iter().find(is_meant).map(|route| &route.handler)
    }

    fn has_hosts(&self) -> bool {
        self.0.iter().any(|route| route.host.is_some())
    }
}

/// The host that a request is for, in lower case and without its port; empty where it names none.
fn host<B>(request: &Request<B>) -> String {
    let field = || request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let named =
        request.uri().authority().map(http::uri::Authority::as_str).or_else(field).unwrap_or_default();
    let without_port = match named.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => named,
    };
    without_port.trim_end_matches('.').to_ascii_lowercase()
}

impl Handler for Routes {
    fn handle<'a>(
        &'a self,
        request: Request<Body>,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
        let host = if self.has_hosts() { host(&request) } else { String::new() };
        match self.find(&host, request.uri().path()) {
            Some(handler) => handler.handle(request, arrival),
            None => Box::pin(async {
                let mut response = http::Response::new(full("Not Found\n"));
                *response.status_mut() = StatusCode::NOT_FOUND;
                Ok(response)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    impl Handler for Nobody {
        fn handle<'a>(
            &'a self,
            _: Request<Body>,
            _: Arrival,
        ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
            Box::pin(async { Err(Failure::Guest(String::new())) })
        }
    }

    fn handlers(count: usize) -> Vec<Arc<dyn Handler>> {
        (0..count).map(|_| Arc::new(Nobody) as Arc<dyn Handler>).collect()
    }

    #[test]
    fn the_longest_path_is_chosen_at_its_slashes() {
        let handlers = handlers(3);
        let mut routes = Routes::new();
        for (path, handler) in ["/a", "/", "/a/b/"].iter().zip(&handlers) {
            assert!(routes.add(path, Arc::clone(handler)));
        }
        assert!(!routes.add("/a/", Arc::clone(&handlers[0])));
        for (path, wanted) in [
            ("/", 1),
            ("/x", 1),
            ("/ab", 1),
            ("/a", 0),
            ("/a/", 0),
            ("/a/bc", 0),
            ("/a/b", 2),
            ("/a/b/c", 2),
            ("/%61/b", 1),
            ("*", 1),
        ] {
            let found = routes.find("", path).unwrap();
            assert!(Arc::ptr_eq(found, &handlers[wanted]), "{path}");
        }
        let mut one = Routes::new();
        assert!(one.add("/a", Arc::clone(&handlers[0])));
        assert!(one.find("", "/").is_none() && one.find("", "/b").is_none());
    }

    #[test]
    fn the_most_exact_host_is_chosen_before_the_path() {
        let handlers = handlers(5);
        let mut routes = Routes::new();
        let patterns = [
            None,
            Some("*.example.com"),
            Some("a.Example.com"),
            Some("*.b.example.com"),
            Some("a.example.com"),
        ];
        let paths = ["/", "/", "/", "/x", "/x"];
        for ((pattern, path), handler) in patterns.iter().zip(paths).zip(&handlers) {
            let pattern = pattern.map(|text| text.parse().unwrap());
            assert!(routes.add_of_host(pattern.as_ref(), path, Arc::clone(handler)));
        }
        for (host, path, wanted) in [
            ("a.example.com", "/", 2),
            ("a.example.com", "/x/y", 4),
            ("c.example.com", "/x", 1),
            ("c.b.example.com", "/x", 3),
            ("c.b.example.com", "/y", 1),
            ("example.com", "/x", 0),
            ("aexample.com", "/", 0),
            (".example.com", "/", 0),
            ("", "/x", 0),
        ] {
            assert!(Arc::ptr_eq(routes.find(host, path).unwrap(), &handlers[wanted]), "{host}{path}");
        }
    }

    #[test]
    fn a_requests_host_has_no_port_and_no_dot_at_its_end() {
        let of = |uri: &str, field: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(field) = field {
                request = request.header(HOST, field);
            }
            host(&request.body(()).unwrap())
        };
        assert_eq!(of("/", Some("A.b:80")), "a.b");
        assert_eq!(of("/", Some("a.b.")), "a.b");
        assert_eq!(of("http://c:81/", Some("a.b")), "c");
        assert_eq!(of("/", Some("[::1]:80")), "[::1]");
        assert_eq!(of("/", Some("[::1]")), "[::1]");
        assert_eq!(of("/", None), "");
    }

    #[test]
    fn patterns_are_names_and_nothing_else() {
        for text in ["example.com", "*.example.com", "localhost", "127.0.0.1", "[::1]"] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
        for text in ["", "*", "*.", "*example.com", "a.*.com", "a:80", "a/b", "[::1", ".a", "a.", "ä"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }
}
