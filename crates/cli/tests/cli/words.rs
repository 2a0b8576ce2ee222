//! Words of the command line that are not understood: each answer names what was written and what may have been meant, whichever of its kind it is.
//!
//! Which flags and commands there are is asked of the command itself, so that a new one cannot be forgotten.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use crate::{inn, scratch};

/// The long flags with a value that a help text lists, and the commands.
fn listed(help: &str) -> (Vec<String>, Vec<String>) {
    let (mut flags, mut commands, mut is_command) = (Vec::new(), Vec::new(), false);
    for line in help.lines() {
        is_command = if line.starts_with(' ') || line.is_empty() { is_command } else { line == "Commands:" };
        let indent = line.len() - line.trim_start().len();
        let words = line.trim_start();
        if is_command && indent == 2 {
            commands.push(words.split(' ').next().unwrap().to_owned());
        }
        if let (2..=6, Some((_, flag))) = (indent, words.split_once("--").filter(|_| words.starts_with('-')))
        {
            let end = flag.find([' ', '=', '[']).unwrap_or(flag.len());
            if flag[end..].contains('<') {
                flags.push(flag[..end].to_owned());
            }
        }
    }
    commands.retain(|command| command != "help");
    (flags, commands)
}

/// Every command line that help is there for, with its flags that take a value.
fn command_lines() -> Vec<(Vec<String>, Vec<String>)> {
    let (mut todo, mut lines) = (vec![Vec::new()], Vec::new());
    while let Some(path) = todo.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let help = inn(&[&["help"][..], &words].concat()).run().code(0).stdout.clone();
        let (flags, commands) = listed(&help);
        todo.extend(commands.into_iter().map(|name| [&path[..], &[name]].concat()));
        lines.push((path, flags));
    }
    lines
}

#[test]
fn a_value_that_is_not_utf8_is_blamed_on_its_flag() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\")))").unwrap();
    let mut seen = 0;
    for (path, flags) in command_lines() {
        for flag in flags {
            for joined in [false, true] {
                let value = [&b"D=\xff"[..], &[&b"--"[..], flag.as_bytes(), b"=D\xff"].concat()];
                let mut run = inn(&path.iter().map(String::as_str).collect::<Vec<_>>()).current_dir(&dir);
                if !joined {
                    run.command.arg(format!("--{flag}"));
                }
                run.command.arg(OsStr::from_bytes(value[usize::from(joined)]));
                let ran = run.run();
                assert!(!ran.stderr.contains("one or more arguments"), "{path:?} --{flag}: {ran:#?}");
                if ran.stderr.contains("is not UTF-8") && !ran.stderr.contains("argv[0]") {
                    assert!(
                        ran.stderr.starts_with(&format!("error: --{flag}: ")),
                        "{path:?} --{flag}: {ran:#?}"
                    );
                    ran.code(2).says(&["\nhelp: "]);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_flag_or_a_commands_command_that_stands_alone_is_recognized() {
    let dir = scratch();
    let all = command_lines();
    let commands: Vec<String> = all.iter().filter_map(|(path, _)| path.first().cloned()).collect();
    for (path, flags) in &all {
        let alone: Vec<&String> = match &path[..] {
            [] => flags.iter().collect(),
            [_, nested] => vec![nested],
            _ => continue,
        };
        for word in alone.into_iter().filter(|word| !commands.contains(word)) {
            let ran = inn(&[word, "FILE"]).current_dir(&dir).run();
            ran.code(2).says(&["\nhelp: ", "inn "]);
            assert!(!ran.stderr.contains("check the path"), "{word}: {ran:#?}");
        }
    }
}

/// What names a file or directory that is not there is answered alike by all commands.
#[test]
fn what_is_not_there_is_named_with_what_it_was_to_be() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\")))").unwrap();
    for (args, reason, help) in [
        (&["gone"][..], "no such file", "check the path"),
        (&["inspect", "gone"], "no such file", "check the path"),
        (&["compile", "gone"], "no such file", "check the path"),
        (&["explore", "gone"], "no such file", "check the path"),
        (&["validate", "gone"], "no such file", "check the path"),
        (&["cache", "fill", "gone"], "no such file", "check the path"),
        (&["replay", "gone"], "no such file", "check the path of the record"),
        (&["wast", "gone"], "no such file", "check the path of the script"),
        (&["policy", "check", "gone"], "no such file", "check the path of the policy"),
        (&["--policy", "gone", "m.wat"], "no such file", "check the path of the policy"),
        (&["explore", "--profile", "gone", "m.wat"], "no such file", "check the path of the profile"),
        (&["cow", "list", "gone"], "no such directory", "check the path of the directory"),
        (&["cow", "resume", "gone"], "no such directory", "check the path of the directory"),
        (&["cow", "undo", "gone"], "no such directory", "check the path of the directory"),
        (&["cow", "list", "m.wat"], "it is not a directory", "name the directory"),
    ] {
        let ran = inn(args).current_dir(&dir).run();
        assert!([Some(1), Some(2)].contains(&ran.code), "{args:?}: {ran:#?}");
        ran.says(&[&format!(": {reason}\n"), &format!("help: {help}")]);
        assert!(!ran.stderr.contains("os error"), "{args:?}: {ran:#?}");
    }
    inn(&["cow", "list", "."]).current_dir(&dir).run().code(0).stdout("").says(&["no unfinished changes"]);
}

/// What Bash offers for words before any command: commands and files together.
#[test]
fn bash_completes_commands_and_files() {
    let dir = scratch();
    let script = inn(&["completion", "bash"]).run().code(0).stdout.clone();
    fs::write(dir.path().join("inn.bash"), script).unwrap();
    fs::write(dir.path().join("cat.wasm"), "").unwrap();
    fs::write(dir.path().join("cat two.wasm"), "").unwrap();
    let offered = |words: &str| {
        let ask = format!(
            "source ./inn.bash; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _inn inn \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = Command::new("bash").args(["-c", &ask]).current_dir(&dir).output().expect("bash");
        let mut lines: Vec<String> =
            String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        lines
    };
    assert_eq!(offered("inn ca"), ["cache", "cat two.wasm", "cat.wasm"]);
    assert_eq!(offered("inn --explain ca"), ["cache", "cat two.wasm", "cat.wasm"]);
    assert_eq!(offered("inn --max-c"), ["--max-cow", "--max-cpu"]);
    assert_eq!(offered("inn cache in"), ["info"]);
}

#[test]
fn the_man_page_calls_the_program_as_the_help_does() {
    let page = inn(&["completion", "man"]).run().code(0).stdout.clone();
    assert!(page.contains("\n<\\fIFILE\\fR> [\\fIARGS\\fR]...\n"), "{page}");
    inn(&["help"]).run().code(0).prints(&["<FILE> [ARGS]..."]);
}
