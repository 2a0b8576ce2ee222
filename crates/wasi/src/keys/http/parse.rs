//! HTTP keys as people write them. What is refused is told with the thing, the reason and what to write instead.

use super::super::network::{NetAction, PortSet, parse_host};
use super::{HttpKey, HttpMethods, HttpScheme, PathPattern};

/// How keys are written.
const FORM: &str = "METHODS:SCHEME://HOST[:PORT][/PATH], as in GET,POST:https://api.example.com/v1/*";

/// Reads a key.
pub(super) fn key(text: &str) -> Result<HttpKey, String> {
    let Some((before, rest)) = text.split_once("://") else {
        return Err(format!("`{text}` is no HTTP key: write {FORM}"));
    };
    let within = |error: String| format!("`{text}`: {error}");
    let (methods, scheme) = before.rsplit_once(':').unwrap_or(("*", before));
    let methods = HttpMethods::parse(methods).map_err(within)?;
    let scheme = match &*scheme.to_ascii_lowercase() {
        "http" => HttpScheme::Http,
        "https" => HttpScheme::Https,
        _ => return Err(format!("`{text}`: `{scheme}` is no scheme of HTTP: write {FORM}")),
    };
    // An address of IPv6 may be a range, which has a slash in it.
    let bracketed = if rest.starts_with('[') { rest.find(']').unwrap_or(0) } else { 0 };
    let end = rest[bracketed..].find(['/', '?', '#']).map_or(rest.len(), |end| bracketed + end);
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        return Err(within(String::from(
            "a key has no user and password: a guest that needs them sends them itself, in a field",
        )));
    }
    let (host, ports) = match authority.rsplit_once(':') {
        Some((host, ports)) if !ports.ends_with(']') => (host, Some(ports)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err(format!("`{text}` does not say which host: write {FORM}, or * for every host"));
    }
    let ports = match ports {
        Some(ports) => PortSet::parse(ports).map_err(within)?,
        None => PortSet::single(scheme.usual_port()),
    };
    if ports != PortSet::all() && ports.contains(0) {
        return Err(within(String::from(
            "nobody is reached on port 0: write the port that the host listens on",
        )));
    }
    let host = parse_host(NetAction::Connect, host).map_err(within)?;
    let path = PathPattern::parse(path).map_err(within)?;
    Ok(HttpKey { methods, scheme, host, ports, path })
}
