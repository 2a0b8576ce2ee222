//! The variables that tell a program of its request.
//!
//! Specification: RFC 3875, section 4.1.

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName};
use http::request::Parts;

use crate::Arrival;

/// What `SERVER_SOFTWARE` says.
const SOFTWARE: &str = concat!("innkeeper/", env!("CARGO_PKG_VERSION"));

/// Fields that have a variable of their own, or would be taken for something else: with `HTTP_PROXY`, many programs would call out through whatever a client names.
const LEFT_OUT: [&str; 3] = ["content-type", "content-length", "proxy"];

/// The variables of a request whose body has `length` bytes, where that is known; none where its path cannot be told a program.
pub(super) fn variables(
    head: &Parts,
    arrival: &Arrival,
    length: Option<u64>,
) -> Option<Vec<(String, String)>> {
    let path = decoded(head.uri.path())?;
    let mut all = Vec::with_capacity(head.headers.len() + 16);
    let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
    set("GATEWAY_INTERFACE", "CGI/1.1");
    set("SERVER_SOFTWARE", SOFTWARE);
    set("SERVER_PROTOCOL", &format!("{:?}", head.version));
    set("REQUEST_METHOD", head.method.as_str());
    set("SCRIPT_NAME", "");
    set("PATH_INFO", &path);
    set("QUERY_STRING", head.uri.query().unwrap_or(""));
    let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    set("REQUEST_URI", target);
    let field = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok());
    let authority = head.uri.authority().map(http::uri::Authority::as_str).or_else(|| field(HOST));
    let authority = authority.and_then(|text| text.parse::<http::uri::Authority>().ok());
    let local = arrival.local;
    let name = authority.as_ref().map(|authority| authority.host().to_owned());
    let name = name.or_else(|| local.map(|local| local.ip().to_string()));
    set("SERVER_NAME", name.as_deref().unwrap_or("localhost"));
    let usual_port = if arrival.secure { 443 } else { 80 };
    let port = local.map_or(usual_port, |local| local.port());
    set("SERVER_PORT", &port.to_string());
    let peer = arrival.peer.map(|peer| (peer.ip().to_canonical().to_string(), peer.port()));
    // Over a socket of the file system, it is somebody on this machine.
    let (address, peer_port) = peer.unwrap_or_else(|| (String::from("127.0.0.1"), 0));
    set("REMOTE_ADDR", &address);
    set("REMOTE_PORT", &peer_port.to_string());
    if arrival.secure {
        set("HTTPS", "on");
    }
    if let Some(kind) = field(CONTENT_TYPE) {
        set("CONTENT_TYPE", kind);
    }
    if let Some(length) = length.filter(|length| *length > 0 || head.headers.contains_key(CONTENT_LENGTH)) {
        set("CONTENT_LENGTH", &length.to_string());
    }
    for name in head.headers.keys().filter(|name| !LEFT_OUT.contains(&name.as_str())) {
        // Underscores are what hyphens become: `a_b` would be taken for `a-b`, which somebody in front may have checked.
        if name.as_str().contains('_') {
            continue;
        }
        // Values that are no text cannot be told.
        let values =
            head.headers.get_all(name).iter().filter_map(|value| str::from_utf8(value.as_bytes()).ok());
        let separator = if name == http::header::COOKIE { "; " } else { ", " };
        let value = values.collect::<Vec<_>>().join(separator);
        set(&format!("HTTP_{}", name.as_str().to_uppercase().replace('-', "_")), &value);
    }
    Some(all)
}

/// A path without its escapes; none where that is no text, or has a zero.
fn decoded(path: &str) -> Option<String> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        (rest, bytes) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                (after, bytes)
            }
            (b'%', _) | (0, _) => return None,
            _ => {
                bytes.push(*first);
                (after, bytes)
            }
        };
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn paths_are_decoded_or_refused() {
        assert_eq!(decoded("/a%20b%2Fc%C3%bc"), Some(String::from("/a b/cü")));
        for bad in ["/%", "/%4", "/%zz", "/%00", "/%ff", "/%+1"] {
            assert_eq!(decoded(bad), None, "{bad}");
        }
    }

    #[test]
    fn fields_of_the_request_cannot_pass_for_others() {
        let request = Request::get("http://example.com:81/p?q=%20")
            .header("Proxy", "http://evil/")
            .header("X_Checked", "forged")
            .header("X-Checked", "true")
            .header("Cookie", "a=1")
            .header("Cookie", "b=2")
            .body(())
            .unwrap();
        let arrival = Arrival { peer: None, local: None, secure: true, deadline: None };
        let variables = variables(&request.into_parts().0, &arrival, None).unwrap();
        let get = |name: &str| {
            let mut found = variables.iter().filter(|(known, _)| known == name).map(|(_, value)| &**value);
            let value = found.next();
            assert_eq!(found.next(), None, "{name} is there twice");
            value
        };
        assert_eq!(get("HTTP_PROXY"), None);
        assert_eq!(get("HTTP_X_CHECKED"), Some("true"));
        assert_eq!(get("HTTP_COOKIE"), Some("a=1; b=2"));
        assert_eq!(get("SERVER_NAME"), Some("example.com"));
        assert_eq!((get("HTTPS"), get("SERVER_PORT")), (Some("on"), Some("443")));
        assert_eq!((get("PATH_INFO"), get("QUERY_STRING")), (Some("/p"), Some("q=%20")));
        assert_eq!(get("CONTENT_LENGTH"), None);
    }
}
