//! Chooses how instructions are dispatched: by sibling calls where the optimizer is known to make them, else by a loop.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tail_dispatch)");
    // For measuring what interruption costs, see docs/benchmarks.md: built with INNKEEPER_UNPOLLED set, loops cannot be interrupted.
    println!("cargo::rustc-check-cfg=cfg(unpolled)");
    println!("cargo::rerun-if-env-changed=INNKEEPER_UNPOLLED");
    if std::env::var_os("INNKEEPER_UNPOLLED").is_some() {
        println!("cargo::rustc-cfg=unpolled");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let optimized = matches!(std::env::var("OPT_LEVEL").as_deref(), Ok("2" | "3"));
    // Six arguments in registers, and sibling calls between functions of one signature: true of these.
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let os = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    let registers = matches!(arch.as_str(), "x86_64" | "aarch64") && os != "windows";
    if optimized && registers && std::env::var_os("CARGO_FEATURE_LOOP_DISPATCH").is_none() {
        println!("cargo::rustc-cfg=tail_dispatch");
    }
}
