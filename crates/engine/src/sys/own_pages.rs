//! Which pages of a private mapping are its own: written to since they were mapped or given back, and neither the file's beneath nor the system's page of zeros. Asked of the system
//! (`PAGEMAP_SCAN`, `ioctl` of `/proc/self/pagemap`, Linux 6.7; the kernel's Documentation/admin-guide/mm/pagemap.rst).
//!
//! Must stay true: what is not told as own reads as what was mapped. A process that was forked asks about itself, and never about the one that has forked it. Where the system does not know the call, or
//! answers it otherwise than expected, nobody is told anything.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::ptr::NonNull;
use std::sync::RwLock;

use crate::fork;

/// A range of pages, as the system tells it (`struct page_region`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`
#[repr(C)]
#[derive(Default)]
struct ScanArg {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: u64 = 3 << 30 | (size_of::<ScanArg>() as u64) << 16 | (b'f' as u64) << 8 | 16;

const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// Ranges that one call tells of at most; where there are more, what lies behind them was not looked at.
const REGIONS: usize = 32;

/// What was found.
pub(super) struct OwnPages {
    regions: [Region; REGIONS],
    count: usize,
    /// Up to where the system has looked.
    looked_to: usize,
}

impl OwnPages {
    /// Looks for own pages among whole pages, in order, until there are `most_pages`. None where the system does not tell.
    pub(super) fn find(start: NonNull<u8>, len_bytes: usize, most_pages: usize) -> Option<OwnPages> {
        with_pagemap(|pagemap| scan(pagemap, (start, len_bytes), most_pages))
    }

    /// Offsets and lengths from `start`, as it was given.
    pub(super) fn ranges(&self, start: NonNull<u8>) -> impl Iterator<Item = (usize, usize)> + '_ {
        let start = start.as_ptr() as u64;
        let regions = self.regions[..self.count].iter();
        regions.map(move |region| ((region.start - start) as usize, (region.end - region.start) as usize))
    }

    /// How many bytes from `start` on were looked at; behind these there may be own pages that were not told.
    pub(super) fn looked_at_bytes(&self, start: NonNull<u8>) -> usize {
        self.looked_to - start.as_ptr() as usize
    }
}

/// The process's pagemap, once it is known that the system answers as expected.
struct Pagemap {
    /// None where it does not.
    file: Option<File>,
    /// Whose it is: a child of this process has inherited it, and it goes on telling of the parent.
    process: (u32, rustix::process::Pid),
}

fn with_pagemap<R>(act: impl FnOnce(&File) -> Option<R>) -> Option<R> {
    static PAGEMAP: RwLock<Option<Pagemap>> = RwLock::new(None);
    // Two numbers, because who has made a child without the C library has changed the one only, and in another namespace a child may have its parent's.
    fork::notice();
    let process = (fork::generation(), rustix::process::getpid());
    let is_own = |known: &&Pagemap| known.process == process;
    // Nobody waits: in a child, whoever had locked it may not be there.
    let known = PAGEMAP.try_read().ok()?;
    if let Some(known) = known.as_ref().filter(is_own) {
        return act(known.file.as_ref()?);
    }
    drop(known);
    let mut known = PAGEMAP.try_write().ok()?;
    if known.as_ref().filter(is_own).is_none() {
        *known = Some(Pagemap { file: open(), process });
    }
    act(known.as_ref()?.file.as_ref()?)
}

fn open() -> Option<File> {
    let file = File::open("/proc/self/pagemap").ok()?;
    answers_as_expected(&file).then_some(file)
}

fn scan(pagemap: &File, (start, len_bytes): (NonNull<u8>, usize), most_pages: usize) -> Option<OwnPages> {
    let mut regions = [Region::default(); REGIONS];
    let start = start.as_ptr() as u64;
    let end = start.checked_add(len_bytes as u64)?;
    let mut arg = ScanArg {
        size: size_of::<ScanArg>() as u64,
        start,
        end,
        vec: regions.as_mut_ptr() as u64,
        vec_len: REGIONS as u64,
        max_pages: most_pages as u64,
        // Neither a file's page that nobody has written to, nor the page of zeros, but there in some way.
        category_inverted: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_mask: PAGE_IS_FILE | PAGE_IS_PFNZERO,
        category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        return_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
        ..ScanArg::default()
    };
    // SAFETY: the call reads `arg` and writes to it and to `regions`, which are as long as it is told.
    let count = unsafe { libc::ioctl(pagemap.as_raw_fd(), PAGEMAP_SCAN as libc::Ioctl, &raw mut arg) };
    let count = usize::try_from(count).ok().filter(|count| *count <= REGIONS)?;
    let is_inside =
        |region: &Region| start <= region.start && region.start <= region.end && region.end <= arg.walk_end;
    let is_sound = (start..=end).contains(&arg.walk_end) && regions[..count].iter().all(is_inside);
    is_sound.then_some(OwnPages { regions, count, looked_to: arg.walk_end as usize })
}

/// Whether the system tells of a page that was written to, over a file and over nothing, that it is.
fn answers_as_expected(pagemap: &File) -> bool {
    const PAGES: usize = 4;
    const WRITTEN: usize = 1;
    let page = super::page_bytes();
    let is_told = |mapping: super::Mapping| {
        let start = NonNull::new(mapping.base())?;
        // SAFETY: the page is accessible, and nobody else knows of the mapping.
        unsafe { start.as_ptr().add(WRITTEN * page).write_volatile(1) };
        let found = scan(pagemap, (start, PAGES * page), PAGES)?;
        let mut ranges = found.ranges(start);
        // Others may be there as well, which the system has made together with it.
        let is_told = ranges.any(|(at, len)| (at..at + len).contains(&(WRITTEN * page)));
        Some(is_told && found.looked_at_bytes(start) == PAGES * page)
    };
    let mapping = || super::Mapping::new(PAGES * page, PAGES * page).ok();
    let over_file = || mapping()?.with_image(0, &super::Image::new(PAGES * page, [(0, &[1_u8][..])])?).ok();
    mapping().and_then(is_told) == Some(true) && over_file().and_then(is_told) == Some(true)
}
