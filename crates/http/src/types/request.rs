//! What a request says before its fields, and whom it is sent to.

use std::str::FromStr as _;

use bytes::Bytes;
use http::{HeaderValue, Request, header, uri};
use innkeeper_engine::Charge;
use innkeeper_wasi::keys::{HttpScheme, HttpTarget};

use super::error_code::ErrorCode;
use super::field_map::FieldMap;
use super::length::is_sendable;
use super::method::Method;

/// Method and target of a request that a guest makes or is given.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestHead {
    pub(crate) method: http::Method,
    pub(crate) path: Option<uri::PathAndQuery>,
    pub(crate) scheme: Option<uri::Scheme>,
    pub(crate) authority: Option<uri::Authority>,
}

/// The most bytes of a method. Those that there are have up to sixteen.
const MOST_METHOD_BYTES: usize = 64;

/// The most bytes of a host with its port and user.
const MOST_AUTHORITY_BYTES: usize = 512;

impl RequestHead {
    /// The most bytes of a path with its query: servers take 8 KiB, few of them more.
    pub(crate) const MOST_PATH_BYTES: usize = 16 << 10;

    /// What the parts of a request may take, for which room is asked with it.
    pub(crate) const MOST_BYTES: usize =
        MOST_METHOD_BYTES + MOST_AUTHORITY_BYTES + RequestHead::MOST_PATH_BYTES;

    /// Sets the method.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn set_method(&mut self, method: Method) -> Result<(), ()> {
        let method = method.parse().filter(|method| method.as_str().len() <= MOST_METHOD_BYTES);
        method.map(|method| self.method = method).ok_or(())
    }

    /// Sets the host and port, as far as `is_good` agrees, or takes it away.
    ///
    /// # Errors
    /// Where they are none.
    pub(crate) fn set_authority(
        &mut self,
        authority: Option<&str>,
        parse: impl FnOnce(&str) -> Option<uri::Authority>,
    ) -> Result<(), ()> {
        set_part(&mut self.authority, authority, |text| match text.len() {
            ..=MOST_AUTHORITY_BYTES => parse(text),
            _ => None,
        })
    }

    /// Sets the path with its query, or takes it away: nothing is as good as none.
    ///
    /// # Errors
    /// Where it is none.
    pub(crate) fn set_path(&mut self, path: Option<&str>) -> Result<(), ()> {
        set_part(&mut self.path, path.filter(|path| !path.is_empty()), |text| match text.len() {
            ..=RequestHead::MOST_PATH_BYTES => uri::PathAndQuery::from_str(text).ok(),
            _ => None,
        })
    }
}

/// Sets a part of a request, or takes it away; what is of no good form changes nothing.
///
/// # Errors
/// Where that is so.
pub(crate) fn set_part<P, V>(
    part: &mut Option<P>,
    value: Option<V>,
    parse: impl FnOnce(V) -> Option<P>,
) -> Result<(), ()> {
    *part = match value {
        None => None,
        Some(value) => Some(parse(value).ok_or(())?),
    };
    Ok(())
}

impl RequestHead {
    /// What the request is about, and what is sent before its body, with what is charged for its fields.
    ///
    /// # Errors
    /// Where it cannot be sent as it is.
    pub(crate) fn message(
        self,
        mut headers: FieldMap,
    ) -> Result<(HttpTarget, Request<()>, Charge), ErrorCode> {
        let RequestHead { method, path, scheme, authority } = self;
        let scheme = match scheme {
            None => HttpScheme::Https,
            Some(scheme) if scheme == uri::Scheme::HTTPS => HttpScheme::Https,
            Some(scheme) if scheme == uri::Scheme::HTTP => HttpScheme::Http,
            Some(_) => return Err(ErrorCode::HttpProtocolError),
        };
        if method == http::Method::CONNECT {
            return Err(ErrorCode::HttpRequestMethodInvalid);
        }
        let invalid = ErrorCode::HttpRequestUriInvalid;
        let authority = authority.ok_or_else(|| invalid.clone())?;
        let port = authority.port_u16();
        // Users and passwords are never sent, and fool who reads them; nor is a port that is none.
        if port.is_none() && authority.host().len() != authority.as_str().len()
            || authority.as_str().contains('@')
        {
            return Err(invalid);
        }
        let path = path.unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
        // Guests may set others, which are of no use to servers.
        if !path.path().starts_with('/') && path.path() != "*" {
            return Err(invalid);
        }
        let target = HttpTarget::new(method.as_str(), scheme, (authority.host(), port), path.path());
        let target = target.map_err(|_| invalid.clone())?;
        if !is_sendable(headers.map()) {
            return Err(ErrorCode::HttpProtocolError);
        }
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| invalid)?;
        headers.insert(header::HOST, host).map_err(ErrorCode::of_limit)?;
        let (headers, charge) = headers.into_parts();
        let mut message = Request::new(());
        *message.method_mut() = method;
        *message.uri_mut() = uri::Uri::from(path);
        *message.headers_mut() = headers;
        Ok((target, message, charge))
    }
}

/// A copy of path and query of a request that has come: they have no part of what was read with them.
pub(crate) fn own_path(uri: uri::Uri) -> Option<uri::PathAndQuery> {
    let path = uri.into_parts().path_and_query?;
    uri::PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path.as_str().as_bytes())).ok()
}
