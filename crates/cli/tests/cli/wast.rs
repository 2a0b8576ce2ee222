//! `inn wast`: counts, failures with their place, exit codes.

use crate::{inn, scratch};

const HOLDS: &str = r#"(module (func (export "one") (result i32) (i32.const 1)))
(assert_return (invoke "one") (i32.const 1))
"#;

#[test]
fn a_script_that_holds_is_counted() {
    let folder = scratch();
    std::fs::write(folder.path().join("holds.wast"), HOLDS).unwrap();
    let ran = inn(&["wast", "holds.wast"]).current_dir(folder.path()).run();
    ran.code(0).stderr("");
    assert_eq!(ran.stdout, "2 passed, 0 failed\n");
}

#[test]
fn a_failure_has_file_and_line() {
    let folder = scratch();
    let wrong = format!("{HOLDS}(assert_return (invoke \"one\") (i32.const 2))\n");
    std::fs::write(folder.path().join("fails.wast"), wrong).unwrap();
    let ran = inn(&["wast", "fails.wast"]).current_dir(folder.path()).run();
    ran.code(1).prints(&["fails.wast:3: result 0: expected", "2 passed, 1 failed\n"]);
}
