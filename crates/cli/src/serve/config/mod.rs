//! `inn serve FILE.toml`: several programs, each with its hosts, its path and its keys.
//!
//! What stands there is what stands on the command line: each key is a flag without its hyphens, read by the same definition, so that both have the same values, defaults and limits. Above all are those of
//! the server; each `[[guest]]` has a program and its own. Relative paths are relative to the file's folder.
//!
//! What must stay true: whatever is wrong is told with file, line and key.

mod table;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Args, Command, CommandFactory as _, FromArgMatches as _};
use innkeeper_http::HostPattern;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::files::is_plain;
use super::flags::{GuestFlags, ServeArgs, ServerFlags};
use super::site::Guest;
use super::sources::{Sources, Unread, When};
use crate::absent;
use crate::args::Cli;
use crate::report::{self, Problem, visible};
use crate::usage;
use crate::writable::Writable;
use table::{Section, Text, Word};

/// The tables with guests.
const GUEST: &str = "guest";
/// What a guest has besides flags.
const GUEST_KEYS: [&str; 3] = ["file", "host", "path"];

/// What a configuration says.
pub(super) struct Config {
    text: Text,
    server: Vec<Word>,
    pub(super) guests: Vec<Guest>,
}

/// Whether FILE is a configuration, and no program.
pub(super) fn is_one(file: &OsStr) -> bool {
    Path::new(file).extension().is_some_and(|extension| extension == "toml")
}

/// Reads a configuration.
pub(super) fn read(
    path: &Path,
    sources: &Sources,
    (writable, when): (&Writable, When),
) -> Result<Config, Problem> {
    let name = visible(&path.to_string_lossy());
    let read = sources.text(path, "the configuration", (writable, when));
    let (text, _) = read.map_err(|error| match error {
        Unread::System(error) => absent::unopened(path.as_os_str(), "configuration", &error),
        Unread::Refused(reason) => Unread::refusal(path, &reason),
    })?;
    let text = Text::new(name, text);
    let table = DeTable::parse(text.text())
        .map_err(|error| Problem::of_lines(text.name(), error).help(PAGE).mistake())?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_guests = |key: &str| key == GUEST;
    let (guests, server): (Vec<_>, Vec<_>) =
        table.get_ref().iter().partition(|(key, _)| is_guests(key.get_ref()));
    let server_flags = definition::<ServerFlags>();
    let guest_flags = definition::<GuestFlags>();
    let section =
        Section { text: &text, flags: &server_flags, other: (&guest_flags, "it stands in a [[guest]]") };
    let server = section.words(server, |flag, value| ServerFlags::in_folder(flag, value, folder))?;
    let section =
        Section { text: &text, flags: &guest_flags, other: (&server_flags, "it stands above all [[guest]]") };
    let mut all = Vec::new();
    for (key, tables) in guests {
        let tables = tables
            .get_ref()
            .as_array()
            .filter(|tables| tables.iter().all(|table| table.get_ref().is_table()));
        let Some(tables) = tables else {
            return Err(text
                .problem(key.span().start, GUEST, "it is no list of tables")
                .help("write [[guest]] above each"));
        };
        for table in tables.iter() {
            all.push(guest(&section, table, folder)?);
        }
    }
    if all.is_empty() {
        let problem = Problem::new(text.name(), "it names no program to serve");
        return Err(problem.help("write [[guest]], and file = \"app.wasm\" beneath it").mistake());
    }
    drop(table);
    Ok(Config { text, server, guests: all })
}

/// Where it is said how configurations are written.
pub(super) const PAGE: &str = "docs/serving.md#several-programs says what a configuration can say";

fn definition<A: Args>() -> Command {
    A::augment_args(Command::new("inn").no_binary_name(true))
}

/// One `[[guest]]`.
fn guest(section: &Section<'_>, table: &Spanned<DeValue<'_>>, folder: &Path) -> Result<Guest, Problem> {
    let text = section.text;
    let place = table.span().start;
    let entries = table.get_ref().as_table().into_iter().flatten();
    let (own, flags): (Vec<_>, Vec<_>) = entries.partition(|(key, _)| GUEST_KEYS.contains(&&**key.get_ref()));
    let (mut file, mut path, mut hosts) = (None, String::from("/"), Vec::new());
    for (key, value) in own {
        let key_text: &str = key.get_ref();
        let wrong = |reason: &str| text.problem(value.span().start, key_text, reason);
        let texts = match value.get_ref() {
            DeValue::Array(values) if key_text == "host" => {
                values.iter().map(|value| value.get_ref().as_str()).collect()
            }
            value => vec![value.as_str()],
        };
        let texts: Option<Vec<&str>> = texts.into_iter().collect();
        let texts = texts.ok_or_else(|| wrong("it is no text"))?;
        for value in texts {
            match key_text {
                "host" => hosts.push(value.parse::<HostPattern>().map_err(|reason| wrong(&reason))?),
                "path" if value.starts_with('/') && is_plain(value) => value.clone_into(&mut path),
                "path" => {
                    return Err(wrong("it is to begin with / and have letters, digits and /-._~ alone"));
                }
                _ if value.is_empty() => return Err(wrong("it names no file")),
                _ => file = Some(folder.join(value).into_os_string()),
            }
        }
    }
    let Some(file) = file else {
        return Err(text
            .problem(place, "file", "it is missing")
            .help("write file = \"app.wasm\" beneath [[guest]]"));
    };
    let words = section.words(flags, |_, value| value.into())?;
    let line: Vec<OsString> = words.into_iter().map(|word| word.word).collect();
    let parsed = section.flags.clone().try_get_matches_from(&line);
    let flags = parsed.and_then(|matches| GuestFlags::from_arg_matches(&matches));
    let flags = flags.map_err(|error| usage::problem(&error).at(&text.at(place)).mistake())?;
    let of_hosts = hosts.iter().map(|host| OsString::from(host.to_string()));
    let written = [file.clone(), path.clone().into()].into_iter().chain(of_hosts).chain(line).collect();
    let place = Some(text.at(place));
    Ok(Guest { file, hosts, path, flags: flags.in_folder(folder), written, place })
}

impl Config {
    /// The server's flags: those of the command line, and of the configuration those that are not there.
    pub(super) fn server(&self) -> Result<ServerFlags, Problem> {
        let given = given();
        let of_guest = definition::<GuestFlags>();
        let guests =
            |name: &&String| of_guest.get_arguments().any(|flag| flag.get_long() == Some(name.as_str()));
        if let Some(flag) = given.iter().find(guests) {
            return Err(Problem::new(
                format!("--{flag}"),
                "with a configuration, each program has its keys and limits there",
            )
            .help(format!("write {flag} beneath its [[guest]]"))
            .mistake());
        }
        let own = self.server.iter().filter(|word| !given.contains(&word.flag));
        let parse = |without: Option<&Word>| {
            let own = own.clone().filter(|word| without.is_none_or(|without| word.flag != without.flag));
            let line = own.map(|word| word.word.clone()).chain(std::env::args_os().skip(2));
            definition::<ServeArgs>().try_get_matches_from(line)
        };
        let parsed = parse(None).and_then(|matches| ServeArgs::from_arg_matches(&matches));
        parsed.map(|args| args.server).map_err(|error| {
            // It is the one without which the others are in order: it wants another.
            let word = own.clone().find(|&word| parse(Some(word)).is_ok());
            let place = word.map_or(self.text.name(), |word| word.place.as_str());
            usage::problem(&error).at(place).mistake()
        })
    }

    /// Warns where the server itself is to be another than it was made.
    pub(super) fn warn_of_server(&self, server: &ServerFlags) {
        if let Ok(now) = self.server()
            && format!("{now:?}") != format!("{server:?}")
        {
            let problem = Problem::new(
                self.text.name(),
                "what stands above all guests has changed, and is read at the start only",
            );
            report::warning(&problem.help("restart the server"));
        }
    }
}

/// The flags that the command line has, without their hyphens.
fn given() -> Vec<String> {
    let whole = Cli::command();
    let Ok(matches) = whole.clone().try_get_matches_from(std::env::args_os()) else { return Vec::new() };
    let (Some(("serve", matches)), Some(serve)) = (matches.subcommand(), whole.find_subcommand("serve"))
    else {
        return Vec::new();
    };
    let is_given =
        |flag: &&clap::Arg| matches.value_source(flag.get_id().as_str()) == Some(ValueSource::CommandLine);
    serve.get_arguments().filter(is_given).filter_map(|flag| flag.get_long().map(String::from)).collect()
}
