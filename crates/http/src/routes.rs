//! Several handlers, each for a part of all paths.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, StatusCode};

use crate::{Arrival, Body, Failure, Handler, Response, full};

/// Hands each request to the handler whose path is the longest that its own begins with.
#[derive(Default)]
pub struct Routes(Vec<Route>);

struct Route {
    /// With no slash at its end.
    path: String,
    handler: Arc<dyn Handler>,
}

impl Routes {
    /// None yet: every request is answered with 404.
    #[must_use]
    pub fn new() -> Routes {
        Routes::default()
    }

    /// Adds a handler for `path`, and all paths below it: `/a` is that of `/a` and `/a/b`, and not of `/ab`. False where there is one for the same path.
    #[must_use]
    pub fn add(&mut self, path: &str, handler: Arc<dyn Handler>) -> bool {
        let path = path.trim_end_matches('/').to_owned();
        if self.0.iter().any(|route| route.path == path) {
            return false;
        }
        self.0.push(Route { path, handler });
        // The longest is asked first.
        self.0.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        true
    }

    fn find(&self, path: &str) -> Option<&Arc<dyn Handler>> {
        let is_below = |route: &&Route| {
            path.strip_prefix(&*route.path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || path == "*")
        };
        self.0.iter().find(is_below).map(|route| &route.handler)
    }
}

impl Handler for Routes {
    fn handle<'a>(
        &'a self,
        request: Request<Body>,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
        match self.find(request.uri().path()) {
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

    #[test]
    fn the_longest_path_is_chosen_at_its_slashes() {
        let handlers: Vec<Arc<dyn Handler>> = (0..3).map(|_| Arc::new(Nobody) as Arc<dyn Handler>).collect();
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
            let found = routes.find(path).unwrap();
            assert!(Arc::ptr_eq(found, &handlers[wanted]), "{path}");
        }
        let mut one = Routes::new();
        assert!(one.add("/a", Arc::clone(&handlers[0])));
        assert!(one.find("/").is_none() && one.find("/b").is_none());
    }
}
