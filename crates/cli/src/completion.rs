//! `inn completion`: a script that teaches a shell the command line, or the man page.

use std::process::ExitCode;

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};

use crate::args::Cli;
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

pub(crate) fn completion(args: &CompletionArgs) -> Result<ExitCode, Problem> {
    let mut command = Cli::command();
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
            report::output(&String::from_utf8_lossy(&text))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    generate(shell, &mut command, "inn", &mut text);
    report::output(&String::from_utf8_lossy(&text))?;
    Ok(ExitCode::SUCCESS)
}
