//! What a guest may do in the network: its keys, and what names have resolved to.
//!
//! A name's addresses are asked for once, when the guest first looks it up, and are kept for as long as the guest is there: whoever answers for the name cannot have it lead
//! elsewhere later. Addresses that mean this machine or its links wherever they are used (`127.0.0.1`, `169.254.0.0/16`), or that an interface of it has, are never granted by a
//! name but `localhost`: whoever answers for a name could have it lead to what listens here for nobody else.
//!
//! Must stay true: an address is in its canonical form before it comes here, and the one that was decided on is the one that is used.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use innkeeper_engine::{Budget, BudgetKind, Charge};

use super::denial::MissingKey;
use super::error::Error;
use crate::keys::{HostName, NetAction, NetHost, NetKey, PortSet};

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
}

/// The keys, and what is known of names.
#[derive(Debug)]
pub(super) struct Network {
    keys: Arc<[NetKey]>,
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
    pub(super) fn new(keys: &Arc<[NetKey]>) -> Network {
        Network { keys: Arc::clone(keys), known: Mutex::default() }
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
            Target::Name(name) => self.keys.iter().any(|key| key.covers_lookup(name)),
        }
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
        let is_by_name =
            self.keys.iter().any(|key| matches!(&key.host, NetHost::Names(names) if names.matches(name)));
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
        }
    }

    /// The least key for what was granted; none where it took no key of its own.
    pub(super) fn least_key(&self, target: &Target) -> Option<NetKey> {
        match target {
            Target::Socket(_) => None,
            Target::Address(action, address) if !self.covers(*action, *address) => None,
            Target::Address(action, address) => Some(match self.named(*action, *address) {
                Some(name) => NetKey::of_name(*action, &name, address.port()),
                None => NetKey::of_address(*action, *address),
            }),
            Target::Name(name) => Some(NetKey::to_resolve(name)),
        }
    }

    /// The key of the guest's that granted `target`, or what that grants of looking up names; none where it took no key of its own.
    pub(super) fn granting_key(&self, target: &Target) -> Option<NetKey> {
        let mut keys = self.keys.iter();
        match target {
            Target::Socket(_) => None,
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

/// As in "denied: connect to *192.0.2.1:80*".
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Socket(Transport::Tcp) => f.write_str("TCP"),
            Target::Socket(Transport::Udp) => f.write_str("UDP"),
            Target::Address(_, address) => address.fmt(f),
            Target::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(keys: &[&str]) -> Network {
        let keys: Arc<[NetKey]> = keys.iter().map(|key| key.parse().expect("key")).collect();
        Network::new(&keys)
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
