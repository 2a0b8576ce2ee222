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
