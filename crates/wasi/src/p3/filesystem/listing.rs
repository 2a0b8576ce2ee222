//! Listing a directory: a stream of its entries.

use innkeeper_component::{Lent, Val};
use innkeeper_engine::{BudgetKind, Charge};

use super::error_code::{ErrorCode, told};
use super::types::DirectoryEntry;
use crate::host::{self, Host, Listing};
use crate::p2::filesystem::descriptor::Descriptor;
use crate::p2::filesystem::error_code::ErrorCode as P2Code;
use crate::p2::filesystem::listing::FIRST_ENTRY;
use crate::p2::filesystem::paths::in_directory;
use crate::p2::interface::FindContext;
use crate::p3::interface::Interface;

/// Entries that are read ahead at most.
const SOME: usize = 64;

/// What they take, about: a name has 255 bytes at most, and may become three times as long where it is not UTF-8.
const SOME_BYTES: u64 = SOME as u64 * 1024;

/// A listing that is being read.
struct Entries {
    listing: Listing,
    /// The number of the entry that comes next.
    next: u64,
    _charge: Charge,
}

pub(super) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types.lists::<(Lent<Descriptor>,), DirectoryEntry, ErrorCode, Entries>(
        "[method]descriptor.read-directory",
        |cx, (at,)| {
            let charge = cx.host.budget().hold(BudgetKind::Buffer, SOME_BYTES);
            told(in_directory(cx, at.borrow(), |host, at| {
                let charge = charge.map_err(|_| P2Code::InsufficientMemory)?;
                Ok(Entries { listing: host.list(at)?, next: FIRST_ENTRY, _charge: charge })
            }))
        },
        Entries::some,
    );
}

impl Entries {
    /// The next entries; none at the end. A name that is not UTF-8 has other characters in the place of what is not: it cannot be opened, and does not end the listing.
    fn some(&mut self, host: &Host) -> Result<Vec<Val>, host::Error> {
        let mut some = Vec::new();
        while some.len() < SOME
            && let Some(entry) = host.entry(&mut self.listing, self.next)?
        {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            some.push(DirectoryEntry { r#type: entry.kind.into(), name }.val());
            self.next += 1;
        }
        Ok(some)
    }
}
