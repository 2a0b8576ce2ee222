//! Where the key is that the code cache is believed by, as a user meets it.

use std::fs;

use crate::cache::{module, text};
use crate::{inn, scratch};

#[test]
fn y4_the_key_is_not_kept_where_nobody_would_find_it_again() {
    let (dir, cache) = (module(), scratch());
    let args = ["--explain", "--tier", "compiled", "--invoke", "twice", "m.wat", "21"];
    let run = inn(&args).env("XDG_STATE_HOME", "state").env("HOME", "home");
    run.env("XDG_CACHE_HOME", &text(cache.path()))
        .current_dir(&dir)
        .run()
        .code(0)
        .stdout("42\n")
        .says(&["note: there is no home directory to keep the key of the code cache in"]);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing is made in the current directory");
}

#[test]
fn y4_the_key_is_outside_of_every_cache() {
    let (dir, home) = (module(), scratch());
    let at = |name: &str| text(&home.path().join(name));
    for (cache, code) in
        [("state", 1), ("state/innkeeper", 1), ("state/innkeeper/cache-key", 1), ("cache", 0)]
    {
        let args = ["--cache", &at(cache), "--invoke", "twice", "m.wat", "21"];
        // The key is made where it is not; then the cache cannot be around it.
        for _ in 0..2 {
            let run = inn(&args).env("XDG_STATE_HOME", &at("state")).current_dir(&dir).run();
            let is_refused = run.stderr.contains("cannot be where its key is kept");
            assert!(run.code == Some(code) && is_refused == (code == 1), "{cache}: {run:#?}");
        }
    }
}

/// Some environments have one directory for caches and for what is kept: runs there had no cache, and said so only when they were asked to explain.
#[test]
fn y4_a_home_for_everything_has_a_cache_beside_its_key() {
    let (dir, home) = (module(), scratch());
    let args = ["--explain", "--tier", "compiled", "--invoke", "twice", "m.wat", "21"];
    let both = text(home.path());
    let run = inn(&args).env("XDG_CACHE_HOME", &both).env("XDG_STATE_HOME", &both);
    let run = run.current_dir(&dir).run();
    run.code(0).stdout("42\n");
    assert!(!run.stderr.contains("key"), "{run:#?}");
    let kept = home.path().join("innkeeper");
    let mut names: Vec<_> = fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["cache-key", "code"]);
    assert!(fs::read_dir(kept.join("code")).unwrap().count() > 0);
}
