//! Copy-on-write and temporary directories, as a user sees them, with a real program: a site made from Markdown.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{inn, scratch, site};

const BUILD: [&str; 4] = ["{markdown-site}", "build", "/site", "/site/out"];

/// Every path beneath a directory, sorted.
fn tree(root: &Path) -> Vec<String> {
    let output = Command::new("find").arg(".").current_dir(root).output().expect("find runs");
    let mut paths: Vec<String> =
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(String::from).collect();
    paths.sort();
    paths
}

fn build(dir: &Path, flags: &[&str]) -> crate::Ran {
    let args: Vec<&str> = flags.iter().copied().chain(BUILD).collect();
    inn(&args).current_dir(dir).run()
}

#[test]
fn a_cow_directory_stays_as_it_is_and_its_changes_can_be_had() {
    let dir = site();
    let before = tree(dir.path());
    let ran = build(dir.path(), &["--dir", "site::/site::cow", "--cow-changes", "list"]);
    ran.code(0).says(&["A out/\n", "A out/index.html\n", "A out/guide/rules.html\n"]);
    assert_eq!(tree(dir.path()), before);

    build(dir.path(), &["--dir", "site::/site::cow", "--cow-changes", "tar=changes.tar"]).code(0);
    let mut with_archive = before.clone();
    with_archive.push(String::from("./changes.tar"));
    with_archive.sort();
    assert_eq!(tree(dir.path()), with_archive);

    // What is archived, what is applied and what is written directly are the same.
    let [unpacked, applied, direct] = [(); 3].map(|()| site());
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(dir.path().join("changes.tar")).current_dir(unpacked.path().join("site"));
    assert!(tar.status().expect("tar runs").success());
    build(applied.path(), &["--dir", "site::/site::cow", "--cow-changes", "apply"]).code(0);
    build(direct.path(), &["--dir", "site::/site"]).code(0);
    for other in [&unpacked, &applied] {
        let same =
            Command::new("diff").arg("-r").args([other.path(), direct.path()]).status().expect("diff runs");
        assert!(same.success());
    }
}

#[test]
fn a_temporary_directory_is_gone_with_the_guest_and_can_be_full() {
    let dir = scratch();
    inn(&["--tmp", "/helloworld", "{hello-rust}"])
        .current_dir(&dir)
        .run()
        .code(0)
        .stdout("Hello, World!\n")
        .stderr("");
    assert_eq!(tree(dir.path()), ["."]);
    let ran = inn(&["--tmp", "/helloworld::1", "{hello-rust}"]).current_dir(&dir).run();
    ran.code(1).says(&["No space left"]);
}

#[test]
fn changes_without_a_cow_directory_are_a_mistake() {
    let dir = scratch();
    fs::create_dir(dir.path().join("d")).unwrap();
    let ran =
        inn(&["--dir", "d::/helloworld", "--cow-changes", "apply", "{hello-c}"]).current_dir(&dir).run();
    ran.code(1).says(&["there is no cow directory", "--dir HOST::GUEST::cow"]);
}
