//! Files of a directory, as they are.
//!
//! Must stay true: nothing outside of the directory is given to anybody, whatever the request's path says and whatever links there are; nothing is given that is no regular file; names that begin with a dot are
//! not there.
//!
//! Specification: RFC 9110, sections 13 (conditions) and 14 (ranges).

mod condition;
mod content_type;
mod open;
mod range;
mod sent;

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use http::header::{
    ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LAST_MODIFIED, LOCATION,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};

use crate::server::Account;
use crate::{Arrival, Body, Failure, Handler, Response, empty, full};
use condition::{Outcome, Validators};
use range::Range;
use sent::Sent;

/// A directory whose files are given to whoever asks.
#[derive(Debug)]
pub struct Files {
    /// Of the request's path; with no slash at its end.
    prefix: String,
    directory: Arc<OwnedFd>,
    /// For the log.
    name: String,
}

/// The file that stands for its directory.
const INDEX: &str = "index.html";

/// What a path leads to.
enum Found {
    File(File),
    /// A directory, which is asked for without a slash at the end.
    Directory,
}

impl Files {
    /// The files of `directory`, by paths that begin with `prefix`: `/` for all, or `/name`.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn new(prefix: &str, directory: &Path) -> io::Result<Files> {
        Ok(Files::within(prefix, Arc::new(open::directory(directory)?), directory))
    }

    /// As [`Files::new`], of a directory that has been opened, for whoever has a say in which way is gone there. `path` is what the log calls it.
    #[must_use]
    pub fn within(prefix: &str, directory: Arc<OwnedFd>, path: &Path) -> Files {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Files { prefix, directory, name: format!("files of {}", path.display()) }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response, Failure> {
        let account = request.extensions().get::<Account>().cloned().unwrap_or_default();
        account.handled_by(&self.name, None);
        let (head, _) = request.into_parts();
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let mut response = told(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Ok(response);
        }
        let path = head.uri.path();
        let rest = path.strip_prefix(&self.prefix).unwrap_or(path);
        let Some(names) = names(rest) else { return Ok(told(StatusCode::NOT_FOUND)) };
        let (directory, is_directory) = (Arc::clone(&self.directory), rest.ends_with('/'));
        let found = tokio::task::spawn_blocking(move || find(&directory, names, is_directory)).await;
        match found.map_err(io::Error::other).flatten() {
            Ok(Found::File(file)) => give(file, path, &head.headers),
            Ok(Found::Directory) if head.uri.path().starts_with("//") => Ok(told(StatusCode::NOT_FOUND)),
            Ok(Found::Directory) => Ok(moved(&format!("{path}/"), head.uri.query())),
            Err(error) if is_exhausted(&error) => Err(Failure::Exhausted(error.to_string())),
            // Whether it is there or not to be read is nobody's business.
            Err(_) => Ok(told(StatusCode::NOT_FOUND)),
        }
    }
}

impl Handler for Files {
    fn handle<'a>(
        &'a self,
        request: Request<Body>,
        _: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
        Box::pin(self.answer(request))
    }
}

/// There is no room for one more file.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// The names that a path consists of, decoded; none where it is none of a file that is to be had.
fn names(path: &str) -> Option<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        let name = decoded(part)?;
        // So `.`, `..`, `.git` and `.htpasswd`, however they are written; what RFC 8615 has there is meant to be found.
        let is_hidden = name.starts_with(b".") && name != b".well-known";
        if is_hidden || name.iter().any(|byte| matches!(byte, b'/' | b'\0')) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
                let digits = str::from_utf8(&digits).ok().filter(|_| is_hex)?;
                u8::from_str_radix(digits, 16).ok()?
            }
            byte => byte,
        });
    }
    Some(bytes)
}

fn find(directory: &OwnedFd, mut names: Vec<Vec<u8>>, is_directory: bool) -> io::Result<Found> {
    if names.is_empty() && !is_directory {
        return Ok(Found::Directory);
    }
    if is_directory {
        names.push(INDEX.as_bytes().to_vec());
        return open::file(directory, &names).map(Found::File);
    }
    match open::file(directory, &names) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Ok(Found::Directory),
        found => found.map(Found::File),
    }
}

/// The answer that a file is, or a part of it.
fn give(file: File, path: &str, request: &HeaderMap) -> Result<Response, Failure> {
    let metadata = file.metadata().map_err(|error| Failure::Exhausted(error.to_string()))?;
    let validators = Validators::of(&metadata, SystemTime::now());
    let length = metadata.len();
    let range = match validators.judge(request) {
        Outcome::Failed => return Ok(validators.written_on(told(StatusCode::PRECONDITION_FAILED))),
        Outcome::Unchanged => {
            return Ok(validators.written_on(with_status(StatusCode::NOT_MODIFIED, empty())));
        }
        Outcome::Whole => None,
        Outcome::Part => Range::asked_for(request, length),
    };
    let (status, begin, end) = match range {
        None => (StatusCode::OK, 0, length),
        Some(Range::Bytes { begin, end }) => (StatusCode::PARTIAL_CONTENT, begin, end),
        Some(Range::Unsatisfiable) => {
            let mut response = told(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut response, CONTENT_RANGE, format!("bytes */{length}"));
            return Ok(response);
        }
    };
    let mut response = with_status(status, Body::new(Sent::new(file, begin, end)));
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, CONTENT_RANGE, format!("bytes {begin}-{}/{length}", end - 1));
    }
    set(&mut response, CONTENT_LENGTH, (end - begin).to_string());
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type::of(path)));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(validators.written_on(response))
}

impl Validators {
    fn written_on(&self, mut response: Response) -> Response {
        set(&mut response, ETAG, self.tag().to_owned());
        set(&mut response, LAST_MODIFIED, self.modified());
        response
    }
}

/// A directory is asked for as one: links within its index are meant from there.
fn moved(path: &str, query: Option<&str>) -> Response {
    let mut response = told(StatusCode::MOVED_PERMANENTLY);
    set(&mut response, LOCATION, query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")));
    response
}

fn set(response: &mut Response, name: http::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

/// A status in words.
fn told(status: StatusCode) -> Response {
    let mut response =
        with_status(status, full(format!("{}\n", status.canonical_reason().unwrap_or_default())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn with_status(status: StatusCode, body: Body) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_names_or_nothing() {
        let of = |path: &str| {
            names(path)
                .map(|names| names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
        };
        let some = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of("/a//b%20c/"), some(&["a", "b c"]));
        assert_eq!(of("/"), some(&[]));
        assert_eq!(of("/.well-known/x"), some(&[".well-known", "x"]));
        for path in [
            "/..",
            "/a/../b",
            "/a/.",
            "/%2e%2e/x",
            "/.%2e",
            "/.git/config",
            "/a%2fb",
            "/a%00",
            "/%2",
            "/%zz",
            "/%+1",
            "/%2e",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
