//! Which key would have allowed what was denied.
//!
//! Worked out when somebody wants to know it, never while the guest runs. Must stay true: the key, granted beside the others (or instead of the one of the same name),
//! makes the same access of a guest whose library chooses directories by name succeed, as far as the host's files are there; where no key does, none is named; and no
//! directory of the host is named where another can be meant as well. What is looked at on the host for that is in [`super::look`]: outside of the working directory, a directory is
//! named that is not known to be there.
//!
//! Libraries look a path up in the directory whose name is its longest beginning, as text: they take `/` and `./` off names, only `/` off paths, and leave `..` alone
//! (wasi-libc, which C and Rust use), or clean the path first and take off nothing (Go).

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::credentials::{Credentials, Grant, Rights};
use super::denial::{Denial, MissingKey, Refusal};
use super::error::Error;
use super::gate::Operation;
use super::look::{Found, Place, Surroundings, fold, is_of_the_kernel, relative};
use crate::keys::Access;

type Grants = [Arc<Grant>];

impl Refusal {
    /// The refusal as it is told, with the key that is missing beside `grants`.
    pub(super) fn denial(&self, grants: &Grants) -> Denial {
        Denial {
            operation: self.operation,
            path: self.name(),
            missing: self.missing.clone().unwrap_or_else(|| missing_key(self, grants)),
            count: self.count,
        }
    }
}

/// A path that was not found in a directory that covers everything, as absolute paths are looked up there, too: the key to what it names on the host, if that can be there.
pub(super) fn elsewhere(refusal: &Refusal, grants: &Grants) -> Option<MissingKey> {
    let search = Search::of(refusal, grants);
    let path = String::from_utf8_lossy(refusal.path.as_deref()?);
    let covers =
        |grant: &Grant| matches!(grant, Grant::Directory { guest, .. } if stripped(guest).is_empty());
    if !refusal.credentials.as_ref().is_some_and(|credentials| covers(&credentials.grant)) {
        return None;
    }
    if fold(Path::new(&*path)).starts_with("..") {
        return None;
    }
    let on_host = |path: &str| fold(&Path::new("/").join(path));
    let is_to_be_made = search.access != Access::ReadOnly;
    if !is_to_be_made && search.around.look(&on_host(&path)).found == Found::Nothing {
        return None;
    }
    let mut keys = search.directories(&path).filter_map(|directory| {
        let guest = format!("/{directory}");
        let hosts = [on_host(directory)];
        let host = if directory == path {
            search.seen(&hosts)
        } else {
            search.meant(&hosts, rest_of(&path, directory))
        }?;
        search.is_chosen(&guest, &path).then_some(MissingKey::Directory {
            host: Some(host),
            guest,
            access: search.access,
        })
    });
    keys.next()
}

/// What follows a directory's own name at the beginning of a path that is looked up in it.
pub(super) fn after_name<'a>(guest: &str, path: &'a [u8]) -> Option<&'a [u8]> {
    let name = stripped(guest);
    let rest = path.strip_prefix(name.as_bytes()).filter(|_| !name.is_empty())?;
    rest.strip_prefix(b"/").filter(|rest| !rest.is_empty())
}

/// A path that was not found in a directory and repeats its name, the directory's name, and what follows, if that is there.
pub(super) fn repeated(refusal: &Refusal, grants: &Grants) -> Option<(String, String, String)> {
    let Grant::Directory { host, guest, access } = &*refusal.credentials.as_ref()?.grant else { return None };
    let path = refusal.path.as_deref()?;
    let search = Search::of(refusal, grants);
    let is_there = |rest: &str| {
        !matches!(access, Access::Temporary { .. })
            && Path::new(rest).components().all(|part| matches!(part, Component::Normal(_)))
            && search.is_there(&host.join(rest))
    };
    let mut rest = after_name(guest, path)?;
    // Where its name is relative, programs repeat it once more.
    if !is_there(&String::from_utf8_lossy(rest)) {
        rest = after_name(guest, rest)?;
    }
    let rest = String::from_utf8_lossy(rest).into_owned();
    is_there(&rest).then(|| (String::from_utf8_lossy(path).into_owned(), guest.clone(), rest))
}

fn missing_key(refusal: &Refusal, grants: &Grants) -> MissingKey {
    let search = Search::of(refusal, grants);
    let path = String::from_utf8_lossy(refusal.path.as_deref().unwrap_or_default());
    let Some(credentials) = &refusal.credentials else { return search.of_no_directory(&path) };
    let (host, guest, access) = match &*credentials.grant {
        Grant::Directory { host, guest, access } => (host, guest, *access),
        Grant::LockedRoot => return search.beneath_locked_root(&path),
        Grant::Stdio(_) | Grant::Listener(_) | Grant::Network => return MissingKey::Nothing,
    };
    if search.around.look(host).found == Found::LedByGuest {
        return MissingKey::Nothing;
    }
    match refusal.reason {
        Error::KernelFiles => {
            MissingKey::KernelFiles { host: search.around.told(host), guest: guest.clone(), access }
        }
        Error::Hidden => MissingKey::Hidden,
        Error::Reserved => MissingKey::Reserved,
        Error::Escape => search.outside_of(credentials, (host, guest), &path),
        _ => MissingKey::Write { host: search.around.told(host), guest: guest.clone() },
    }
}

/// What a key is looked for.
struct Search<'a> {
    operation: Operation,
    access: Access,
    grants: &'a Grants,
    around: Surroundings,
}

impl<'a> Search<'a> {
    fn of(refusal: &Refusal, grants: &'a Grants) -> Search<'a> {
        let writable = grants.iter().filter_map(|grant| match &**grant {
            Grant::Directory { host, access: Access::ReadWrite | Access::CopyOnWrite, .. } => {
                Some(host.as_path())
            }
            _ => None,
        });
        Search {
            operation: refusal.operation,
            access: access_for(refusal.needs),
            grants,
            around: Surroundings::with_writable(writable),
        }
    }

    /// A path that the guest has looked up in a descriptor that it knows to be none.
    fn of_no_directory(&self, path: &str) -> MissingKey {
        let covering = self.grants.iter().find_map(|grant| match &**grant {
            Grant::Directory { host, guest, access } if stripped(guest).is_empty() => {
                Some((host, guest, *access))
            }
            _ => None,
        });
        match covering {
            Some((host, known, access)) => MissingKey::Name {
                host: self.around.told(host),
                known: known.clone(),
                guest: String::from("/"),
                access,
            },
            None => self.beneath_locked_root(path),
        }
    }

    /// A path in the root of what was not granted: an absolute one, or a relative one of which the library has made that.
    fn beneath_locked_root(&self, path: &str) -> MissingKey {
        let path = path.trim_start_matches('/');
        if let Some(key) = self.otherwise_spelt(path) {
            return key;
        }
        for directory in self.directories(path) {
            let folded = fold(Path::new(directory));
            let is_above = folded.starts_with("..");
            let guest = if is_above { directory.to_owned() } else { format!("/{directory}") };
            let guest = if stripped(&guest).is_empty() { String::from("/") } else { guest };
            if !self.is_chosen(&guest, path) {
                continue;
            }
            let mut hosts = vec![relative(folded.clone())];
            // What guests call `/` is no reason to grant all of the machine.
            if !is_above && !folded.as_os_str().is_empty() {
                hosts.push(Path::new("/").join(folded));
            }
            if let Some(key) = self.key(guest, &hosts, (path, directory)) {
                return key;
            }
        }
        // A path that begins with `./` is looked up in nothing but the root.
        if fold(Path::new(path)).starts_with("..") {
            return MissingKey::Outside { guest: String::from("/") };
        }
        let host = self.meant(&[PathBuf::from(".")], path);
        MissingKey::Directory { host, guest: String::from("/"), access: self.access }
    }

    /// A path that leads out of a granted directory, or out of one beneath it that the guest has opened.
    fn outside_of(&self, credentials: &Credentials, (host, guest): (&Path, &str), path: &str) -> MissingKey {
        let here = &*credentials.guest_path;
        if !path.starts_with('/') && !fold(Path::new(path)).starts_with("..") {
            return MissingKey::LinkTarget { guest: here.to_owned() };
        }
        // Whoever looks up an absolute path in a directory, or one in a directory that it has opened itself, chooses none by name.
        let outside = MissingKey::Outside { guest: here.to_owned() };
        if path.starts_with('/') || here != guest {
            return outside;
        }
        let whole = join(stripped(guest), path);
        if let Some(key) = self.otherwise_spelt(&whole) {
            return key;
        }
        for directory in self.directories(path) {
            let named = join(if stripped(guest).is_empty() { "" } else { guest }, directory);
            if !self.is_chosen(&named, &whole) {
                continue;
            }
            let hosts = match self.host_by_grants(&named) {
                Some(host) => vec![host],
                // Whoever has no name for it means what is beside it on the host.
                None if stripped(guest).is_empty() => vec![host.join(directory)],
                None => vec![host.join(directory), relative(fold(Path::new(&named)))],
            };
            if let Some(key) = self.key(named, &hosts, (path, directory)) {
                return key;
            }
        }
        outside
    }

    /// What is held, and was asked for by another name than libraries look it up by: no key is missing.
    fn otherwise_spelt(&self, path: &str) -> Option<MissingKey> {
        let plain = fold(Path::new(path)).into_os_string().into_string().ok()?;
        if plain == path.trim_end_matches('/') {
            return None;
        }
        self.grants.iter().find_map(|grant| match &**grant {
            Grant::Directory { guest, .. } => {
                let name = stripped(guest);
                let is_in = !name.is_empty() && Path::new(&plain).starts_with(name);
                let root = if guest.starts_with('/') { "/" } else { "" };
                is_in.then(|| MissingKey::Spelling { guest: guest.clone(), path: format!("{root}{plain}") })
            }
            _ => None,
        })
    }

    /// The directories that a key could be to, in the words of `path`: what it names, where that could be a directory, and what that is in.
    fn directories<'p>(&self, path: &'p str) -> impl Iterator<Item = &'p str> {
        let path = path.trim_end_matches('/');
        let could_be_directory = matches!(
            self.operation,
            Operation::OpenRead | Operation::Stat | Operation::List | Operation::SetTimes
        );
        let is_above = path == ".." || path.ends_with("/..");
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent.trim_end_matches('/'));
        [(could_be_directory || is_above).then_some(path), Some(parent)].into_iter().flatten()
    }

    /// The key to a directory of a path, at one of these places. What the path names itself is one only where there is such a directory.
    fn key(&self, guest: String, hosts: &[PathBuf], (path, directory): (&str, &str)) -> Option<MissingKey> {
        let host = if path == directory {
            Some(self.seen(hosts)?)
        } else {
            self.meant(hosts, rest_of(path, directory))
        };
        Some(MissingKey::Directory { host, guest, access: self.access })
    }

    /// Whether a library would look `path` up in a directory of this name, beside those that are granted.
    fn is_chosen(&self, name: &str, path: &str) -> bool {
        let name = stripped(name);
        let begins = |name: &str| {
            name.is_empty()
                || path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let others = self.grants.iter().filter_map(|grant| match &**grant {
            Grant::Directory { guest, .. } => Some(stripped(guest)),
            _ => None,
        });
        begins(name) && others.filter(|other| begins(other)).all(|other| other.len() < name.len())
    }

    /// The directory of the host that a guest path leads to by what is granted already.
    fn host_by_grants(&self, guest: &str) -> Option<PathBuf> {
        let plain = |name: &str| fold(Path::new(name.trim_start_matches('/')));
        let wanted = plain(guest);
        let found = self.grants.iter().filter_map(|grant| match &**grant {
            Grant::Directory { host, guest, access } if !matches!(access, Access::Temporary { .. }) => {
                let beneath = wanted.strip_prefix(plain(guest)).ok()?;
                let is_in = !beneath.starts_with("..");
                is_in.then(|| (beneath.components().count(), host.join(beneath)))
            }
            _ => None,
        });
        found.min_by_key(|(depth, _)| *depth).map(|(_, host)| host)
    }

    /// The one directory among these that is there or can be there, as it is written best; where several are, the one in which `rest` is seen.
    fn meant(&self, hosts: &[PathBuf], rest: &str) -> Option<PathBuf> {
        let mut places = self.possible(hosts);
        if places.len() > 1 {
            places.retain(|(_, place)| !rest.is_empty() && self.is_there(&place.path.join(rest)));
        }
        let [(host, _)] = places.as_slice() else { return None };
        Some(self.around.told(host))
    }

    /// The one directory among these that is seen to be there.
    fn seen(&self, hosts: &[PathBuf]) -> Option<PathBuf> {
        let mut places = self.possible(hosts);
        places.retain(|(_, place)| place.found == Found::Directory);
        let [(host, _)] = places.as_slice() else { return None };
        Some(self.around.told(host))
    }

    /// Those of these places that can be meant. The root of the machine never is, nor are files of the kernel's, and nor is what the guest itself can have made a path
    /// lead to.
    fn possible<'h>(&self, hosts: &'h [PathBuf]) -> Vec<(&'h Path, Place)> {
        let mut places: Vec<(&Path, Place)> = Vec::new();
        for host in hosts {
            let place = self.around.look(host);
            if matches!(place.found, Found::Directory | Found::Unknown)
                && place.path != Path::new("/")
                && !is_of_the_kernel(&place.path)
                && places.iter().all(|(_, known)| known.path != place.path)
            {
                places.push((host, place));
            }
        }
        places
    }

    /// Whether something is seen at a host path.
    fn is_there(&self, host: &Path) -> bool {
        matches!(self.around.look(host).found, Found::Directory | Found::Other)
    }
}

/// What of a path lies beneath one of its [`Search::directories`].
fn rest_of<'a>(path: &'a str, directory: &str) -> &'a str {
    path.strip_prefix(directory).unwrap_or(path).trim_start_matches('/')
}

/// A name of a directory as libraries compare it; empty where they look every path up in it.
pub(super) fn stripped(name: &str) -> &str {
    let mut name = name;
    while let Some(rest) = name.strip_prefix('/').or_else(|| name.strip_prefix("./")) {
        name = rest;
    }
    if name == "." { "" } else { name.trim_end_matches('/') }
}

fn join(directory: &str, name: &str) -> String {
    match (directory.trim_end_matches('/'), name) {
        ("", name) => name.to_owned(),
        (directory, "") => directory.to_owned(),
        (directory, name) => format!("{directory}/{name}"),
    }
}

fn access_for(needs: Rights) -> Access {
    if Rights::READ.contains(needs) { Access::ReadOnly } else { Access::ReadWrite }
}

/// The part of a handle's guest path that lies beneath its grant's.
pub(super) fn path_within(guest_path: &str, guest: &str) -> PathBuf {
    if guest_path == guest {
        PathBuf::new()
    } else if guest == "." {
        PathBuf::from(guest_path)
    } else {
        Path::new(guest_path).strip_prefix(guest).map_or_else(|_| PathBuf::new(), Path::to_path_buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_libraries_do() {
        for (name, plain) in
            [(".", ""), ("/", ""), ("./", ""), ("/./a", "a"), ("./../a", "../a"), ("/a/", "a"), (".a", ".a")]
        {
            assert_eq!(stripped(name), plain, "{name}");
        }
    }
}
