//! Every guest that is a WASI 0.1 program, as a component of WASI 0.2: what it prints and leaves behind is what it does as a module, in the interpreter and in compiled code.

use std::path::Path;
use std::process::Command;

#[path = "../examples/components.rs"]
#[allow(dead_code, reason = "it is a program too")]
mod components;

#[test]
fn guests_do_the_same_as_components() {
    let folder = tempfile::tempdir().unwrap();
    components::make_components(folder.path()).unwrap();
    // What compiled code has in common with the interpreter, others try; here it meets each interface once.
    let some =
        ["hello@rust", "cat-files", "ls-links", "wc-stdin", "cp-new", "clockrandom", "site-search", "trap"];
    for (tier, cases) in [("interpreter", &[][..]), ("compiled", &some)] {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/guests.sh");
        let ran = Command::new(script)
            .arg("--component")
            .arg(folder.path())
            .args(cases)
            .env("INN", env!("CARGO_BIN_EXE_inn"))
            .env("INN_FLAGS", format!("--cache off --tier {tier}"))
            .env("WASMTIME", "")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{tier}: {told}{}", String::from_utf8_lossy(&ran.stderr));
        let passed = told.lines().filter(|line| line.starts_with("ok")).count();
        assert!(passed > 60 || passed == cases.len(), "{tier}: {told}");
    }
}
