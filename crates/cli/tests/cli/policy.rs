//! Policies: granted, checked, learned.

use std::fs;

use crate::{inn, scratch, site};

#[test]
fn a_policy_grants_what_it_says_relative_to_its_folder() {
    let dir = scratch();
    fs::create_dir_all(dir.path().join("etc/data")).unwrap();
    fs::write(dir.path().join("etc/data/notes"), "kept").unwrap();
    fs::write(
        dir.path().join("etc/p.toml"),
        "[[directory]]\nhost = \"data\"\nguest = \"/d\"\n[stdio]\nstdout = { file = \"out\" }\n",
    )
    .unwrap();
    inn(&["policy", "check", "etc/p.toml"]).current_dir(&dir).run().code(0).prints(&["it can be granted"]);
    inn(&["--policy", "etc/p.toml", "{cat}", "/d/notes"]).current_dir(&dir).run().code(0).stdout("");
    assert_eq!(fs::read_to_string(dir.path().join("etc/out")).unwrap(), "kept");
    // Flags add, and a policy's directory is read-only unless it says otherwise.
    let args = ["--policy", "etc/p.toml", "--stdout", "inherit", "{cp}", "/d/notes", "/d/copy"];
    inn(&args).current_dir(&dir).run().code(1).says(&["denied", "read-only"]);
}

#[test]
fn a_mistake_in_a_policy_is_named_with_its_place() {
    let dir = scratch();
    for (text, says) in [
        ("[[directory]]\nhost = \"x\"\nacess = \"rw\"\n", vec!["line 3", "acess"]),
        ("[limits]\nwall = \"soon\"\n", vec!["line 2", "not a duration"]),
        ("directory = 3\n", vec!["line 1"]),
        ("[[directory]]\nhost = \"missing\"\n", vec!["there is no such directory"]),
        ("[stdio]\nstdin = \"discard\"\n", vec!["stdin cannot be"]),
        ("[network]\nlisten = [\"nowhere\"]\n", vec!["line 2"]),
    ] {
        fs::write(dir.path().join("p.toml"), text).unwrap();
        inn(&["policy", "check", "p.toml"]).current_dir(&dir).run().code(1).says(&says);
    }
    inn(&["--policy", "none.toml", "{hello-c}"]).current_dir(&dir).run().code(2).says(&["none.toml"]);
}

#[test]
fn a_learned_policy_covers_the_run_and_no_more() {
    let dir = site();
    fs::create_dir(dir.path().join("out")).unwrap();
    fs::create_dir(dir.path().join("secret")).unwrap();
    fs::write(dir.path().join("secret/page.md"), "# Secret\n").unwrap();
    let run = |args: &[&str]| inn(args).current_dir(&dir).run();
    let build = ["{markdown-site}", "build", "/w/site", "/w/out"];
    run(&[&["policy", "learn", "--to", "p.toml", "--dir", ".::/w"][..], &build].concat()).code(0);
    let learned = fs::read_to_string(dir.path().join("p.toml")).unwrap();
    assert!(learned.contains("guest = \"/w/site\"\naccess = \"ro\""), "{learned}");
    assert!(learned.contains("guest = \"/w/out\"\naccess = \"rw\""), "{learned}");
    assert!(learned.contains("stdin = \"empty\""), "{learned}");
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    run(&[&["--policy", "p.toml"][..], &build].concat()).code(0);
    // One more path, to read or to write, is refused.
    let other = ["--policy", "p.toml", "{markdown-site}", "build", "/w/secret", "/w/out"];
    run(&other).code(3).says(&["denied", "/w/secret"]);
    run(&["--policy", "p.toml", "{markdown-site}", "build", "/w/site", "/w/site/out"])
        .code(3)
        .says(&["denied"]);
    // A second run extends it.
    let learn = [
        "policy",
        "learn",
        "--to",
        "p.toml",
        "--dir",
        ".::/w",
        "{markdown-site}",
        "build",
        "/w/secret",
        "/w/out",
    ];
    run(&learn).code(0);
    run(&other).code(0);
    run(&[&["--policy", "p.toml"][..], &build].concat()).code(0);
}

#[test]
fn the_example_of_the_manual_can_be_granted() {
    let page = include_str!("../../../../docs/policies.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let dir = scratch();
    for name in ["data", "out"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("all.toml"), example).unwrap();
    inn(&["policy", "check", "all.toml"]).current_dir(&dir).run().code(0);
}
