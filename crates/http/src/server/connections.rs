//! The connections that there are, and room for one more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::gauge::Gauge;

use super::Limits;
use super::activity::Activity;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: Mutex<Table>,
    /// How many there are.
    count: Gauge,
}

#[derive(Debug, Default)]
struct Table {
    numbers: u64,
    open: HashMap<u64, (Option<IpAddr>, Arc<Activity>)>,
    by_peer: HashMap<IpAddr, usize>,
}

/// A connection's place, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    connections: Arc<Connections>,
    number: u64,
    /// Whether another had to go for it.
    pub(super) is_anothers: bool,
}

impl Connections {
    /// None yet; `count` has how many there are.
    pub(super) fn new(count: Gauge) -> Connections {
        Connections { table: Mutex::default(), count }
    }

    /// Makes room for a connection; none where those that would have to go for it all have requests.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        activity: &Arc<Activity>,
        limits: &Limits,
    ) -> Option<Place> {
        let peer = peer.map(network);
        let mut table = self.table();
        let of_peer = peer.and_then(|peer| table.by_peer.get(&peer).copied()).unwrap_or(0);
        let has_too_many = of_peer >= limits.max_connections_per_peer;
        let is_anothers = has_too_many || table.open.len() >= limits.max_connections;
        if is_anothers {
            table.evict_of(|other| !has_too_many || other == peer)?;
        }
        table.numbers += 1;
        let number = table.numbers;
        table.open.insert(number, (peer, Arc::clone(activity)));
        if let Some(peer) = peer {
            *table.by_peer.entry(peer).or_default() += 1;
        }
        self.count.inc();
        Some(Place { connections: Arc::clone(self), number, is_anothers })
    }

    /// Closes the connection that has been without a request for longest, if there is one: something else is scarce.
    pub(super) fn evict_one(&self) {
        self.table().evict_of(|_| true);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Of the connections whose peer is meant, closes the one that has been without a request for longest.
    fn evict_of(&mut self, is_meant: impl Fn(Option<IpAddr>) -> bool) -> Option<()> {
        let waiting = self.open.iter().filter(|(_, (peer, _))| is_meant(*peer));
        let waiting =
            waiting.filter_map(|(number, (_, activity))| Some((activity.waiting_since()?, *number)));
        let (_, number) = waiting.min()?;
        self.remove(number)?.evict();
        Some(())
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Activity>> {
        let (peer, activity) = self.open.remove(&number)?;
        if let Some(peer) = peer
            && let Some(count) = self.by_peer.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                self.by_peer.remove(&peer);
            }
        }
        Some(activity)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().remove(self.number);
        self.connections.count.dec();
    }
}

/// What counts as one peer: with IPv6, whoever has one address has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::flow::Flow;

    fn peer(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_peer_cannot_take_the_places_of_others() {
        let connections = Arc::new(Connections::default());
        let limits = Limits { max_connections: 4, max_connections_per_peer: 2, ..Limits::default() };
        let enter = |peer| {
            let activity = Activity::new();
            connections.enter(peer, &activity, &limits).map(|place| (place, activity))
        };
        let (_other, other) = enter(peer(2)).unwrap();
        let (_first, first) = enter(peer(1)).unwrap();
        let (_second, second) = enter(peer(1)).unwrap();
        let _busy = second.begin(Flow::begin(&limits), &limits);
        let (_third, third) = enter(peer(1)).unwrap();
        let is_evicted = |activity: &Activity| activity.is_evicted(std::task::Waker::noop());
        assert!(is_evicted(&first) && !is_evicted(&other) && !is_evicted(&second));
        let _busy_too = third.begin(Flow::begin(&limits), &limits);
        assert!(enter(peer(1)).is_none(), "both have requests");
        let (_fourth, _) = enter(peer(3)).unwrap();
        let (_fifth, _) = enter(peer(4)).unwrap();
        assert!(is_evicted(&other), "it has waited for longest of all");
        assert_eq!(connections.table().open.len(), 4);
    }

    #[test]
    fn a_network_of_64_bits_is_one_peer() {
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let same: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        assert_eq!(network(one), network(same));
        assert_ne!(network(one), network(other));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), IpAddr::from([192, 0, 2, 1]));
    }
}
