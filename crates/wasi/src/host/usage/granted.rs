//! Tests that whatever is learned was granted, for every kind of key, with as many things used as are told apart, fewer, and more.

use std::net::IpAddr;

use super::*;
use crate::host::gate::Gate;
use crate::keys::{HostName, Keys, WasiLimits};

/// Keys with what can be used by them, the first, the second and so on.
type NetworkCase = (&'static [&'static str], fn(u16) -> Target);

const NETWORK_CASES: &[NetworkCase] = &[
    (&["connect:127.0.0.1:1000-1300"], |n| to(NetAction::Connect, "127.0.0.1", 1000 + n)),
    (&["connect:127.0.0.0/8:9"], |n| to(NetAction::Connect, &format!("127.0.1.{n}"), 9)),
    (&["connect:[fd00::/8]:*", "udp:*:*"], |n| to(NetAction::Connect, "fd00::1", 1 + n)),
    (&["connect:localhost:*"], |n| to(NetAction::Connect, "::1", 1 + n)),
    (&["connect:*:443"], |n| to(NetAction::Connect, &format!("192.0.2.{n}"), 443)),
    (&["connect:*.example.com:443"], |n| to(NetAction::Connect, &format!("192.0.2.{n}"), 443)),
    (&["connect:*.example.com:443"], |n| Target::Name(name(n))),
    (&["connect:*:443"], |n| Target::Name(name(n))),
    (&["listen:127.0.0.1:1000-1300"], |n| to(NetAction::Listen, "127.0.0.1", 1000 + n)),
    (&["listen:localhost:*"], |n| to(NetAction::Listen, "127.0.0.1", n)),
    (&["listen:*:1000-1300"], |n| to(NetAction::Listen, "::", 1000 + n)),
    (&["udp:10.0.0.0/8:53"], |n| to(NetAction::Udp, &format!("10.0.0.{n}"), 53)),
    (&["udp:*.example.com:*"], |n| to(NetAction::Udp, &format!("192.0.2.{n}"), 53)),
    (&["udp:127.0.0.1:9"], |_| to(NetAction::UdpBind, "0.0.0.0", 0)),
    (&["udp-bind:0.0.0.0:1000-1300"], |n| to(NetAction::UdpBind, "0.0.0.0", 1000 + n)),
    (&["resolve:*.example.com"], |n| Target::Name(name(n))),
    (&["resolve:*"], |n| Target::Name(name(n))),
];

fn to(action: NetAction, ip: &str, port: u16) -> Target {
    Target::Address(action, SocketAddr::new(ip.parse().expect("address"), port))
}

fn name(number: u16) -> HostName {
    HostName::parse(&format!("n{number}.example.com")).expect("name")
}

/// What these keys let a guest do, which has looked up all names.
fn network_of(keys: &[NetKey]) -> Network {
    let network = Network::new(&keys.into(), &Arc::default());
    let budget = innkeeper_engine::Budget::new(None, "limit");
    for number in 0..255 {
        let address = format!("192.0.2.{number}").parse().expect("address");
        network.pin(&name(number), (vec![address], |_| false), &budget).expect("room");
    }
    network
}

fn told(keys: &[NetKey]) -> String {
    keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Things in the network to try: all actions with addresses of all kinds, and names.
fn probes() -> Vec<Target> {
    let addresses = "127.0.0.1 127.0.1.200 10.0.0.7 10.9.9.9 192.0.2.7 192.0.2.253 198.51.100.1 0.0.0.0 :: ::1 fd00::1 fd00::2 fe80::1";
    let ports = [0, 1, 9, 53, 80, 443, 999, 1000, 1001, 1300, 1301, 65535];
    let addresses: Vec<IpAddr> = addresses.split(' ').map(|ip| ip.parse().expect("address")).collect();
    let mut probes: Vec<Target> =
        ["n1.example.com", "n9.example.com", "example.com", "a.b.example.com", "example.org"]
            .map(|name| Target::Name(HostName::parse(name).expect("name")))
            .into();
    for &action in NetAction::ALL {
        for ip in &addresses {
            probes.extend(ports.map(|port| Target::Address(action, SocketAddr::new(*ip, port))));
        }
    }
    probes
}

#[test]
fn what_is_learned_of_the_network_is_what_was_used_and_was_granted() {
    let words: BTreeSet<&str> =
        NETWORK_CASES.iter().map(|(keys, _)| keys[0].split(':').next().unwrap_or_default()).collect();
    assert_eq!(words, NetAction::ALL.iter().map(|action| action.word()).collect(), "every action");
    let most = MAX_NETWORK_KEYS as u16;
    for (keys, used) in NETWORK_CASES {
        let keys: Vec<NetKey> = keys.iter().map(|key| key.parse().expect("key")).collect();
        let granted = network_of(&keys);
        for count in [1, most - 1, most, most + 1, most + 2, most * 2] {
            let gate = Gate::new(&WasiLimits::default(), network_of(&keys));
            gate.learn_usage(UsageRecord::default);
            let used: Vec<Target> = (0..count).map(used).collect();
            for target in &used {
                gate.decide(&Request::network(Operation::Connect, target)).expect("it is granted");
            }
            let learned_keys = gate.usage().expect("usage").network_keys();
            assert!(learned_keys.len() <= MAX_NETWORK_KEYS + keys.len());
            let learned = network_of(&learned_keys);
            for target in probes() {
                assert!(
                    !learned.allows(&target) || granted.allows(&target),
                    "{count} by {}: {target:?} is learned",
                    told(&keys)
                );
            }
            // Whoever may send is bound for that.
            let is_by_other = |target: &&Target| granted.least_key(target).is_none();
            let uncovered = used.iter().find(|target| !is_by_other(target) && !learned.allows(target));
            assert_eq!(uncovered, None, "{count} by {}", told(&keys));
            for key in learned_keys {
                assert_eq!(key.to_string().parse(), Ok(key), "it can be written");
            }
        }
    }
}

/// Directories of a grant as keys have them, each used with these rights.
fn learned(key: &DirKey, count: usize, rights: Rights) -> Option<Vec<DirKey>> {
    let keys = Keys::builder().directory(key.clone()).build();
    let (host, handles) = Host::open(&keys).expect("host");
    host.learn_usage();
    let credentials = &handles.directories[0].credentials;
    let record = host.gate.usage().filter(|_| credentials.rights.contains(rights))?;
    for number in 0..count {
        record.note_directory(credentials, Path::new(&format!("d{number}/e")), rights);
    }
    let usage = host.usage()?;
    assert!(usage.unnamed.is_empty() && !usage.directories.is_empty());
    Some(usage.directories)
}

#[test]
fn what_is_learned_of_directories_was_granted() {
    let folder = tempfile::tempdir().expect("directory");
    for number in 0..MAX_DIRECTORIES + 2 {
        std::fs::create_dir_all(folder.path().join(format!("d{number}/e"))).expect("directory");
    }
    let mut tried = 0;
    for guest in ["/w", ".", "/"] {
        let in_folder = |access| DirKey::new(folder.path(), guest, access);
        let keys = [
            in_folder(Access::ReadOnly),
            in_folder(Access::ReadWrite),
            in_folder(Access::CopyOnWrite),
            DirKey::temporary(guest, 1 << 20),
        ];
        for key in keys {
            let counts = [MAX_DIRECTORIES - 1, MAX_DIRECTORIES, MAX_DIRECTORIES + 1, MAX_DIRECTORIES + 2];
            for (count, rights) in counts
                .iter()
                .flat_map(|count| [(*count, Rights::READ), (*count, Rights::READ | Rights::CHANGE)])
            {
                for learned in learned(&key, count, rights).into_iter().flatten() {
                    assert!(is_granted(&learned, &key), "{learned:?} by {key:?}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

/// Whether a key to a directory beneath another's, or to that, allows no more under no other name.
fn is_granted(learned: &DirKey, key: &DirKey) -> bool {
    let Ok(within) = learned.host.strip_prefix(&key.host) else { return false };
    let named = Path::new(&key.guest).join(within);
    let is_same_name = named == Path::new(&learned.guest) || Path::new(".").join(&learned.guest) == named;
    is_same_name
        && match (key.access, learned.access) {
            (Access::ReadWrite | Access::CopyOnWrite, Access::ReadOnly) => true,
            (granted, learned) => granted == learned,
        }
}
