//! What other hosts call things, and what does the same here: flags, options of flags, commands.
//!
//! For answers only: nothing that stands here is understood as if it were `inn`'s.

use innkeeper::Feature;

/// Flags of other hosts, and what does the same here. Words with one dash, as some hosts write them, are looked up with two.
const FLAGS: &[(&str, &str)] = &[
    ("-v", "--version says which inn this is; --dir HOST::GUEST grants a directory"),
    ("-version", "long flags have two dashes: --version"),
    ("-W", "limits have flags of their own: --max-memory, --timeout, --fuel, --features"),
    ("-S", "what other hosts switch on for all of WASI, inn grants key by key: --dir, --env, --net"),
    ("-C", "--tier says what executes the guest, --cache where compiled code is kept"),
    ("-O", "all code is optimized; --tier says what executes the guest"),
    ("-D", "--profile FILE writes a flame graph; backtraces have names where the module has them"),
    ("-R", "--record FILE records what the host answers"),
    ("-g", "backtraces have names where the module has them"),
    ("-q", QUIET),
    ("-f", "--invoke NAME calls an exported function"),
    ("-i", "--invoke NAME calls an exported function"),
    (
        "--heap-size",
        "--max-memory SIZE bounds the guest's memory; how large its own heap is, the guest decides",
    ),
    ("--addr", LISTEN),
    ("--addr-pool", CONNECTIONS),
    ("--address", LISTEN),
    ("--bind", LISTEN),
    ("--port", LISTEN),
    ("-p", LISTEN),
    (
        "--shutdown-addr",
        "SIGTERM has requests in flight end and takes no others; --drain DURATION bounds that",
    ),
    ("--max-concurrent-requests", "--max-requests COUNT"),
    ("--max-concurrent-connections", "--max-connections COUNT"),
    ("--idle-instance-timeout", INSTANCES),
    ("--max-instance-reuse-count", INSTANCES),
    ("--max-instance-concurrent-reuse-count", INSTANCES),
    ("--no-logging-prefix", "what guests print has no prefix"),
    ("--tls-certificate", "--tls-cert FILE, with --tls-key FILE"),
    ("--allow-resolve", "--net resolve:NAME lets a component look up a name"),
    ("--env-var", "--env NAME=VALUE"),
    (
        "--env-file",
        "--env NAME=VALUE for each variable, or a policy: --policy FILE.toml, with [environment.set]",
    ),
    ("--allow-all", "what a guest may do is granted key by key: --dir, --env, --net"),
    (
        "--config",
        "what is granted stands in flags or a policy: --policy FILE.toml; several programs are served by inn serve FILE.toml",
    ),
    ("--cwd", "a guest's paths begin in what it was granted as `.`: --dir HOST::."),
    ("--wasm", "limits have flags of their own: --max-memory, --timeout, --fuel, --features"),
    ("--wasi", "what other hosts switch on for all of WASI, inn grants key by key: --dir, --env, --net"),
    ("--codegen", "--tier says what executes the guest, --cache where compiled code is kept"),
    ("--volume", "--dir HOST::GUEST grants a directory"),
    ("--map-dir", "--mapdir GUEST::HOST, or --dir HOST::GUEST"),
    ("--mount", "--dir HOST::GUEST grants a directory, --dir HOST::GUEST::ro for reading only"),
    ("--hostlogging", "--trace prints every call of the guest to the host"),
    ("--env-inherit", ALL_VARIABLES),
    ("--forward-host-env", ALL_VARIABLES),
    ("--inherit-env", ALL_VARIABLES),
    ("--tcplisten", "--listen ADDRESS:PORT"),
    ("--allow-net", CONNECTIONS),
    ("--inherit-network", CONNECTIONS),
    (
        "--preload",
        "modules are not linked with each other here; link libraries into the program: wasm-ld, or wasm-merge",
    ),
    ("--use", "packages are not there; link libraries into the program"),
    ("--entrypoint", "--invoke NAME calls an exported function"),
    ("--func", "--invoke NAME calls an exported function"),
    ("--reactor", "--invoke NAME calls a reactor's function"),
    ("--time-limit", "--timeout DURATION"),
    ("--wasm-timeout", "--timeout DURATION"),
    ("--gas-limit", "--fuel UNITS"),
    ("--memory-page-limit", "--max-memory SIZE"),
    ("--max-memory-size", "--max-memory SIZE"),
    ("--stack-size", STACK),
    ("--max-wasm-stack", STACK),
    ("--interpreter", "--tier interpreter"),
    ("--singlepass", TIERS),
    ("--cranelift", TIERS),
    ("--llvm", TIERS),
    ("--v8", TIERS),
    ("--jit", TIERS),
    ("--enable-all", "everything is on; --features -NAME switches something off"),
    ("--wasm-features", "--features NAME,-NAME"),
    ("--cachedir", "--cache DIR"),
    ("--cache-dir", "--cache DIR"),
    ("--disable-cache", "--cache off"),
    ("--cpuprofile", "--profile FILE writes a flame graph"),
    ("--memprofile", "--trace=summary counts calls; of memory, --max-memory bounds all that there is"),
    ("--quiet", QUIET),
    ("--verbose", "--trace prints every call, --explain what was denied"),
    ("--allow-read", "--dir HOST::GUEST::ro grants a directory for reading"),
    ("--allow-write", "--dir HOST::GUEST grants a directory for reading and writing"),
    ("--allow-env", "--env NAME, or --env '*' for all"),
];

const LISTEN: &str = "--listen ADDRESS:PORT, or a port alone, which is one of 127.0.0.1";
const INSTANCES: &str =
    "each request has an instance of its own; --max-requests COUNT bounds how many there are";
const QUIET: &str = "inn says nothing where nothing went wrong";
const ALL_VARIABLES: &str = "--env '*' grants all variables, --env NAME one";
const CONNECTIONS: &str = "--net connect:HOST:PORT, for components; in WASI 0.1 there are no connections to others, and --listen ADDRESS:PORT accepts them";
const STACK: &str = "the stack has a fixed limit, beyond which a guest traps";
const TIERS: &str =
    "the interpreter starts and what is hot is compiled; --tier interpreter or --tier compiled to choose";
const PROPOSALS: &str = "nothing has to be written: all of them are on; --features -NAME switches one off";
const ALWAYS_ON: &str = "nothing has to be written: it is there when the module imports it";

/// Options of wasmtime's flags that have many.
const OPTIONS: &[(char, &str, &str)] = &[
    (
        'W',
        "max-memory-size",
        "--max-memory SIZE, as in 64MiB: one number for all that the guest makes its host hold",
    ),
    ('W', "fuel", "--fuel UNITS"),
    ('W', "timeout", "--timeout DURATION"),
    ('W', "max-wasm-stack", STACK),
    ('W', "max-instances", "--max-memory bounds instances too"),
    ('W', "max-memories", "--max-memory bounds memories too"),
    ('W', "max-tables", "--max-memory bounds tables too"),
    ('W', "max-table-elements", "--max-memory bounds tables too"),
    ('W', "epoch-interruption", "--timeout DURATION, or --max-cpu DURATION"),
    ('W', "trap-on-grow-failure", "what a limit has refused is told at the end"),
    ('W', "nan-canonicalization", "--deterministic has canonical NaNs"),
    ('W', "component-model", "nothing has to be written: components are run as modules are"),
    ('S', "inherit-env", ALL_VARIABLES),
    ('S', "inherit-network", CONNECTIONS),
    ('S', "tcp", CONNECTIONS),
    ('S', "udp", "--net udp:HOST:PORT, for components; in WASI 0.1 there are no datagrams"),
    ('S', "allow-ip-name-lookup", "--net resolve:NAME lets a component look up a name"),
    ('S', "tcplisten", "--listen ADDRESS:PORT"),
    ('S', "listenfd", "--listen ADDRESS:PORT"),
    (
        'S',
        "threads",
        "nothing has to be written: threads are there when a program imports them; --max-threads COUNT bounds them",
    ),
    ('S', "cli", ALWAYS_ON),
    ('S', "common", ALWAYS_ON),
    ('S', "preview2", ALWAYS_ON),
    ('S', "p3", ALWAYS_ON),
    (
        'S',
        "http",
        "--http METHODS:SCHEME://HOST/PATH lets a component send requests; inn serve has one answer them",
    ),
    ('S', "nn", "WASI-NN is not there"),
    ('S', "keyvalue", "it is not there; grant a directory with --dir"),
    ('S', "config", "it is not there; grant variables with --env NAME=VALUE"),
    ('C', "cache", "nothing has to be written: there is a cache; --cache DIR|off says where"),
    ('C', "cache-config", "--cache DIR says where compiled code is kept"),
    ('C', "compiler", TIERS),
    ('C', "collector", "there is one collector"),
    ('C', "parallel-compilation", "nothing has to be written: hot functions are compiled in the background"),
    ('O', "opt-level", "all code is optimized; --tier says what executes the guest"),
    ('D', "debug-info", "backtraces have names where the module has them"),
    ('D', "address-map", "backtraces always have offsets"),
    ('D', "logging", "--trace prints every call of the guest to the host"),
    ('D', "coredump", "--coredump FILE writes one where the guest traps"),
];

/// Parts of WebAssembly by the names of wasmtime's options, as far as those are not ours.
const PROPOSAL_NAMES: &[&str] =
    &["all-proposals", "exceptions", "shared-memory", "bulk-memory-opt", "sign-ext", "wide-arithmetic"];

/// Commands of other hosts, of a command of ours.
const NESTED: &[(&str, &str, &str)] = &[
    ("cache", "clean", "to empty it: inn cache clear"),
    ("cache", "list", "what is in it: inn cache info"),
    ("cache", "dir", "where it is: inn cache info"),
    ("policy", "show", "what it grants: inn policy check FILE.toml"),
    ("policy", "list", "what it grants: inn policy check FILE.toml"),
    ("cow", "finish", "to make the changes: inn cow resume DIR"),
    ("cow", "apply", "to make the changes: inn cow resume DIR"),
];

/// Values of wasmtime's `--profile`, which names no file there.
const PROFILES: &[(&str, &str)] = &[
    ("perfmap", "names for perf are written with --profile=perf"),
    ("jitdump", "there is no dump of code; names for perf are written with --profile=perf"),
    ("vtune", "VTune is not told of compiled code; names for perf are written with --profile=perf"),
    (
        "guest",
        "a flame graph of the guest is written with --profile app.svg, its stacks beside it to app.folded",
    ),
];

/// Commands of other hosts.
const COMMANDS: &[(&str, &str)] = &[
    ("exec", "to run a program: inn FILE ARGS..."),
    ("start", "to run a program: inn FILE ARGS..."),
    ("test", "scripts of the specification's format are run by inn wast FILE.wast"),
    ("objdump", "to see machine code: inn explore FILE"),
    ("disas", "to see machine code: inn explore FILE"),
    ("create-exe", "to compile ahead of time: inn compile FILE"),
    ("aot", "to compile ahead of time: inn compile FILE"),
    ("config", "there is no configuration; flags and policies say everything: inn help"),
    ("settings", "there is no configuration; flags and policies say everything: inn help"),
    ("install", "there are no packages; name a .wasm file"),
    ("publish", "there are no packages"),
    ("wat2wasm", "text is run as it is: inn FILE.wat"),
    ("man", "the page of the manual: inn completion man"),
    ("completions", "inn completion SHELL"),
    ("list", "to see what a module has: inn inspect FILE; what changes are unfinished: inn cow list DIR"),
    ("info", "to see what a module has: inn inspect FILE; what the cache has: inn cache info"),
    ("show", "to see what a module has: inn inspect FILE"),
    ("check", "to check a module: inn validate FILE; a policy: inn policy check FILE.toml"),
    ("build", "inn builds nothing; docs/porting.md says how programs are built for it"),
    ("new", "inn builds nothing; docs/porting.md says how programs are built for it"),
    ("init", "inn builds nothing; docs/porting.md says how programs are built for it"),
    ("update", "inn is updated as it was installed, and fetches nothing itself"),
    ("upgrade", "inn is updated as it was installed, and fetches nothing itself"),
    ("self-update", "inn is updated as it was installed, and fetches nothing itself"),
    ("repl", "to call functions by name: inn --invoke NAME FILE ARGS..."),
];

/// What does here what a flag does elsewhere. `flag` is as it was written, with what follows it at once.
pub(crate) fn flag(flag: &str) -> Option<&'static str> {
    let name = flag.split('=').next().unwrap_or(flag);
    let find = |wanted: &str| FLAGS.iter().find(|(name, _)| *name == wanted).map(|(_, answer)| *answer);
    if name.starts_with("--") {
        let part = name.strip_prefix("--enable-").or_else(|| name.strip_prefix("--disable-"));
        return find(name).or_else(|| part.filter(|part| is_proposal(part)).map(|_| PROPOSALS));
    }
    // `-Wfuel=1` is -W, and `-mount=x` is --mount.
    let short: String = name.chars().take(2).collect();
    find(name).or_else(|| find(&format!("-{name}"))).or_else(|| find(&short))
}

/// Whether other hosts call a part of WebAssembly so that is switched by `--features` here.
fn is_proposal(name: &str) -> bool {
    PROPOSAL_NAMES.contains(&name) || Feature::ALL.iter().any(|feature| feature.name() == name)
}

/// The flag that grants what another host's flag for a directory grants: of `--volume .:/`, `--dir .::/`.
pub(crate) fn volume(flag: &str, next: Option<&str>) -> Option<String> {
    let (name, value) = flag.split_once('=').map_or((flag, next), |(name, value)| (name, Some(value)));
    let (one, other) = value?.split_once(':')?;
    let other = other.strip_prefix(':').unwrap_or(other);
    if one.is_empty() || other.is_empty() || other.contains(':') {
        return None;
    }
    match name {
        "--volume" | "-v" | "--mount" => Some(format!("--dir {one}::{other}")),
        "--map-dir" => Some(format!("--dir {other}::{one}")),
        _ => None,
    }
}

/// What does here what a command of another host's does, where the command around it is ours.
pub(crate) fn nested_command(command: &str, word: &str) -> Option<String> {
    if command == "policy" && word.ends_with(".toml") {
        return Some(format!("to check it: inn policy check {word}"));
    }
    NESTED
        .iter()
        .find(|(of, name, _)| *of == command && *name == word)
        .map(|(.., answer)| String::from(*answer))
}

/// What does here what wasmtime's options do: `flag` as in `-W` or `-Wfuel=1`, and the word after it.
pub(crate) fn option(flag: &str, next: Option<&str>) -> Option<(&'static str, &'static str)> {
    let mut characters = flag.strip_prefix('-')?.chars();
    let letter = characters.next()?;
    let rest = characters.as_str();
    let written = if rest.is_empty() { next? } else { rest };
    let name = written.split([',', '=']).next()?;
    let name = name.strip_prefix("no-").unwrap_or(name);
    let known = OPTIONS.iter().find(|(of, known, _)| *of == letter && *known == name);
    known.map(|(_, known, answer)| (*known, *answer)).or_else(|| {
        let proposals =
            Feature::ALL.iter().map(|feature| feature.name()).chain(PROPOSAL_NAMES.iter().copied());
        let named = proposals.filter(|_| letter == 'W').find(|known| *known == name);
        named.map(|name| (name, PROPOSALS))
    })
}

/// What does here what a value of `--profile` does elsewhere.
pub(crate) fn profile(value: &str) -> Option<&'static str> {
    let word = value.split(',').next().unwrap_or(value);
    PROFILES.iter().find(|(name, _)| *name == word).map(|(_, answer)| *answer)
}

/// What does here what a command does elsewhere.
pub(crate) fn command(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(name, _)| *name == word).map(|(_, answer)| *answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn nothing_of_ours_is_answered_as_somebody_elses() {
        let command = crate::args::Cli::command();
        let all = command.get_subcommands().flat_map(clap::Command::get_arguments);
        for argument in command.get_arguments().chain(all) {
            if let Some(name) = argument.get_long() {
                assert_eq!(flag(&format!("--{name}")), None, "--{name}");
            }
            if let Some(name) = argument.get_short() {
                assert_eq!(flag(&format!("-{name}")), None, "-{name}");
            }
        }
        for of_ours in command.get_subcommands() {
            assert_eq!(super::command(of_ours.get_name()), None);
        }
    }

    #[test]
    fn options_are_found_however_they_are_joined() {
        for (flag, next) in [("-W", Some("fuel=1")), ("-Wfuel=1", None), ("-W", Some("fuel=1,timeout=2s"))] {
            assert_eq!(option(flag, next), Some(("fuel", "--fuel UNITS")), "{flag}");
        }
        assert_eq!(option("-W", None), None);
        for name in ["gc=y", "all-proposals", "exceptions=n", "tail-call"] {
            assert_eq!(option("-W", Some(name)).map(|(_, answer)| answer), Some(PROPOSALS), "{name}");
        }
        assert_eq!(option("-W", Some("bogus=y")), None);
        assert_eq!((flag("--enable-threads"), flag("--enable-bogus")), (Some(PROPOSALS), None));
        assert_eq!(option("-O2", None), None);
    }

    #[test]
    fn a_directory_is_named_as_it_was_written() {
        for (flag, next, meant) in [
            ("--volume", Some(".:/"), Some("--dir .::/")),
            ("--volume=.:/", None, Some("--dir .::/")),
            ("-v", Some("a::/b"), Some("--dir a::/b")),
            ("--map-dir", Some("/x:."), Some("--dir .::/x")),
            ("--volume", Some("a"), None),
            ("--volume", Some("a:b:c"), None),
            ("--env", Some("a:b"), None),
        ] {
            assert_eq!(volume(flag, next).as_deref(), meant, "{flag} {next:?}");
        }
    }

    /// Commands that an answer names exist.
    #[test]
    fn answers_name_commands_that_there_are() {
        let command = crate::args::Cli::command();
        for (of, name, answer) in NESTED {
            let of = command.find_subcommand(of).expect(of);
            assert!(of.find_subcommand(name).is_none(), "{name}");
            let words: Vec<&str> = answer.split("inn ").nth(1).unwrap_or_default().split(' ').collect();
            assert_eq!(words[0], of.get_name());
            assert!(of.find_subcommand(words[1]).is_some(), "{answer}");
        }
    }

    /// Flags that an answer names exist.
    #[test]
    fn answers_name_flags_that_there_are() {
        let command = crate::args::Cli::command();
        let commands = ["run", "serve"].map(|name| command.find_subcommand(name).expect(name));
        let known: Vec<String> = commands
            .into_iter()
            .flat_map(clap::Command::get_arguments)
            .filter_map(|argument| argument.get_long())
            .map(|name| format!("--{name}"))
            .chain([String::from("--version")])
            .collect();
        let answers = FLAGS.iter().map(|(_, answer)| *answer);
        let answers = answers.chain(OPTIONS.iter().map(|(.., answer)| *answer));
        let answers = answers.chain(PROFILES.iter().map(|(_, answer)| *answer));
        for answer in answers.chain(COMMANDS.iter().map(|(_, answer)| *answer)) {
            for word in answer.split([' ', ',', '=', ';', ':']).filter(|word| word.starts_with("--")) {
                assert!(known.iter().any(|name| name == word), "{word} in {answer:?}");
            }
        }
    }
}
