//! Help: what fits on a screen, what has everything, and where it goes.

use crate::inn;

/// Lines of a terminal that nobody has made larger.
const SCREEN: usize = 25;

#[test]
fn the_short_help_fits_on_a_screen_and_shows_three_examples() {
    for line in [&["-h"][..], &["run", "-h"], &["--dir", ".", "-h"]] {
        let ran = inn(line).run();
        let text = &ran.code(0).stderr("").stdout;
        assert!(text.lines().count() <= SCREEN, "{line:?}: {text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("  inn ")).count(), 3, "{text}");
        assert!(text.lines().all(|line| line.len() <= 100), "{text}");
    }
}

#[test]
fn the_whole_help_is_in_groups() {
    for line in [&["--help"][..], &["help", "run"], &["run", "--help"]] {
        inn(line).run().code(0).prints(&[
            "Keys:",
            "Limits:",
            "Guest:",
            "Execution:",
            "Reports:",
            "--fuel",
            "--features",
        ]);
    }
    inn(&["help"]).run().code(0).prints(&["Commands:", "inspect", "Keys:"]);
    inn(&["help", "inspect"]).run().code(0).prints(&["Usage: inn inspect"]);
    inn(&["inspect", "-h"]).run().code(0).prints(&["Usage: inn inspect"]);
}

#[test]
fn versions_are_told_in_three_ways() {
    let version = format!("inn {}\n", env!("CARGO_PKG_VERSION"));
    for word in ["version", "--version", "-V"] {
        inn(&[word]).run().code(0).stdout(&version).stderr("");
    }
}

#[test]
fn the_man_page_has_every_flag() {
    let ran = inn(&["completion", "man"]).run();
    ran.code(0).prints(&[
        ".TH inn 1",
        ".SH SYNOPSIS",
        "\\-\\-max\\-memory",
        "\\-\\-cow\\-changes",
        "\\-\\-fuel",
    ]);
}

#[test]
fn spellings_of_other_hosts_are_understood_where_they_mean_the_same() {
    let folder = crate::scratch();
    let run = |flags: &[&str]| inn(&[flags, &["{exit-code}"]].concat()).current_dir(&folder).run();
    run(&["-d", ".::/d", "-e", "A=1", "--listen", "0"]).code(42).stderr("");
    run(&["--timeout", "1h30m", "--max-memory", "1.5GiB"]).code(42).stderr("");
}
