//! HTTP keys: which requests a guest may send, by method, scheme, host, port and path.
//!
//! An [`HttpKey`] is written as a URL with methods before it: `GET,POST:https://api.example.com/v1/*`. What is tried is an [`HttpTarget`].
//!
//! Must stay true: what a key prints as is read back as the same key; a path that servers could read in more than one way is covered only by a key to all paths.
//!
//! What this is not: a decision. What is tried is put to the gate of the host layer, which also decides on the address that a request is sent to.

mod methods;
mod parse;
mod path;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use methods::HttpMethods;
pub use path::PathPattern;

use super::network::{HostName, NetHost, PortSet, is_localhost};

/// How a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpScheme {
    /// In plain text.
    Http,
    /// Over TLS.
    Https,
}

/// A right to send requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct HttpKey {
    /// Which methods.
    pub methods: HttpMethods,
    /// How.
    pub scheme: HttpScheme,
    /// To which hosts.
    pub host: NetHost,
    /// To which ports.
    pub ports: PortSet,
    /// For which paths.
    pub path: PathPattern,
}

/// Whom a request names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpHost {
    /// By name.
    Name(HostName),
    /// By a canonical address.
    Address(IpAddr),
}

/// A request that a guest wants to send, as far as keys are about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    /// Its method.
    pub method: Box<str>,
    /// How it is sent.
    pub scheme: HttpScheme,
    /// Whom it names.
    pub host: HttpHost,
    /// The port.
    pub port: u16,
    /// The path, without a query. It begins with `/`, or is `*`.
    pub path: Box<str>,
}

impl HttpScheme {
    /// As URLs have it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            HttpScheme::Http => "http",
            HttpScheme::Https => "https",
        }
    }

    /// The port, if none is named.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            HttpScheme::Http => 80,
            HttpScheme::Https => 443,
        }
    }
}

impl HttpKey {
    /// Whether it grants a request, whatever the name of its host stands for.
    #[must_use]
    pub fn covers(&self, target: &HttpTarget) -> bool {
        self.covers_all_but_host(target)
            && match (&self.host, &target.host) {
                (NetHost::Any, _) => true,
                (NetHost::Names(pattern), HttpHost::Name(name)) => pattern.matches(name),
                (NetHost::Addresses(range), HttpHost::Address(address)) => range.contains(*address),
                // The one name whose addresses are known without asking.
                (NetHost::Names(pattern), HttpHost::Address(address)) => {
                    pattern.is_localhost() && is_localhost(*address)
                }
                (NetHost::Addresses(_), HttpHost::Name(_)) => false,
            }
    }

    /// Whether it grants a request to be sent to this very address, which no name could do.
    #[must_use]
    pub fn covers_address(&self, target: &HttpTarget, address: IpAddr) -> bool {
        self.covers_all_but_host(target)
            && match &self.host {
                NetHost::Any => false,
                NetHost::Addresses(range) => range.contains(address),
                NetHost::Names(pattern) => pattern.is_localhost() && is_localhost(address),
            }
    }

    /// Whether it lets the guest look up `name`, which is part of the right to send requests there.
    #[must_use]
    pub fn covers_lookup(&self, name: &HostName) -> bool {
        match &self.host {
            NetHost::Any => true,
            NetHost::Addresses(_) => false,
            NetHost::Names(pattern) => pattern.matches(name),
        }
    }

    /// The least key for a request, as far as keys can be written: where its method or path cannot, it is for all methods or paths.
    #[must_use]
    pub fn of(target: &HttpTarget) -> HttpKey {
        let host = match &target.host {
            HttpHost::Name(name) => NetHost::Names(name.into()),
            HttpHost::Address(address) => NetHost::Addresses(super::AddressRange::single(*address)),
        };
        HttpKey {
            methods: HttpMethods::of(&target.method).unwrap_or_else(HttpMethods::all),
            scheme: target.scheme,
            host,
            ports: PortSet::single(target.port),
            path: PathPattern::of(&target.path).unwrap_or_default(),
        }
    }

    /// Whether it is for one method and one path.
    pub(crate) fn is_of_one_request(&self) -> bool {
        self.methods != HttpMethods::all() && self.path != PathPattern::default()
    }

    fn covers_all_but_host(&self, target: &HttpTarget) -> bool {
        self.scheme == target.scheme
            && self.ports.contains(target.port)
            && self.methods.contains(&target.method)
            && self.path.matches(&target.path)
    }
}

impl HttpTarget {
    /// The request that a URL's parts make. The host is a name, or an address as URLs have it; the port is the scheme's if there is none.
    ///
    /// # Errors
    /// What is wrong with the host.
    pub fn new(
        method: &str,
        scheme: HttpScheme,
        (host, port): (&str, Option<u16>),
        path: &str,
    ) -> Result<HttpTarget, String> {
        let address = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) => {
                Some(IpAddr::V6(inside.parse().map_err(|_| format!("`{host}` is no address of IPv6"))?))
            }
            None => host.parse().ok().map(IpAddr::V4),
        };
        let host = match address {
            Some(address) => HttpHost::Address(address.to_canonical()),
            None => HttpHost::Name(HostName::parse(host)?),
        };
        let port = port.unwrap_or_else(|| scheme.usual_port());
        Ok(HttpTarget { method: method.into(), scheme, host, port, path: path.into() })
    }
}

/// As a flag or a policy has it.
impl fmt::Display for HttpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}://{}", self.methods, self.scheme.word(), self.host)?;
        if self.ports.as_single() != Some(self.scheme.usual_port()) {
            write!(f, ":{}", self.ports)?;
        }
        self.path.fmt(f)
    }
}

/// As in "denied: request *GET https://example.com/*".
impl fmt::Display for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}://", self.method, self.scheme.word())?;
        match &self.host {
            HttpHost::Name(name) => name.fmt(f)?,
            HttpHost::Address(IpAddr::V4(address)) => address.fmt(f)?,
            HttpHost::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        if self.port != self.scheme.usual_port() {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(&self.path)
    }
}

/// Reads a key: `METHODS:SCHEME://HOST[:PORTS][/PATH]`.
impl FromStr for HttpKey {
    type Err = String;

    fn from_str(text: &str) -> Result<HttpKey, String> {
        parse::key(text)
    }
}

impl Serialize for HttpKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HttpKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<HttpKey, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
