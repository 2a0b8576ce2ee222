//! What the person who granted the keys is told: denials, missing keys and flags, and case D14 of the sandbox.

mod support;

use std::path::Path;

use innkeeper_wasi::host::{
    Aftermath, ApplyCause, ApplyError, ArchiveError, Error, ExplanationKind, MissingKey, Operation, visible,
};
use innkeeper_wasi::keys::{Access, Keys, WasiLimits, WasiTuning};
use support::*;

fn guest_in(sandbox: &Sandbox, guest_path: &str, access: Access) -> TestGuest {
    TestGuest::new(&Keys::builder().dir(sandbox.inside(), guest_path, access).build())
}

fn lines(guest: &TestGuest) -> Vec<String> {
    guest.cx.host().explain().into_iter().map(|explanation| explanation.line).collect()
}

#[test]
fn a_read_only_key_names_the_flag_that_makes_it_writable() {
    let sandbox = Sandbox::new();
    let mut guest = guest_in(&sandbox, "/data", Access::ReadOnly);
    for _ in 0..3 {
        guest.open(3, "f", open_for(WRITE, 0)).expect_err("denied");
    }
    guest.mkdir(3, "a/new").expect_err("denied");
    let denials = guest.cx.host().denials();
    assert_eq!(denials.len(), 2);
    assert_eq!(
        (denials[0].operation, denials[0].path.as_str(), denials[0].count),
        (Operation::OpenWrite, "/data/f", 3)
    );
    assert!(matches!(&denials[0].missing, MissingKey::Write { guest, .. } if guest == "/data"));
    let flag = format!("--dir {}::/data::rw", sandbox.inside().display());
    assert_eq!(denials[0].missing.flag().as_deref(), Some(flag.as_str()));
    assert_eq!(
        lines(&guest)[0],
        format!(
            "denied: open for writing /data/f (3 times): /data was granted read-only; grant it with {flag}"
        )
    );
    assert!(lines(&guest)[1].starts_with("denied: create directory /data/a/new: "));
    assert_eq!(guest.cx.host().gate().count(Operation::OpenWrite), 3);
}

#[test]
fn a_path_outside_names_the_directory_to_grant() {
    let sandbox = Sandbox::new();
    let out = sandbox.outside().display().to_string();
    for (guest_path, path, flag) in [
        ("/in", "../out/secret", "--dir HOST::/out::ro".to_string()),
        ("/in", "a/../../out/secret", "--dir HOST::/out::ro".to_string()),
        ("/in", "../etc/passwd", "--dir /etc::/etc::ro".to_string()),
        (".", "../out/secret", format!("--dir {out}::../out::ro")),
        ("/in", "/etc/passwd", "--dir /etc::/etc::ro".to_string()),
        ("/in", "/", "--dir /::/::ro".to_string()),
    ] {
        let mut guest = guest_in(&sandbox, guest_path, Access::ReadWrite);
        guest.open(3, path, open_for(READ, 0)).expect_err("denied");
        let denials = guest.cx.host().denials();
        assert_eq!(denials[0].missing.flag(), Some(flag), "{guest_path} {path}");
        let derived = guest.open(3, "a", open_for(READ, DIRECTORY)).expect("open");
        guest.unlink(derived, "../../../x").expect_err("denied");
        let last = guest.cx.host().denials().pop().expect("denial");
        assert!(last.missing.flag().expect("flag").ends_with("::rw"), "{last:?}");
    }
}

#[test]
fn a_link_that_leads_out_says_so() {
    let sandbox = Sandbox::new();
    sandbox.link("../out", "l");
    let mut guest = guest_in(&sandbox, "/in", Access::ReadWrite);
    guest.open(3, "l/secret", open_for(READ, 0)).expect_err("denied");
    assert_eq!(
        lines(&guest),
        ["denied: open for reading /in/l/secret: a symbolic link leads out of /in; \
          grant the directory that the link points into"]
    );
}

#[test]
fn a_guest_without_directories_is_explained() {
    let mut guest = TestGuest::new(&Keys::builder().build());
    assert!(lines(&guest).is_empty(), "it has not looked");
    guest.call("fd_prestat_get", &[3, 64]).expect_err("none");
    let explanations = guest.cx.host().explain();
    assert_eq!(explanations[0].kind, ExplanationKind::NoDirectory);
    assert_eq!(
        explanations[0].line,
        "the guest looked for preopened directories and found none; grant one with --dir HOST::GUEST"
    );
    let sandbox = Sandbox::new();
    let mut guest = guest_in(&sandbox, "/data", Access::ReadOnly);
    guest.call("fd_prestat_get", &[3, 64]).expect("one");
    guest.call("fd_prestat_get", &[4, 64]).expect_err("no more");
    let explanations = guest.cx.host().explain();
    assert_eq!(explanations[0].kind, ExplanationKind::DirectoriesHeld);
    assert!(explanations[0].line.contains("/data (ro, "), "{}", explanations[0].line);
}

#[test]
fn d14_what_a_guest_chose_cannot_drive_the_terminal() {
    let sandbox = Sandbox::new();
    let mut guest = guest_in(&sandbox, "/data", Access::ReadOnly);
    guest.open(3, "\u{1b}[2J\u{7}\r\n\u{202e}\u{9b}31m", open_for(WRITE, CREAT)).expect_err("denied");
    guest.open(3, "../'; rm -rf $HOME #\n/x", open_for(READ, 0)).expect_err("denied");
    for explanation in guest.cx.host().explain() {
        for text in [Some(explanation.line), explanation.flag].into_iter().flatten() {
            assert!(!text.contains(char::is_control) && !text.contains('\u{202e}'), "D14 {text:?}");
        }
    }
    let flag = guest.cx.host().explain()[1].flag.clone().expect("flag");
    assert!(flag.starts_with("--dir '") && flag.contains(r"'\''; rm"), "quoted for a shell: {flag}");
    assert_eq!(visible("a\u{1b}b"), r"a\u{1b}b");
}

#[test]
fn the_record_is_bounded() {
    let sandbox = Sandbox::new();
    let mut limits = WasiLimits::default();
    limits.max_denials = 5;
    let keys = sandbox.keys(&WasiTuning::default()).limits(limits).build();
    let mut guest = TestGuest::new(&keys);
    for index in 0..100 {
        guest.open(3, &format!("../{index}"), open_for(READ, 0)).expect_err("denied");
    }
    assert_eq!((guest.cx.host().denials().len(), guest.cx.host().gate().denials_dropped()), (5, 95));
    assert_eq!(lines(&guest).last().map(String::as_str), Some("denied: 95 more requests, not listed"));
}

/// Errors about paths that guests have chosen show them so that they write no lines of their own. Whoever puts bytes into a message goes through `visible`: all
/// sources of this crate are looked at.
#[test]
fn d14_paths_in_errors_do_not_drive_the_terminal() {
    let path = b"a\nerror: \x1b[2Jforged".to_vec();
    let shown = r"a\u{a}error: \u{1b}[2Jforged";
    let applied = ApplyError {
        path: path.clone(),
        cause: ApplyCause::Changed,
        left: Aftermath::Nothing,
        staging: None,
    };
    let unreadable = ArchiveError::Unreadable { path: path.clone(), reason: Error::Io };
    for text in [applied.to_string(), unreadable.to_string(), ArchiveError::ReservedName(path).to_string()] {
        assert!(text.starts_with(&format!("{shown}: ")), "{text:?}");
    }
    let mut todo = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut seen = 0;
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(path).expect("list").map(|entry| entry.expect("entry").path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("source");
        for line in text.lines().filter(|line| line.contains("from_utf8_lossy")) {
            let is_shown = line.contains("#[error(") || line.contains("write!(") || line.contains("format!(");
            seen += usize::from(is_shown);
            assert!(!is_shown || line.contains("visible("), "{}: {line}", path.display());
        }
    }
    assert!(seen >= 3, "{seen}");
}
