//! Which services the command asks for the addresses of a host's name.
//!
//! glibc loads those that the machine's configuration lists (`/etc/nsswitch.conf`). Where it is linked statically it has two of them in it, the file of hosts and name servers,
//! and would load the others from the machine, which are made for another build of it: the look-up fails, or worse. So it is told to ask these two.

/// Has names looked up in what this program has in it, if it is linked statically. To be called before the first is.
pub(crate) fn keep_to_what_is_here() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{c_char, c_int};
        // SAFETY: glibc has this function, of these types, in every version since 2.2.5.
        unsafe extern "C" {
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        // SAFETY: both are texts that live for ever and end in a NUL. No thread looks up a name yet.
        let done = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
        debug_assert_eq!(done, 0);
    }
}
