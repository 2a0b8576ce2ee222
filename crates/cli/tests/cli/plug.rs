//! `--plug`: components that are given to others.

use crate::{inn, scratch};

const FILES: [(&str, &str); 3] = [
    ("math.wat", include_str!("components/math.wat")),
    ("constants.wat", include_str!("components/constants.wat")),
    ("app.wat", include_str!("components/app.wat")),
];

fn folder() -> tempfile::TempDir {
    let folder = scratch();
    for (name, text) in FILES {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn a_program_is_given_what_plugs_export() {
    let folder = folder();
    let run = |args: &[&str]| inn(args).current_dir(folder.path()).run();
    run(&["--plug", "constants.wat", "--plug", "math.wat", "app.wat"]).code(0).stdout("").stderr("");
    run(&["--plug", "constants.wat", "--plug", "math.wat", "--invoke", "nine", "app.wat"])
        .code(0)
        .stdout("9\n");
    // What a plug lacks fails when it is called; what the program lacks is told.
    run(&["--plug", "math.wat", "app.wat"])
        .code(134)
        .says(&["`test:math/constants@1.0.0#three` was called, which nobody provides"]);
    run(&["app.wat"]).code(134).says(&["`test:math/operations@1.0.0#triple`"]);
}

#[test]
fn plugs_are_components_and_for_components() {
    let folder = folder();
    std::fs::write(folder.path().join("module.wat"), "(module (func (export \"_start\")))").unwrap();
    std::fs::write(folder.path().join("empty.wat"), "(component)").unwrap();
    let run = |args: &[&str]| inn(args).current_dir(folder.path()).run();
    run(&["--plug", "module.wat", "app.wat"])
        .code(2)
        .says(&["--plug module.wat: it is a module, and plugs are components"]);
    run(&["--plug", "math.wat", "module.wat"])
        .code(2)
        .says(&["--plug math.wat: `module.wat` is a module, and only components take plugs"]);
    run(&["--plug", "empty.wat", "app.wat"]).code(1).says(&["--plug empty.wat: it exports no function"]);
    // The order counts: `math` imports what `constants` exports.
    for unused in [
        &["--plug", "math.wat", "--plug", "constants.wat", "app.wat"][..],
        &["--plug", "constants.wat", "app.wat"],
    ] {
        run(unused)
            .code(2)
            .says(&["--plug constants.wat: nothing that it exports is imported by the components after it"]);
    }
    run(&["--plug", "none.wat", "app.wat"]).code(2).says(&["none.wat"]);
}
