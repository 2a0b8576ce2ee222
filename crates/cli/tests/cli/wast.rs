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

#[test]
fn an_unreadable_file_does_not_keep_the_others_from_running() {
    let folder = scratch();
    std::fs::write(folder.path().join("holds.wast"), HOLDS).unwrap();
    std::fs::write(folder.path().join("bytes.wast"), [0xFF, 0xFE]).unwrap();
    let args = ["wast", "missing.wast", "bytes.wast", "holds.wast"];
    let ran = inn(&args).current_dir(folder.path()).run();
    ran.code(1).says(&["missing.wast", "bytes.wast"]);
    assert_eq!(ran.stdout, "2 passed, 0 failed, 2 not readable\n");
}

#[test]
fn tiers_and_features_are_chosen() {
    let folder = scratch();
    std::fs::write(folder.path().join("holds.wast"), HOLDS).unwrap();
    for tier in ["auto", "interpreter", "compiled"] {
        let ran = inn(&["wast", "--tier", tier, "holds.wast"]).current_dir(folder.path()).run();
        ran.code(0);
        assert_eq!(ran.stdout, "2 passed, 0 failed\n", "{tier}");
    }
    let two = "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))\n";
    std::fs::write(folder.path().join("two.wast"), two).unwrap();
    inn(&["wast", "two.wast"]).current_dir(folder.path()).run().code(0);
    let ran = inn(&["wast", "--features", "-multi-value", "two.wast"]).current_dir(folder.path()).run();
    ran.code(1).prints(&["two.wast:1: ", "0 passed, 1 failed\n"]);
}
