//! What a guest may do in the network: its keys, and what names have resolved to.
//!
//! A name's addresses are asked for once, when the guest first looks it up, and are kept for as long as the guest is there: whoever answers for the name cannot have it lead
//! elsewhere later. Addresses that mean this machine or its links wherever they are used (`127.0.0.1`, `169.254.0.0/16`), or that an interface of it has, are never granted by a
//! name but `localhost`: whoever answers for a name could have it lead to what listens here for nobody else.
//!
//! Must stay true: an address is in its canonical form before it comes here, and the one that was decided on is the one that is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use innkeeper_engine::{Budget, BudgetKind, Charge};

use super::denial::MissingKey;
use super::error::Error;
use crate::keys::{HostName, HttpKey, HttpTarget, NetAction, NetHost, NetKey, PortSet};

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// Something in the network that a guest wants to use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A new socket.
    Socket(Transport),
    /// An address, and what it is wanted for.
    Address(NetAction, SocketAddr),
    /// A name whose addresses are wanted.
    Name(HostName),
    /// A request of HTTP.
    Request(HttpTarget),
    /// An address that a request of HTTP is to be sent to, which was allowed.
    RequestAddress {
        request: HttpTarget,
        address: SocketAddr,
        /// Whether an interface of this machine has it.
        is_own: bool,
    },
}

/// The keys, and what is known of names.
#[derive(Debug)]
pub(super) struct Network {
    keys: Arc<[NetKey]>,
    http: Arc<[HttpKey]>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_name: BTreeMap<HostName, Pinned>,
    by_address: BTreeMap<IpAddr, BTreeSet<HostName>>,
}

/// What a name resolved to when it was first looked up.
#[derive(Debug)]
struct Pinned {
    addresses: Arc<[IpAddr]>,
    _charge: Charge,
}

/// What keeping a name costs beside its text, and each of its addresses.
const NAME_COST_BYTES: u64 = 256;
const ADDRESS_COST_BYTES: u64 = 512;

impl Network {
    pub(super) fn new(keys: &Arc<[NetKey]>, http: &Arc<[HttpKey]>) -> Network {
        Network { keys: Arc::clone(keys), http: Arc::clone(http), known: Mutex::default() }
    }

    /// Whether the keys grant the use of `target`.
    pub(super) fn allows(&self, target: &Target) -> bool {
        match target {
            Target::Socket(transport) => self.keys.iter().any(|key| is_by(key.action, *transport)),
            // Who may send has an address to send from, and hears only from those it may send to.
            Target::Address(NetAction::UdpBind, address) if address.port() == 0 => {
                self.covers(NetAction::UdpBind, *address) || self.has(NetAction::Udp)
            }
            Target::Address(action, address) => self.covers(*action, *address),
            Target::Name(name) => {
                self.keys.iter().any(|key| key.covers_lookup(name))
                    || self.http.iter().any(|key| key.covers_lookup(name))
            }
            Target::Request(request) => self.granting_http_key(request).is_some(),
            Target::RequestAddress { request, address, is_own } => {
                !(is_inner(address.ip()) || *is_own)
                    || self.covers(NetAction::Connect, *address)
                    || self.http.iter().any(|key| key.covers_address(request, address.ip()))
            }
        }
    }

    /// The key of the guest's that grants a request.
    pub(super) fn granting_http_key(&self, request: &HttpTarget) -> Option<HttpKey> {
        self.http.iter().find(|key| key.covers(request)).cloned()
    }

    /// Whether a key is for this action with this address, or for a name that has it.
    pub(super) fn covers(&self, action: NetAction, address: SocketAddr) -> bool {
        self.keys.iter().any(|key| key.covers_address(action, address))
            || self.named(action, address).is_some()
    }

    /// Whether a key is for this action, with whomever.
    pub(super) fn has(&self, action: NetAction) -> bool {
        self.keys.iter().any(|key| key.action == action)
    }

    /// The name by which a key grants an address.
    fn named(&self, action: NetAction, address: SocketAddr) -> Option<HostName> {
        if is_near(address.ip()) {
            return None;
        }
        let known = self.known();
        let mut names = known.by_address.get(&address.ip())?.iter();
        let is_granted =
            |name: &&HostName| self.keys.iter().any(|key| key.covers_name(action, name, address.port()));
        names.find(is_granted).cloned()
    }

    /// What a name resolved to when it was first looked up, if that is kept.
    pub(super) fn pinned(&self, name: &HostName) -> Option<Arc<[IpAddr]>> {
        Some(Arc::clone(&self.known().by_name.get(name)?.addresses))
    }

    /// Keeps what a name has resolved to, if a key is for that name; gives what is kept. Addresses of which `is_own` says that they are this machine's are known, and not granted by
    /// the name.
    ///
    /// # Errors
    /// [`Error::NoMemory`] where the guest's budget has no room for it.
    pub(super) fn pin(
        &self,
        name: &HostName,
        (addresses, is_own): (Vec<IpAddr>, impl Fn(IpAddr) -> bool),
        budget: &Budget,
    ) -> Result<Arc<[IpAddr]>, Error> {
        let mut hosts = self.keys.iter().map(|key| &key.host).chain(self.http.iter().map(|key| &key.host));
        let is_by_name = hosts.any(|host| matches!(host, NetHost::Names(names) if names.matches(name)));
        // What `localhost` grants is known.
        if !is_by_name || name.is_localhost() {
            return Ok(addresses.into());
        }
        let mut known = self.known();
        if let Some(pinned) = known.by_name.get(name) {
            return Ok(Arc::clone(&pinned.addresses));
        }
        let cost_bytes =
            NAME_COST_BYTES + name.as_str().len() as u64 + ADDRESS_COST_BYTES * addresses.len() as u64;
        let charge = budget.hold(BudgetKind::Buffer, cost_bytes).map_err(|_| Error::NoMemory)?;
        for address in addresses.iter().filter(|address| !is_own(**address)) {
            known.by_address.entry(*address).or_default().insert(name.clone());
        }
        let addresses: Arc<[IpAddr]> = addresses.into();
        known.by_name.insert(name.clone(), Pinned { addresses: Arc::clone(&addresses), _charge: charge });
        Ok(addresses)
    }

    /// The key that would have granted `target`: for the name that it was looked up by, where there is one.
    pub(super) fn missing_key(&self, target: &Target) -> MissingKey {
        match target {
            Target::Socket(transport) => MissingKey::Socket { transport: *transport },
            Target::Address(action, address) => MissingKey::Network { key: self.key_of(*action, *address) },
            Target::Name(name) => MissingKey::Network { key: NetKey::to_resolve(name) },
            Target::Request(request) => MissingKey::Http { key: HttpKey::of(request) },
            Target::RequestAddress { address, .. } => {
                MissingKey::Network { key: NetKey::of_address(NetAction::Connect, *address) }
            }
        }
    }

    /// The least key for what was granted; none where it took no key of its own.
    pub(super) fn least_key(&self, target: &Target) -> Option<NetKey> {
        match target {
            Target::Socket(_) | Target::Request(_) => None,
            Target::Address(action, address) if !self.covers(*action, *address) => None,
            Target::Address(action, address) => Some(match self.named(*action, *address) {
                Some(name) => NetKey::of_name(*action, &name, address.port()),
                None => NetKey::of_address(*action, *address),
            }),
            // What an HTTP key grants is learned as one.
            Target::Name(name) if !self.keys.iter().any(|key| key.covers_lookup(name)) => None,
            Target::Name(name) => Some(NetKey::to_resolve(name)),
            Target::RequestAddress { request, address, is_own } => self
                .takes_own_key(request, *address, *is_own)
                .then(|| NetKey::of_address(NetAction::Connect, *address)),
        }
    }

    /// Whether a request can be sent to an address only because a key is for connections there.
    fn takes_own_key(&self, request: &HttpTarget, address: SocketAddr, is_own: bool) -> bool {
        (is_inner(address.ip()) || is_own)
            && !self.http.iter().any(|key| key.covers_address(request, address.ip()))
            && self.covers(NetAction::Connect, address)
    }

    /// The key of the guest's that granted `target`, or what that grants of looking up names; none where it took no key of its own.
    pub(super) fn granting_key(&self, target: &Target) -> Option<NetKey> {
        let mut keys = self.keys.iter();
        match target {
            Target::Socket(_) | Target::Request(_) => None,
            Target::RequestAddress { request, address, is_own } => {
                match self.takes_own_key(request, *address, *is_own) {
                    true => self.granting_key(&Target::Address(NetAction::Connect, *address)),
                    false => None,
                }
            }
            Target::Address(action, address) => {
                let name = self.named(*action, *address);
                let is_by_name = |key: &NetKey| {
                    name.as_ref().is_some_and(|name| key.covers_name(*action, name, address.port()))
                };
                keys.find(|key| key.covers_address(*action, *address) || is_by_name(key)).cloned()
            }
            Target::Name(name) => {
                let key = keys.find(|key| key.covers_lookup(name))?;
                Some(NetKey { action: NetAction::Resolve, host: key.host.clone(), ports: PortSet::default() })
            }
        }
    }

    fn key_of(&self, action: NetAction, address: SocketAddr) -> NetKey {
        let is_nameable = !action.is_local() && !is_near(address.ip());
        let known = self.known();
        let name = known.by_address.get(&address.ip()).and_then(BTreeSet::first).filter(|_| is_nameable);
        match name {
            Some(name) => NetKey::of_name(action, name, address.port()),
            None => NetKey::of_address(action, address),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an action is done by sockets that speak so.
fn is_by(action: NetAction, transport: Transport) -> bool {
    match transport {
        Transport::Tcp => matches!(action, NetAction::Connect | NetAction::Listen),
        Transport::Udp => matches!(action, NetAction::Udp | NetAction::UdpBind),
    }
}

/// Whether an address is this machine's own, or of whatever is on a link of it.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let is_this_network = address.octets()[0] == 0;
            is_this_network
                || address.is_loopback()
                || address.is_link_local()
                || address.is_multicast()
                || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unicast_link_local()
                || address.is_multicast()
        }
    }
}

/// Whether an address is not one of the open network: this machine's own, of its links, of a private network or reserved, also where it stands in one of IPv6 that is translated.
fn is_inner(address: IpAddr) -> bool {
    let ipv4 = |address: Ipv4Addr| {
        let [first, second, third, _] = address.octets();
        is_near(address.into())
            || address.is_private()
            || (first == 100 && second & 0xc0 == 64)
            || (first == 192 && second == 0 && third == 0)
            || (first == 198 && second & 0xfe == 18)
            || first >= 240
    };
    match address {
        IpAddr::V4(address) => ipv4(address),
        IpAddr::V6(address) => {
            let parts = address.segments();
            let embedded = |high: u16, low: u16| {
                let ([first, second], [third, fourth]) = (high.to_be_bytes(), low.to_be_bytes());
                Ipv4Addr::new(first, second, third, fourth)
            };
            is_near(address.into())
                || address.is_unique_local()
                // Of a site, as it was once.
                || parts[0] & 0xffc0 == 0xfec0
                || match parts {
                    // Compatible (RFC 4291), translated (RFC 6052), local translations (RFC 8215), 6to4 (RFC 3056).
                    [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                        ipv4(embedded(high, low))
                    }
                    [0x64, 0xff9b, 1, ..] => true,
                    [0x2002, high, low, ..] => ipv4(embedded(high, low)),
                    _ => false,
                }
        }
    }
}

/// As in "denied: connect to *192.0.2.1:80*".
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Socket(Transport::Tcp) => f.write_str("TCP"),
            Target::Socket(Transport::Udp) => f.write_str("UDP"),
            Target::Address(_, address) => address.fmt(f),
            Target::Name(name) => name.fmt(f),
            Target::Request(request) => shortened(&request.to_string(), f),
            Target::RequestAddress { request, address, .. } => {
                shortened(&request.to_string(), f)?;
                write!(f, " at {address}, which is not of the open network")
            }
        }
    }
}

/// A guest's URL can be long.
fn shortened(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match text.char_indices().nth(MAX_URL_CHARS) {
        Some((end, _)) => write!(f, "{}...", &text[..end]),
        None => f.write_str(text),
    }
}

/// Characters of a URL that are told.
const MAX_URL_CHARS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::HttpScheme;

    fn network(keys: &[&str]) -> Network {
        let (http, keys): (Vec<&&str>, Vec<&&str>) = keys.iter().partition(|key| key.contains("://"));
        let keys: Arc<[NetKey]> = keys.iter().map(|key| key.parse().expect("key")).collect();
        let http: Arc<[HttpKey]> = http.iter().map(|key| key.parse().expect("key")).collect();
        Network::new(&keys, &http)
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().expect("address")
    }

    fn name(text: &str) -> HostName {
        HostName::parse(text).expect("name")
    }

    fn budget() -> Budget {
        Budget::new(None, "limit")
    }

    #[test]
    fn s3_a_name_grants_what_it_resolved_to_first() {
        let network = network(&["connect:example.com:443"]);
        let connect = |text: &str| network.covers(NetAction::Connect, address(text));
        assert!(!connect("192.0.2.1:443"), "before anybody has looked");
        let addresses =
            |texts: &[&str]| texts.iter().map(|text| text.parse().expect("address")).collect::<Vec<IpAddr>>();
        let pin = |name_text: &str, texts: &[&str]| {
            network.pin(&name(name_text), (addresses(texts), |_| false), &budget()).expect("room").to_vec()
        };
        assert_eq!(
            pin("example.com", &["192.0.2.1", "2001:db8::1"]),
            addresses(&["192.0.2.1", "2001:db8::1"])
        );
        assert!(connect("192.0.2.1:443") && connect("[2001:db8::1]:443"));
        assert!(!connect("192.0.2.1:80") && !connect("192.0.2.2:443"));
        // The name has been given another address.
        assert_eq!(pin("example.com", &["192.0.2.2"]), addresses(&["192.0.2.1", "2001:db8::1"]));
        assert!(!connect("192.0.2.2:443") && connect("192.0.2.1:443"));
        // No key is for this one.
        assert_eq!(pin("other.example", &["192.0.2.3"]), addresses(&["192.0.2.3"]));
        assert!(!connect("192.0.2.3:443") && network.pinned(&name("other.example")).is_none());
        assert!(!network.covers(NetAction::Udp, address("192.0.2.1:443")));
    }

    /// What listens on this machine for nobody else is not reached by a name that somebody else answers for.
    #[test]
    fn s3_no_name_grants_an_address_of_this_machine() {
        let network = network(&["connect:evil.example:80", "connect:localhost:80"]);
        let near = [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "224.0.0.1",
        ];
        let addresses = near.iter().map(|text| text.parse().expect("address")).collect();
        network.pin(&name("evil.example"), (addresses, |_| false), &budget()).expect("room");
        for text in near {
            let address = SocketAddr::new(text.parse().expect("address"), 80);
            let by_localhost = matches!(text, "127.0.0.1" | "::1");
            assert_eq!(network.covers(NetAction::Connect, address), by_localhost, "{text}");
            let MissingKey::Network { key } =
                network.missing_key(&Target::Address(NetAction::Connect, address))
            else {
                panic!("a key")
            };
            assert!(matches!(key.host, NetHost::Addresses(_)), "{key}");
        }
    }

    #[test]
    fn s3_no_name_grants_an_address_that_an_interface_of_this_machine_has() {
        let network = network(&["connect:evil.example:80", "connect:localhost:80"]);
        let (own, other) = (address("192.0.2.1:80"), address("192.0.2.2:80"));
        let addresses = vec![own.ip(), other.ip()];
        let kept = network.pin(&name("evil.example"), (addresses.clone(), |it| it == own.ip()), &budget());
        assert_eq!(kept.expect("room").to_vec(), addresses);
        assert!(!network.covers(NetAction::Connect, own) && network.covers(NetAction::Connect, other));
        let missing = |address| network.missing_key(&Target::Address(NetAction::Connect, address));
        let MissingKey::Network { key } = missing(own) else { panic!("a key") };
        assert_eq!(key.to_string(), "connect:192.0.2.1:80");
    }

    #[test]
    fn the_missing_key_is_for_the_name_that_was_looked_up() {
        let network = network(&["resolve:example.com"]);
        network
            .pin(&name("example.com"), (vec!["192.0.2.1".parse().expect("address")], |_| false), &budget())
            .expect("room");
        let missing =
            |text: &str| match network.missing_key(&Target::Address(NetAction::Connect, address(text))) {
                MissingKey::Network { key } => key.to_string(),
                missing => panic!("{missing:?}"),
            };
        assert_eq!(missing("192.0.2.1:80"), "connect:example.com:80");
        assert_eq!(missing("192.0.2.2:80"), "connect:192.0.2.2:80");
        assert_eq!(missing("[2001:db8::1]:80"), "connect:[2001:db8::1]:80");
    }

    fn request(host: &str) -> HttpTarget {
        HttpTarget::new("GET", HttpScheme::Http, (host, None), "/").expect("a target")
    }

    /// S3, H9: no name leads a request to where only this machine, or who is near it, can go.
    #[test]
    fn requests_are_sent_to_the_open_network_unless_a_key_says_more() {
        let inner = [
            "127.0.0.1",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "169.254.169.254",
            "192.0.0.1",
            "198.18.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fdff::1",
            "ff02::1",
            "::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ];
        let open = [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2001:db8::1",
            "64:ff9b::1.1.1.1",
        ];
        let allows = |keys: &[&str], host: &str, address: &str| {
            let address = SocketAddr::new(address.parse().expect("address"), 80);
            let request = request(host);
            network(keys).allows(&Target::RequestAddress { request, address, is_own: false })
        };
        let key = "GET:http://example.com/*";
        for address in inner {
            assert!(!allows(&[key], "example.com", address), "{address}");
            assert!(!allows(&["*:http://*:*"], "example.com", address), "{address}");
            assert!(allows(&[key, "connect:*:80"], "example.com", address), "{address}");
            assert!(!allows(&[key, "connect:*:81"], "example.com", address), "{address}");
            let itself = SocketAddr::new(address.parse().expect("address"), 80).to_string();
            let by_address = format!("GET:http://{}/*", itself.strip_suffix(":80").expect("a port"));
            if !address.contains("0.0.0.0") && address != "::" {
                assert!(allows(&[&by_address], "example.com", address), "{by_address}");
                assert!(!allows(&[&by_address.replacen("GET", "POST", 1)], "example.com", address));
            }
        }
        for address in open {
            assert!(allows(&[key], "example.com", address), "{address}");
        }
        assert!(allows(&["GET:http://localhost/*"], "localhost", "127.0.0.1"));
        assert!(!allows(&["GET:http://localhost/*"], "localhost", "127.0.0.2"));
        let address = SocketAddr::from(([10, 0, 0, 1], 80));
        let to =
            |address, is_own| Target::RequestAddress { request: request("example.com"), address, is_own };
        let missing = network(&[key]).missing_key(&to(address, false));
        assert!(matches!(missing, MissingKey::Network { key } if key.to_string() == "connect:10.0.0.1:80"));
        let own = SocketAddr::from(([1, 1, 1, 1], 80));
        assert!(network(&[key]).allows(&to(own, false)) && !network(&[key]).allows(&to(own, true)));
        assert!(network(&[key, "connect:1.1.1.1:80"]).allows(&to(own, true)));
        let missing = network(&[]).missing_key(&Target::Request(request("example.com")));
        assert!(matches!(missing, MissingKey::Http { key } if key.to_string() == "GET:http://example.com/"));
    }

    #[test]
    fn what_is_kept_of_names_is_charged() {
        let network = network(&["connect:*.example.com:443"]);
        let budget = Budget::new(Some(Budget::FREE_BYTES), "limit");
        let many: Vec<IpAddr> = (0..64_u32).map(|number| IpAddr::V4(number.into())).collect();
        let refused = (0..1000).find_map(|number| {
            network.pin(&name(&format!("n{number}.example.com")), (many.clone(), |_| false), &budget).err()
        });
        assert_eq!(refused, Some(Error::NoMemory));
    }
}
