//! Operations that are refused because the guest may make the host hold no more: whatever they would have changed is as it was.

mod support;

use std::fs;

use innkeeper_engine::BudgetKind;
use innkeeper_wasi::keys::{Access, Keys, WasiLimits};
use support::*;

const DIR: u32 = 3;

/// What is in the directory: names, with kind, links, size and bytes.
fn seen(guest: &mut TestGuest) -> Vec<String> {
    let root = guest.open(DIR, ".", open_for(0, DIRECTORY)).expect("the directory");
    let mut names = guest.list(root, 4096);
    guest.close(root).expect("close");
    names.retain(|name| name != "fill" && !name.starts_with('.'));
    names.sort();
    let describe = |name: &String| {
        let stat = guest.stat(DIR, 0, name).expect("a name that is listed");
        let mut text = Vec::new();
        if stat.filetype == 4 {
            let fd = guest.open(DIR, name, open_for(READ, 0)).expect("a file");
            text = guest.read(fd, 100).expect("bytes");
            guest.close(fd).expect("close");
        }
        let links = if stat.filetype == 3 { 0 } else { stat.nlink };
        format!("{name} {} {links} {} {text:?}", stat.filetype, stat.size)
    };
    names.iter().map(describe).collect()
}

/// Every operation that changes names or bytes, where the guest may make the host hold nothing more: what is refused has changed nothing.
#[test]
fn what_is_refused_for_lack_of_memory_has_changed_nothing() {
    type Operation = fn(&mut TestGuest, &str) -> Result<(), i32>;
    let operations: [(&str, Operation); 15] = [
        ("rename a file", |guest, long| guest.rename((DIR, "f"), (DIR, long))),
        ("rename a directory", |guest, long| guest.rename((DIR, "d"), (DIR, long))),
        ("rename into a directory", |guest, long| guest.rename((DIR, "f"), (DIR, &format!("d/{long}")))),
        ("rename over a file", |guest, _| guest.rename((DIR, "f"), (DIR, "g"))),
        ("rename over an empty directory", |guest, _| guest.rename((DIR, "d"), (DIR, "e"))),
        ("create by opening", |guest, long| guest.open(DIR, long, open_for(WRITE, CREAT)).map(drop)),
        ("truncate by opening", |guest, _| guest.open(DIR, "f", open_for(WRITE, TRUNC)).map(drop)),
        ("create or truncate", |guest, _| guest.open(DIR, "g", open_for(WRITE, CREAT | TRUNC)).map(drop)),
        ("make a directory", |guest, long| guest.mkdir(DIR, long)),
        ("make a link", |guest, long| guest.symlink(long, DIR, long)),
        ("make a hard link", |guest, long| guest.link(0, (DIR, "f"), (DIR, long))),
        ("remove a file", |guest, _| guest.unlink(DIR, "f")),
        ("remove a directory", |guest, _| guest.rmdir(DIR, "d")),
        ("write", |guest, _| guest.write(4, &[7; 5000]).map(drop)),
        ("set the size", |guest, _| guest.call("fd_filestat_set_size", &[4, 3])),
    ];
    let long = "y".repeat(255);
    let mut refused = std::collections::BTreeSet::new();
    for access in [Access::ReadWrite, Access::CopyOnWrite, Access::Temporary { limit_bytes: 1 << 30 }] {
        for (name, operation) in &operations {
            let folder = tempfile::tempdir().expect("folder");
            let mut limits = WasiLimits::default();
            limits.memory_bytes = Some(8 << 20);
            let keys = Keys::builder().dir(folder.path(), "/", access).limits(limits).build();
            let is_temporary = matches!(access, Access::Temporary { .. });
            if !is_temporary {
                fs::write(folder.path().join("f"), "precious").expect("file");
                fs::write(folder.path().join("g"), "other").expect("file");
                for name in ["d", "e", "fill"] {
                    fs::create_dir(folder.path().join(name)).expect("directory");
                }
            }
            let mut guest = TestGuest::new(&keys);
            if is_temporary {
                for (name, text) in [("f", "precious"), ("g", "other")] {
                    let fd = guest.open(DIR, name, open_for(WRITE, CREAT)).expect("file");
                    guest.write(fd, text.as_bytes()).expect("bytes");
                    guest.close(fd).expect("close");
                }
                for name in ["d", "e", "fill"] {
                    guest.mkdir(DIR, name).expect("directory");
                }
            }
            let before = seen(&mut guest);
            let held = guest.open(DIR, "g", open_for(WRITE, 0)).expect("file");
            assert_eq!(held, 4);
            let budget = guest.cx.host().budget().clone();
            let mut all = budget.empty(BudgetKind::Tree);
            for step in (0..24).rev() {
                while all.add(1 << step).is_ok() {}
            }
            // What the tree has charged beforehand: whole nodes, then names alone.
            if access != Access::ReadWrite {
                (0..).find(|number| guest.symlink("y", DIR, &format!("fill/s{number}")).is_err());
                (0..).find(|number| {
                    guest.link(0, (DIR, "fill/s0"), (DIR, &format!("fill/l{number}"))).is_err()
                });
            }
            let outcome = operation(&mut guest, &long);
            drop(all);
            guest.close(held).expect("close");
            if let Err(errno) = outcome {
                assert_eq!(seen(&mut guest), before, "{access:?}: {name}: {errno}");
                refused.insert(*name);
            }
        }
    }
    let expected = [
        "rename a file",
        "rename a directory",
        "rename into a directory",
        "truncate by opening",
        "create by opening",
        "write",
    ];
    assert!(expected.iter().all(|name| refused.contains(name)), "{refused:?}");
}
