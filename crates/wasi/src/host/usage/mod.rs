//! What a guest made use of: the least that its keys would have had to grant.
//!
//! Off unless somebody wants to learn it. A directory counts as used where a path in it was acted upon, with the rights that took. A
//! guest's library looks a path up in the directory key that is longest: what counts is therefore where a path leads as text; where a link
//! or `..` leads elsewhere, the directory that contains both.
//!
//! Must stay true: what is noted is granted by the keys that the guest has, also where there is more than is told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::credentials::{Credentials, Grant, Rights};
use super::directory::{Directory, DirectoryNode};
use super::error::Error;
use super::gate::{Object, Operation, Permit, Request};
use super::metadata::FileKind;
use super::network::{Network, Target};
use super::open::LastLink;
use super::reach::NativeDirectory;
use super::resolve::GuestPath;
use super::tree::Last;
use super::way::Way;
use super::{Host, sys};
use crate::keys::{Access, DirKey, HttpKey, HttpTarget, NetAction, NetKey};

/// What a guest made use of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Keys to the directories used, with no more access than that took.
    pub directories: Vec<DirKey>,
    /// Whether it looked at its environment variables.
    pub environment: bool,
    /// Standard streams that it read or wrote, by their usual names.
    pub streams: Vec<&'static str>,
    /// Listening sockets that it accepted connections on.
    pub listeners: Vec<SocketAddr>,
    /// The least keys to what it used in the network.
    pub network: Vec<NetKey>,
    /// The least keys to the requests of HTTP that it sent.
    pub http: Vec<HttpKey>,
    /// Host paths of granted directories that it used and that no key is in `directories` for: they do not lead to what was granted any more, or nobody can tell.
    pub unnamed: Vec<PathBuf>,
}

/// What is noted while a guest runs.
#[derive(Debug, Default)]
pub(super) struct UsageRecord {
    /// By grant, as (host, guest, access): the directories in it, and the rights they took.
    directories: Mutex<BTreeMap<(PathBuf, String), GrantUsage>>,
    streams: Mutex<Vec<&'static str>>,
    listeners: Mutex<Vec<SocketAddr>>,
    network: Mutex<BTreeSet<NetKey>>,
    http: Mutex<BTreeSet<HttpKey>>,
    /// How the grants' host paths led to what they opened to, in the order of the grants.
    ways: Vec<Option<Way>>,
}

#[derive(Clone, Debug)]
struct GrantUsage {
    access: Access,
    directories: BTreeMap<PathBuf, Rights>,
}

/// Directories in one grant that are told apart: each is compared with each, and all have room in a policy.
const MAX_DIRECTORIES: usize = 100;

/// Addresses and names in the network that are told apart.
const MAX_NETWORK_KEYS: usize = 100;

impl UsageRecord {
    /// Notes an operation on a handle that was allowed.
    pub(super) fn note_handle(&self, request: &Request<'_>) {
        let Object::Handle(credentials) = &request.object else { return };
        match &*credentials.grant {
            Grant::Stdio(name) if matches!(request.operation, Operation::Read | Operation::Write) => {
                add(&self.streams, *name);
            }
            Grant::Listener(address) => add(&self.listeners, *address),
            Grant::Directory { .. } if request.operation == Operation::List => {
                self.note_directory(credentials, &least(&within(credentials)), Rights::READ);
            }
            _ => {}
        }
    }

    /// Notes the least key for something that was used in the network.
    pub(super) fn note_network(&self, network: &Network, target: &Target) {
        let Some(least) = network.least_key(target) else { return };
        let mut noted = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let is_room = noted.len() < MAX_NETWORK_KEYS || noted.contains(&least);
        // Beyond that, the key that granted it stands for more: of those there are as many as the guest was given.
        noted.extend(if is_room { Some(least) } else { network.granting_key(target) });
    }

    /// Notes the least key for a request of HTTP that was allowed.
    pub(super) fn note_http(&self, network: &Network, target: &HttpTarget) {
        let Some(granting) = network.granting_http_key(target) else { return };
        let mut noted = self.http.lock().unwrap_or_else(PoisonError::into_inner);
        let least = HttpKey::of(target);
        let is_room = noted.len() < MAX_NETWORK_KEYS || noted.contains(&least);
        // As with addresses. A method or path that no key can say alone is granted by what has granted it.
        noted.insert(if is_room && least.is_of_one_request() { least } else { granting });
    }

    fn note_directory(&self, credentials: &Credentials, directory: &Path, rights: Rights) {
        let Grant::Directory { host, guest, access } = &*credentials.grant else { return };
        let mut directories = self.directories.lock().unwrap_or_else(PoisonError::into_inner);
        let usage = directories
            .entry((host.clone(), guest.clone()))
            .or_insert_with(|| GrantUsage { access: *access, directories: BTreeMap::new() });
        // A guest can make any number of them: beyond this one, the granted directory itself stands for more.
        let is_room = usage.directories.len() < MAX_DIRECTORIES || usage.directories.contains_key(directory);
        let directory = if is_room { directory } else { Path::new("") };
        let known = usage.directories.entry(directory.to_owned()).or_default();
        *known = *known | rights;
    }
}

impl UsageRecord {
    /// The keys to what was used, without those to look up what may be used anyway.
    fn network_keys(&self) -> Vec<NetKey> {
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let is_needed = |key: &&NetKey| {
            let others = || network.iter().filter(|other| other.action != NetAction::Resolve);
            key.action != NetAction::Resolve
                || !others().any(|other| other.host == key.host && !other.action.is_local())
        };
        network.iter().filter(is_needed).cloned().collect()
    }
}

impl Host {
    /// Begins to note what the guest makes use of.
    pub fn learn_usage(&self) {
        self.gate.learn_usage(|| {
            let way = |(grant, opened): (&Arc<Grant>, &Option<NativeDirectory>)| match (&**grant, opened) {
                (Grant::Directory { host, .. }, Some(opened)) => {
                    Way::of(host).filter(|way| way.end() == Some(opened.identity()))
                }
                _ => None,
            };
            UsageRecord {
                ways: self.grants.iter().zip(&*self.opened).map(way).collect(),
                ..UsageRecord::default()
            }
        });
    }

    /// What the guest has made use of since [`Host::learn_usage`]; nothing if that was never called.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let record = self.gate.usage()?;
        let directories = record.directories.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = Vec::new();
        let mut unnamed = Vec::new();
        for ((host, guest), usage) in &*directories {
            match self.base(record, (host, guest)).and_then(|base| usage.keys(base, (host, guest))) {
                Some(found) => keys.extend(found),
                None => unnamed.push(host.clone()),
            }
        }
        Some(Usage {
            directories: keys,
            environment: self.environment_read.load(std::sync::atomic::Ordering::Relaxed),
            streams: record.streams.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            listeners: record.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            network: record.network_keys(),
            http: record.http.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect(),
            unnamed,
        })
    }

    /// Where the keys of a grant lie; none where its host path does not lead there any more.
    fn base<'a>(&'a self, record: &UsageRecord, (host, guest): (&Path, &str)) -> Option<Base<'a>> {
        let is_it = |grant: &Arc<Grant>| matches!(&**grant, Grant::Directory { host: its_host, guest: its_guest, .. } if its_host == host && its_guest == guest);
        let index = self.grants.iter().position(is_it)?;
        let Some(opened) = self.opened.get(index)? else { return Some(Base::InMemory) };
        let way = record.ways.get(index)?.as_ref()?;
        way.is_unchanged().then_some(Base::Directory(opened))
    }

    /// Notes an operation on a path that was carried out, or failed otherwise than by finding nothing.
    pub(super) fn note_path(
        &self,
        permit: &Permit,
        request: &Request<'_>,
        directory: &Directory,
        outcome: Result<(), Error>,
    ) {
        let (Some(record), Object::Path(credentials, path)) = (self.gate.usage(), &request.object) else {
            return;
        };
        // Something that was to be made and is there has only been looked at.
        let (operation, needs) = match outcome {
            Ok(()) => (request.operation, request.needs),
            Err(Error::Exists) => (Operation::Stat, Rights::READ),
            Err(
                Error::NotFound
                | Error::Escape
                | Error::KernelFiles
                | Error::Hidden
                | Error::Reserved
                | Error::Denied
                | Error::Locked,
            ) => return,
            Err(_) => (request.operation, request.needs),
        };
        let base = within(credentials);
        let goes_up = base.components().any(|component| component == Component::ParentDir);
        // Whoever holds a directory's handle needs that directory, wherever in it the path leads.
        let used = if goes_up {
            least(&base)
        } else if base.as_os_str().is_empty() {
            self.directory_of(permit, operation, directory, path)
        } else {
            base
        };
        record.note_directory(credentials, &used, needs);
    }

    /// The directory that a key would have to be for, for a path in a granted directory.
    fn directory_of(
        &self,
        permit: &Permit,
        operation: Operation,
        directory: &Directory,
        path: &[u8],
    ) -> PathBuf {
        let Ok(parsed) = GuestPath::parse(path) else { return PathBuf::new() };
        let names_itself = matches!(
            operation,
            Operation::Stat | Operation::OpenRead | Operation::OpenWrite | Operation::SetTimes
        ) && self.is_directory(permit, directory, &parsed);
        let text = PathBuf::from(String::from_utf8_lossy(parsed.text()).into_owned());
        let written = if names_itself { text.clone() } else { parent(&text) };
        let mut used = least(&written);
        if let Some(real) = self.real_directory(permit, directory, &parsed, names_itself) {
            used = common(&used, &real);
        }
        used
    }

    fn is_directory(&self, permit: &Permit, directory: &Directory, path: &GuestPath<'_>) -> bool {
        let found = match &directory.node {
            DirectoryNode::Native(base) => self.stat_native(permit, base, path, LastLink::Follow),
            DirectoryNode::Tree(tree) => tree.stat_at(self.visit(permit), path, Last::Follow),
        };
        found.is_ok_and(|metadata| metadata.kind == FileKind::Directory)
    }

    /// Where a path really leads, beneath its directory; nothing if that cannot be found out.
    fn real_directory(
        &self,
        permit: &Permit,
        directory: &Directory,
        path: &GuestPath<'_>,
        names_itself: bool,
    ) -> Option<PathBuf> {
        let DirectoryNode::Native(base) = &directory.node else { return None };
        let top = sys::path_of(permit, base.as_fd()).ok()?;
        let place = self.resolve.place_behind_links(permit, base, path).ok()?;
        let real = sys::path_of(permit, place.parent()).ok()?;
        let real = if names_itself && &*place.name != b"." {
            real.join(String::from_utf8_lossy(&place.name).into_owned())
        } else {
            real
        };
        real.strip_prefix(top).ok().map(Path::to_owned)
    }
}

impl GrantUsage {
    /// The least keys that cover the usage of one grant, as its directories are now; none where nobody can tell how they are.
    fn keys(&self, base: Base<'_>, (host, guest): (&Path, &str)) -> Option<Vec<DirKey>> {
        let Base::Directory(base) = base else { return Some(self.keys_as_noted(host, guest)) };
        let mut directories: BTreeMap<PathBuf, Rights> = BTreeMap::new();
        for (directory, rights) in &self.directories {
            let known = directories.entry(standing(base, directory).ok()?).or_default();
            *known = *known | *rights;
        }
        Some(GrantUsage { access: self.access, directories }.keys_as_noted(host, guest))
    }

    fn keys_as_noted(&self, host: &Path, guest: &str) -> Vec<DirKey> {
        let key = |directory: &Path, access| {
            let below = directory.to_string_lossy();
            let guest = match (guest, &*below) {
                (guest, "") => guest.to_owned(),
                (".", below) => below.to_owned(),
                (guest, below) => format!("{}/{below}", guest.trim_end_matches('/')),
            };
            DirKey::new(if below.is_empty() { host.to_owned() } else { host.join(directory) }, guest, access)
        };
        let changes = self.directories.values().any(|rights| !Rights::READ.contains(*rights));
        // What libraries look up in a directory of these names, they would not all look up in one beneath: a path that begins with `./`, or one that is relative to
        // the directory that the guest takes for its current one.
        let is_for_all = super::missing::stripped(guest).is_empty();
        match self.access {
            Access::ReadOnly | Access::ReadWrite if is_for_all && !self.directories.is_empty() => {
                vec![key(Path::new(""), if changes { Access::ReadWrite } else { Access::ReadOnly })]
            }
            // What is seen in a tree that the host keeps is seen through the same tree only.
            Access::Temporary { limit_bytes } => vec![DirKey::temporary(guest, limit_bytes)],
            Access::CopyOnWrite if changes => {
                let all = self.directories.keys().cloned().reduce(|all, directory| common(&all, &directory));
                vec![key(&all.unwrap_or_default(), Access::CopyOnWrite)]
            }
            _ => {
                let covered = |directory: &Path, rights: Rights| {
                    self.directories.iter().any(|(other, others)| {
                        other != directory && directory.starts_with(other) && others.contains(rights)
                    })
                };
                let needed =
                    self.directories.iter().filter(|(directory, rights)| !covered(directory, **rights));
                needed
                    .map(|(directory, rights)| {
                        let reads = Rights::READ.contains(*rights);
                        key(directory, if reads { Access::ReadOnly } else { Access::ReadWrite })
                    })
                    .collect()
            }
        }
    }
}

/// What the keys of a grant are looked up in when the guest has ended.
#[derive(Clone, Copy, Debug)]
enum Base<'a> {
    /// What the grant opened to, whatever its path leads to by now.
    Directory(&'a NativeDirectory),
    /// A tree that is gone with the guest.
    InMemory,
}

/// As much of a path beneath a granted directory as names directories now, by names that can be read. What was used can be gone, and the guest can have put a link
/// in its place: a key to that would grant what the guest has chosen. What is above it was granted to this run.
///
/// # Errors
/// What the system reports, where it cannot say what is there: what is above it would be more than was used.
fn standing(base: &NativeDirectory, within: &Path) -> Result<PathBuf, Error> {
    let permit = Permit::of_the_keys_owner();
    let mut standing = PathBuf::new();
    let mut at = sys::duplicate(&permit, base.as_fd())?;
    for component in within.components() {
        let Component::Normal(name) = component else { break };
        let is_plain = name.to_str().is_some_and(|name| !name.contains(|c: char| c.is_control()));
        let name = name.as_encoded_bytes();
        if !is_plain {
            break;
        }
        at = match sys::open_name(&permit, at.as_fd(), name, sys::OpenHow::lookup()) {
            Ok(next) => next,
            // It is gone, or something else.
            Err(Error::NotFound | Error::NotDirectory | Error::Loop | Error::NameTooLong) => break,
            Err(error) => return Err(error),
        };
        standing.push(component);
    }
    Ok(standing)
}

/// The part of a handle's guest path that lies beneath its grant's.
fn within(credentials: &Credentials) -> PathBuf {
    match &*credentials.grant {
        Grant::Directory { guest, .. } => super::missing::path_within(&credentials.guest_path, guest),
        _ => PathBuf::new(),
    }
}

fn parent(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// The directory that contains everything that a path touches on its way.
fn least(path: &Path) -> PathBuf {
    let mut at = PathBuf::new();
    let mut least: Option<PathBuf> = None;
    for component in path.components() {
        match component {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                at.pop();
                least = Some(least.map_or_else(|| at.clone(), |least| common(&least, &at)));
            }
            _ => {}
        }
    }
    least.map_or_else(|| at.clone(), |least| common(&least, &at))
}

fn common(a: &Path, b: &Path) -> PathBuf {
    a.components().zip(b.components()).take_while(|(a, b)| a == b).map(|(a, _)| a).collect()
}

fn add<T: PartialEq>(list: &Mutex<Vec<T>>, item: T) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    if !list.contains(&item) {
        list.push(item);
    }
}

#[cfg(test)]
mod granted;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_dots_needs_what_contains_all_of_it() {
        for (path, directory) in
            [("a/b", "a/b"), ("a/../b", ""), ("a/b/../c", "a"), ("", ""), ("a/b/c/../../d", "a")]
        {
            assert_eq!(least(Path::new(path)), Path::new(directory), "{path}");
        }
    }

    #[test]
    fn no_key_is_to_what_a_guest_has_put_in_the_place_of_what_it_used() {
        let folder = tempfile::tempdir().expect("directory");
        let path = |name: &str| folder.path().join(name);
        for name in ["w/a/b", "w/two\nlines", "secret/b"] {
            std::fs::create_dir_all(path(name)).expect("directory");
        }
        std::os::unix::fs::symlink("../secret", path("w/link")).expect("link");
        std::fs::write(path("w/file"), "").expect("file");
        let key = DirKey::new(path("w"), "/w", Access::ReadWrite);
        let keys = crate::keys::Keys::builder().directory(key).build();
        let (host, _handles) = Host::open(&keys).expect("host");
        let base = host.opened[0].clone().expect("directory");
        for (used, key) in [
            ("a/b", "a/b"),
            ("", ""),
            ("link", ""),
            ("link/b", ""),
            ("gone/b", ""),
            ("a/gone", "a"),
            ("file", ""),
            ("a/..", "a"),
            ("two\nlines", ""),
        ] {
            assert_eq!(standing(&base, Path::new(used)), Ok(PathBuf::from(key)), "{used}");
            let directories = BTreeMap::from([(PathBuf::from(used), Rights::ALL)]);
            let usage = GrantUsage { access: Access::ReadWrite, directories };
            let keys = usage.keys(Base::Directory(&base), (&path("w"), "/w")).expect("keys");
            let host = if key.is_empty() { path("w") } else { path("w").join(key) };
            let guest = if key.is_empty() { String::from("/w") } else { format!("/w/{key}") };
            assert_eq!(keys, [DirKey::new(host, guest, Access::ReadWrite)], "{used}");
        }
    }

    #[test]
    fn a_guest_cannot_have_any_number_of_directories_noted() {
        let record = UsageRecord::default();
        let host = PathBuf::from("w");
        let grant =
            Grant::Directory { host: host.clone(), guest: String::from("/w"), access: Access::ReadWrite };
        let credentials = Credentials::of_grant(grant, "/w");
        for number in 0..3 * MAX_DIRECTORIES {
            record.note_directory(&credentials, Path::new(&number.to_string()), Rights::READ);
        }
        record.note_directory(&credentials, Path::new("beyond"), Rights::WRITE);
        let directories = record.directories.lock().expect("directories");
        let usage = &directories[&(host, String::from("/w"))];
        assert_eq!(usage.directories.len(), MAX_DIRECTORIES + 1);
        assert!(usage.directories[Path::new("")].contains(Rights::READ | Rights::WRITE));
    }

    #[test]
    fn keys_are_as_small_as_the_usage() {
        let directories = [
            ("a", Rights::READ),
            ("a/b", Rights::READ),
            ("a/c", Rights::WRITE),
            ("d", Rights::ALL),
            ("d/e", Rights::READ),
        ];
        let directories =
            directories.into_iter().map(|(path, rights)| (PathBuf::from(path), rights)).collect();
        let usage = |access| GrantUsage { access, directories: BTreeMap::clone(&directories) };
        let keys = usage(Access::ReadWrite).keys_as_noted(Path::new("/host"), "/in");
        let expected = [("a", Access::ReadOnly), ("a/c", Access::ReadWrite), ("d", Access::ReadWrite)];
        let expected = expected
            .map(|(path, access)| DirKey::new(format!("/host/{path}"), format!("/in/{path}"), access));
        assert_eq!(keys, expected);
        for guest in [".", "/"] {
            let keys = usage(Access::ReadWrite).keys_as_noted(Path::new("h"), guest);
            assert_eq!(keys, [DirKey::new("h", guest, Access::ReadWrite)]);
        }
        assert_eq!(
            usage(Access::CopyOnWrite).keys_as_noted(Path::new("h"), "."),
            [DirKey::new("h", ".", Access::CopyOnWrite)]
        );
    }
}
