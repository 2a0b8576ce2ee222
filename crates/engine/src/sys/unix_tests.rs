//! What becomes of a mapping when the system refuses to put something in the place of a part of it.

use super::*;
use crate::sys::Image;

/// A byte of a mapping, whoever it belongs to by now.
fn byte(address: *mut u8) -> u8 {
    // SAFETY: callers pass addresses of parts that were given up, which stay as they were for ever.
    unsafe { address.read_volatile() }
}

fn mapping_with(pages: usize, marked: usize) -> (Mapping, *mut u8) {
    let page = page_bytes();
    let mapping = Mapping::new(pages * page, 4 * pages * page).unwrap();
    let mark = mapping.base().wrapping_add(marked * page);
    // SAFETY: the page is accessible, and nobody else knows of the mapping.
    unsafe { mark.write(0x5a) };
    (mapping, mark)
}

/// On this kernel nothing was unmapped: it stands for what somebody else may have mapped there meanwhile.
#[test]
fn where_an_image_is_refused_nothing_is_touched_any_more() {
    let (mapping, mark) = mapping_with(16, 5);
    assert!(mapping.with_image(4 * page_bytes(), &Image::refused(4 * page_bytes())).is_err());
    assert_eq!(byte(mark), 0x5a);
}

#[test]
fn a_first_page_that_was_refused_is_not_the_mapping_s_any_more() {
    let (mut mapping, mark) = mapping_with(2, 0);
    let (base, reserved) = (mapping.base(), mapping.reserved_bytes());
    mapping.give_up_first_page();
    assert_eq!(
        (mapping.base(), mapping.reserved_bytes()),
        (base.wrapping_add(page_bytes()), reserved - page_bytes())
    );
    drop(mapping);
    assert_eq!(byte(mark), 0x5a);
}

#[test]
fn pages_are_moved_or_come_back() {
    let (from, mark) = mapping_with(3, 1);
    let offset = mark as usize - from.base() as usize;
    let small = Mapping::new(0, page_bytes()).unwrap();
    let Err(from) = small.with_pages_of(from) else { panic!("it has no room") };
    let moved = Mapping::new(0, 8 * page_bytes()).unwrap().with_pages_of(from);
    let Ok(moved) = moved else { panic!("it has room") };
    assert_eq!(byte(moved.base().wrapping_add(offset)), 0x5a);
}

/// Whatever was written to, in an image, beside it and across its ends, and however much may be kept.
#[test]
fn what_was_written_to_is_as_at_first_again() {
    const PAGES: usize = 80;
    const IMAGE: Range<usize> = 20..50;
    let page = page_bytes();
    let contents: Vec<u8> = (0..IMAGE.len() * page).map(|at| (at % 251) as u8 | 1).collect();
    let image = Image::new(IMAGE.len() * page, [(0, &contents[..])]).unwrap();
    let expected: Vec<u8> =
        [vec![0; IMAGE.start * page], contents, vec![0; (PAGES - IMAGE.end) * page]].concat();
    // As random as need be, and the same each time.
    let mut number = 1_u64;
    let mut random = move || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (number >> 33) as usize
    };
    for kept_pages in [0, 1, 2, 7, 31, 32, 33, PAGES, 2 * PAGES] {
        let mapping = Mapping::new(PAGES * page, 2 * PAGES * page).unwrap();
        let mut mapping = mapping.with_image(IMAGE.start * page, &image).unwrap();
        for round in 0..60 {
            // SAFETY: the pages are accessible, and nobody else knows of the mapping.
            let bytes = unsafe { std::slice::from_raw_parts_mut(mapping.base(), PAGES * page) };
            assert!(*bytes == *expected, "round {round}, {kept_pages} kept");
            for _ in 0..random() % PAGES {
                let at = random() % bytes.len();
                bytes[at] = 0xff;
            }
            if round % 9 == 0 {
                bytes.fill(0xff);
            }
            assert!(mapping.overwrite_changes(kept_pages * page, Some((IMAGE.start * page, &image))));
        }
        // What is given back is zeros when it is accessible again.
        mapping.restrict(IMAGE.end * page).unwrap();
        mapping.make_accessible(PAGES * page + page).unwrap();
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.base(), (PAGES + 1) * page) };
        assert!(
            bytes[..expected.len()] == *expected && bytes[expected.len()..].iter().all(|byte| *byte == 0)
        );
    }
}

/// Where the system tells own pages, they stay, and no others; this fails where it does not and is new enough.
#[test]
fn pages_that_were_written_to_stay_with_the_mapping_as_far_as_they_may() {
    let page = page_bytes();
    let mut mapping = Mapping::new(64 * page, 64 * page).unwrap();
    let write = |mapping: &Mapping, pages: Range<usize>| {
        for at in pages {
            // SAFETY: the page is accessible, and nobody else knows of the mapping.
            unsafe { mapping.base().add(at * page).write(1) };
        }
    };
    let own = |mapping: &Mapping| {
        let found = OwnPages::find(mapping.base, 64 * page, 64)?;
        Some(found.ranges(mapping.base).map(|(_, len)| len / page).sum::<usize>())
    };
    write(&mapping, 3..5);
    write(&mapping, 30..40);
    if own(&mapping).is_none() {
        let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = version.split(['.', '-']).filter_map(|number| number.parse::<u32>().ok());
        let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        assert!(version < (6, 7), "Linux {version:?} tells which pages are own");
        return;
    }
    assert!(mapping.overwrite_changes(8 * page, None));
    // Larger pages than the smallest may have come with those that were written to.
    assert!((1..=8).contains(&own(&mapping).unwrap()), "{:?}", own(&mapping));
    assert!(mapping.overwrite_changes(0, None));
    assert_eq!(own(&mapping), Some(0));
}
