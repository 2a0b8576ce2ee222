//! Gives the shared library its name for the dynamic linker.
//!
//! Must stay true: the number in it changes when programs that were built with the library before no longer run with it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libinnkeeper_c.so.0");
    }
}
