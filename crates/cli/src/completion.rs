//! `inn completion`: a script that teaches a shell the command line, or the man page.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use crate::report::{self, Problem};

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell, or man for a man page in troff's format
    #[arg(value_name = "SHELL|man")]
    pub(crate) form: CompletionForm,
}

/// What `inn completion` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum CompletionForm {
    Bash,
    Elvish,
    Fish,
    PowerShell,
    Zsh,
    Man,
}

/// Prints what is asked for of the whole command line, which is `command`.
pub(crate) fn completion(args: &CompletionArgs, mut command: clap::Command) -> Result<ExitCode, Problem> {
    let mut text = Vec::new();
    let shell = match args.form {
        CompletionForm::Bash => Shell::Bash,
        CompletionForm::Elvish => Shell::Elvish,
        CompletionForm::Fish => Shell::Fish,
        CompletionForm::PowerShell => Shell::PowerShell,
        CompletionForm::Zsh => Shell::Zsh,
        CompletionForm::Man => {
            let rendered = clap_mangen::Man::new(command).render(&mut text);
            rendered.map_err(|error| Problem::new("the man page", error))?;
            report::output(&String::from_utf8_lossy(&text).replace(MAN_FILE.0, MAN_FILE.1))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    generate(shell, &mut command, "inn", &mut text);
    let text = String::from_utf8_lossy(&text);
    report::output(&if shell == Shell::Bash { with_files(&text) } else { text.into_owned() })?;
    Ok(ExitCode::SUCCESS)
}

/// How the page that is made from the flags calls FILE with what follows it, and how the help does.
const MAN_FILE: (&str, &str) = ("<\\fIFILE ARGS\\fR>", "<\\fIFILE\\fR> [\\fIARGS\\fR]...");

/// Bash's script, with files beside commands where both can stand: before any command, as in `inn ca`, which can go on as `cache` and as `cat.wasm`.
fn with_files(script: &str) -> String {
    const BLOCK: &str = "\n        inn)\n";
    const WORDS: &str = "COMPREPLY=( $(compgen -W \"${opts}\" -- \"${cur}\") )\n";
    const FILES: &str = r#"if [[ ${cur} != -* ]]; then
                local IFS=$'\n'
                COMPREPLY+=( $(compgen -f -- "${cur}") )
                compopt -o filenames 2>/dev/null
            fi
"#;
    let Some(start) = script.find(BLOCK) else { return script.to_owned() };
    let end = script[start..].find("\n            ;;").map_or(script.len(), |end| start + end);
    let block = script[start..end].replace(WORDS, &format!("{WORDS}            {FILES}"));
    format!("{}{block}{}", &script[..start], &script[end..])
}
