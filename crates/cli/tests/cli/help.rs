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

/// Each command is asked, as the help of the whole lists them.
#[test]
fn the_short_help_of_every_command_fits_on_a_screen() {
    let mut todo = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = todo.pop() {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let text = inn(&[&words[..], &["-h"]].concat()).run().code(0).stdout.clone();
        assert!(text.lines().count() <= SCREEN, "{words:?}: {text}");
        seen += 1;
        let whole = inn(&[&["help"][..], &words].concat()).run().code(0).stdout.clone();
        let Some((_, commands)) = whole.split_once("\nCommands:\n") else { continue };
        let names =
            commands.lines().take_while(|line| !line.is_empty()).filter(|line| line.starts_with("  "));
        for name in
            names.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next())
        {
            if name != "help" {
                todo.push(command.iter().cloned().chain([name.to_owned()]).collect());
            }
        }
    }
    assert!(seen > 15, "{seen}");
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

/// The commands that a help text lists, in its order.
fn commands_in(help: &str) -> Vec<&str> {
    let listed =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // Names are indented by two spaces; what continues a description, by more.
    let names = listed.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).collect()
}

/// The page of the manual that has the help of each command: walked from the help itself, so that a new command cannot be forgotten.
fn command_reference() -> String {
    let help = |path: &[&str]| inn(&[path, &["--help"]].concat()).run().code(0).stdout.clone();
    let mut page = "# Commands\n\nWhat `inn --help` and `inn COMMAND --help` print; made and checked by a test, \
                    so that it is what this version says: `INN_BLESS=1 cargo test -p innkeeper-cli --test cli command_reference`.\n"
        .to_owned();
    let mut add = |path: &[&str], text: &str| {
        let heading = if path.is_empty() { "inn run".to_owned() } else { format!("inn {}", path.join(" ")) };
        page += &format!("\n## {heading}\n\n```text\n{}\n```\n", text.trim_end());
    };
    let all = help(&[]);
    add(&[], &all);
    let names = commands_in(&all);
    assert!(names.len() > 10, "{names:?}");
    for name in names.into_iter().filter(|name| !["run", "help"].contains(name)) {
        let text = help(&[name]);
        add(&[name], &text);
        for inner in commands_in(&text).into_iter().filter(|inner| *inner != "help") {
            add(&[name, inner], &help(&[name, inner]));
        }
    }
    page
}

#[test]
fn the_command_reference_is_what_the_command_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/commands.md");
    let page = command_reference();
    if std::env::var_os("INN_BLESS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differs = page.lines().zip(kept.lines()).find(|(said, kept)| said != kept);
    assert!(page == kept, "docs/commands.md is not what the command says, first at {differs:?}");
}
