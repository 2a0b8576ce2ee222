//! What `inn run` takes: flags that grant keys, bound them, execute and observe a guest; shared by the commands that run one.
//!
//! What a value means is in [`crate::keys`] and [`crate::values`].

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum, ValueHint};
use innkeeper::Tiers;
use innkeeper::wasi::keys::{HttpKey, NetKey, parse_address, parse_duration, parse_size};

use crate::values::{
    CacheFlag, ChangesFlag, ClockFlag, DirFlag, EnvFlag, FeaturesFlag, InputFlag, OutputFlag, ProfileFlag,
    RandomFlag, TmpFlag, TraceFlag, parse_count,
};

/// What `inn run` takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The program, .wasm or .wat, or - for standard input; what follows is the guest's
    #[arg(value_names = ["FILE", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true, value_hint = ValueHint::AnyPath)]
    program: Vec<OsString>,

    #[command(flatten)]
    pub(crate) keys: KeyFlags,

    /// What the guest sees as its own name, instead of FILE's
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    pub(crate) argv0: Option<String>,

    /// Call this exported function instead of `_start`, with ARGS as its arguments, and print its results
    ///
    /// Integers are decimal or 0x-hexadecimal, floats decimal, `inf` or `nan`. Where the module is a reactor, its `_initialize`
    /// is called first.
    ///
    /// Of a component it is a call, 'add(1, 2)', or a name. Values are written in WAVE: 1, "text", 'c', [1, 2], {field: 1}, (1, 2), some(1), none, ok(1), err(2), a-label.
    /// The name is the function's or `ns:package/interface@1.0.0.function`. Given several times, all calls are made in one instance; a resource that one gives is called what
    /// it prints, or as in 'c = counter.new(1)', and those after it can say 'c.get()', or name it as an argument.
    #[arg(long, value_name = "NAME|CALL", help_heading = "Guest")]
    pub(crate) invoke: Vec<String>,

    /// Give what this component exports to FILE, a component that imports it; may be given several times
    ///
    /// It gets the same keys as FILE. Versions that are compatible serve, and what one plug exports is also given to those after it. What a plug provides takes the place of what inn has under the same name.
    #[arg(long, value_name = "FILE", help_heading = "Guest", value_hint = ValueHint::FilePath)]
    pub(crate) plug: Vec<OsString>,

    /// Parts of WebAssembly that the module may use: -NAME switches one off, NAME one on, mvp all off; separated by commas
    ///
    /// Everything is on at first. The names are those of the proposals: mutable-global, saturating-float-to-int, sign-extension, multi-value, bulk-memory,
    /// reference-types, simd, relaxed-simd, extended-const, tail-call, exception-handling, legacy-exceptions, function-references, multi-memory, memory64,
    /// gc, threads, custom-page-sizes, wide-arithmetic.
    #[arg(long, value_name = "[-]NAME,...", help_heading = "Execution", value_parser = FeaturesFlag::parse, allow_hyphen_values = true)]
    pub(crate) features: Option<FeaturesFlag>,

    /// What executes the guest
    #[arg(long, value_name = "TIER", help_heading = "Execution", value_enum, default_value_t = Tier::Auto)]
    pub(crate) tier: Tier,

    /// Where compiled code is kept from run to run: a directory, or off
    ///
    /// Usually that is `innkeeper` among the user's cached files. It cannot be in a directory that the guest is granted; that the usual one is not
    /// used for that reason is said once. With `--tier interpreter` there is none.
    #[arg(long, value_name = "DIR|off", help_heading = "Execution", value_parser = OsStringValueParser::new().try_map(CacheFlag::parse), value_hint = ValueHint::DirPath)]
    pub(crate) cache: Option<CacheFlag>,

    /// Whether functions that were called and are still interpreted at the end are compiled for the next run
    ///
    /// With `auto`, a run in which that took its time leaves a process behind: of the lowest priority, out of sight of terminal and guest, one at a time in a
    /// cache. It takes at most twice the processor time of the run, or a minute after runs of a quarter of a second or more, and what is left is for the process
    /// after the next run. Nothing waits for it. `inn cache fill --called` does the same at once. There is none with
    /// `--cache off`, --record or --deterministic.
    #[arg(long, value_name = "WHEN", help_heading = "Execution", value_enum, default_value_t = CompileAfter::Auto)]
    pub(crate) compile_after: CompileAfter,

    /// Let FILE be one that `inn compile` made, whose machine code is executed as it is: for files that you trust like inn itself
    #[arg(long, help_heading = "Execution")]
    pub(crate) allow_precompiled: bool,

    #[command(flatten)]
    pub(crate) reports: ReportFlags,
}

impl RunArgs {
    /// The path of the module, or `-`.
    pub(crate) fn file(&self) -> &OsStr {
        self.program.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// The guest's own arguments.
    pub(crate) fn guest_args(&self) -> &[OsString] {
        self.program.get(1..).unwrap_or_default()
    }
}

/// Whether a run leaves a process behind that compiles for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompileAfter {
    /// If much was interpreted
    Auto,
    /// Never
    Off,
}

/// What executes a guest.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Tier {
    /// Start in the interpreter and compile what gets hot, in the background
    Auto,
    /// The interpreter alone
    Interpreter,
    /// Compile every function first
    Compiled,
}

impl From<Tier> for Tiers {
    fn from(tier: Tier) -> Tiers {
        match tier {
            Tier::Auto => Tiers::Auto,
            Tier::Interpreter => Tiers::Interpreter,
            Tier::Compiled => Tiers::Compiled,
        }
    }
}

/// What a guest is granted.
#[derive(Debug, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct KeyFlags {
    #[command(flatten)]
    pub(crate) grants: GrantFlags,

    /// Let the guest accept connections on an address; repeatable
    ///
    /// A port alone is one of this machine's own, 127.0.0.1. With directories, the socket is the descriptor after them; `--explain` says which.
    #[arg(long = "listen", value_name = "[ADDRESS:]PORT", value_parser = parse_address)]
    pub(crate) listeners: Vec<SocketAddr>,

    /// Standard input: inherit, empty, closed, or file:PATH
    #[arg(long, value_name = "FROM", value_parser = OsStringValueParser::new().try_map(InputFlag::parse), value_hint = ValueHint::FilePath)]
    pub(crate) stdin: Option<InputFlag>,

    /// Standard output: inherit, discard, closed, file:PATH or append:PATH
    #[arg(long, value_name = "TO", value_parser = OsStringValueParser::new().try_map(OutputFlag::parse), value_hint = ValueHint::FilePath)]
    pub(crate) stdout: Option<OutputFlag>,

    /// Standard error: as for --stdout
    #[arg(long, value_name = "TO", value_parser = OsStringValueParser::new().try_map(OutputFlag::parse), value_hint = ValueHint::FilePath)]
    pub(crate) stderr: Option<OutputFlag>,

    #[command(flatten)]
    pub(crate) limits: LimitFlags,
}

/// What a guest is granted whoever runs it, and however often.
#[derive(Debug, Args)]
#[command(next_help_heading = "Keys")]
pub(crate) struct GrantFlags {
    /// Grant a directory of the host, which the guest finds as GUEST; repeatable
    ///
    /// Without GUEST the guest finds it under the path as written here. `ro` grants reading only; with `cow` the guest sees its own
    /// changes, and the directory stays as it is; the default is `rw`. Files of the kernel's beneath it, such as those in /proc and /sys, are not part of it
    /// without `unsafe`: a guest could get out through them. What is in the way of a sandbox, such as the root, a home directory or one with keys to other
    /// machines, is warned of.
    #[arg(long = "dir", short = 'd', value_name = "HOST[::GUEST][::ro|rw|cow][::unsafe]", value_parser = OsStringValueParser::new().try_map(DirFlag::parse_dir), value_hint = ValueHint::DirPath)]
    pub(crate) dirs: Vec<DirFlag>,

    /// Grant a directory, names the other way round; repeatable
    #[arg(long = "mapdir", value_name = "GUEST::HOST", value_parser = OsStringValueParser::new().try_map(DirFlag::parse_mapdir), value_hint = ValueHint::DirPath)]
    pub(crate) mapdirs: Vec<DirFlag>,

    /// Grant an empty directory in memory, gone with the guest, of at most SIZE (64MiB); repeatable
    #[arg(long = "tmp", value_name = "GUEST[::SIZE]", value_parser = TmpFlag::parse)]
    pub(crate) tmps: Vec<TmpFlag>,

    /// Give the guest an environment variable; without a value, inn's own; a name with * is a pattern; repeatable
    #[arg(long = "env", short = 'e', value_name = "NAME[=VALUE]", value_parser = EnvFlag::parse)]
    pub(crate) variables: Vec<EnvFlag>,

    /// Grant the use of the network, to guests that can name addresses (components); repeatable
    ///
    /// `connect:HOST:PORT` lets the guest make TCP connections, `listen:ADDRESS:PORT` accept them, `udp:HOST:PORT` exchange datagrams with a host, `udp-bind:ADDRESS:PORT` receive
    /// them from anybody, `resolve:NAME` look up a name. HOST is a name, an address, a range such as 10.0.0.0/8 or [fd00::/8], or *; in each part of a name, * stands for any text.
    /// PORT is a number, a range, a list such as 80,8000-8999, or *; to listen on port 0 is to have the system choose one. A name means the addresses that it has when the guest first
    /// looks it up, but for those of this machine.
    #[arg(long = "net", value_name = "WHAT:HOST[:PORT]", value_parser = NetKey::from_str)]
    pub(crate) network: Vec<NetKey>,

    /// Grant requests of HTTP, to guests that send some (components); repeatable
    ///
    /// METHODS are a list such as GET,POST, or * or nothing for all; SCHEME is http or https. HOST and PORT are as with --net, the port is the scheme's if there is none. PATH is one path, or ends
    /// with /* for all that begin so; without it, every path is granted. Queries are free. A name leads to no address of this machine, its links or a private network, unless it is localhost:
    /// such an address has to be granted as one, here or with --net connect:ADDRESS:PORT.
    #[arg(long = "http", value_name = "[METHODS:]SCHEME://HOST[:PORT][/PATH]", value_parser = HttpKey::from_str)]
    pub(crate) http: Vec<HttpKey>,

    /// Clocks: real, fixed[:SECONDS] or stepped[:SECONDS], which begin at SECONDS from 1970
    #[arg(long = "clocks", value_name = "KIND", value_parser = ClockFlag::parse)]
    pub(crate) clocks: Option<ClockFlag>,

    /// Randomness: real, or seed:NUMBER
    #[arg(long, value_name = "SOURCE", value_parser = RandomFlag::parse)]
    pub(crate) random: Option<RandomFlag>,

    /// Answer the same in every run: stepped clocks, seeded randomness, directories in order, canonical NaNs
    #[arg(long, value_name = "SEED", num_args = 0..=1, require_equals = true, default_missing_value = "0", value_parser = parse_count::<u64>)]
    pub(crate) deterministic: Option<u64>,

    /// Grant what a policy file says; other flags add to it
    #[arg(long, value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,
}

/// What a guest may use up.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitFlags {
    /// End after this time from the start of the command, whatever the guest or inn does then, as in 10s or 500ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Stop the guest when it has used this much processor time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) max_cpu: Option<Duration>,

    /// Stop the guest when it has used this much fuel: about one unit an instruction, the same in every run
    #[arg(long, value_name = "UNITS", value_parser = parse_count::<u64>)]
    pub(crate) fuel: Option<u64>,

    /// What the guest may make inn hold in all, as in 64MiB (half of the machine's memory)
    ///
    /// That is its memories, tables, objects, instances, stacks, threads, descriptors, and directories in memory, as they cost. The first MiB beside
    /// linear memory does not count. By default it is half of what the machine has, or a control group leaves.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_memory: Option<u64>,

    /// Bytes that the guest may write to files, streams and sockets in all, or make files longer by
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_written: Option<u64>,

    /// Files, directories and sockets open at once
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>)]
    pub(crate) max_handles: Option<u32>,

    /// Threads that the guest may have besides its first
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>)]
    pub(crate) max_threads: Option<u32>,

    /// Memory for the changes in each cow directory (1GiB)
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_cow: Option<u64>,
}

/// What is told about a guest.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct ReportFlags {
    /// Say what the guest was denied and which flag would grant it, also where it succeeded
    #[arg(long)]
    pub(crate) explain: bool,

    /// Print every call of the guest to the host: text, json, or summary (a table at the end); repeatable
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "text", value_parser = TraceFlag::parse)]
    pub(crate) trace: Vec<TraceFlag>,

    /// Where the trace goes, instead of standard error
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace_file: Option<OsString>,

    /// Record what the host answers, for `inn replay`
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<OsString>,

    /// Write a core dump to FILE where the guest traps or throws: frames, memories and globals, as debuggers for WebAssembly read them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) coredump: Option<OsString>,

    /// Write a flame graph of where the guest spends its time to FILE (SVG), and the stacks it is made from beside it (.folded); or tell perf
    ///
    /// With `perf`, the names of compiled functions go to /tmp/perf-PID.map, where `perf report` finds them for a run under `perf record -g`. A file
    /// that is to have that name is written ./perf.
    #[arg(long, value_name = "FILE.svg|perf", value_parser = OsStringValueParser::new().try_map(ProfileFlag::parse), value_hint = ValueHint::FilePath)]
    pub(crate) profile: Option<ProfileFlag>,

    /// What becomes of changes in cow directories: list, tar=FILE, or apply; repeatable
    #[arg(long, value_name = "WHAT", value_parser = OsStringValueParser::new().try_map(ChangesFlag::parse), value_hint = ValueHint::FilePath)]
    pub(crate) cow_changes: Vec<ChangesFlag>,
}
