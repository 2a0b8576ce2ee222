//! What each function of WASI does that could take long or wait, and that it ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use innkeeper::wasi::host::{Grant, Handles, Host};
use innkeeper::wasi::keys::{Access, DirKey, FileMode, Keys, ListenKey, StdinKey, StdoutKey};
use innkeeper::wasi::p1::{self, Context, Version};
use innkeeper::wasi::stop::{StopReason, Stopper};
use innkeeper::{Config, Linker, Module, Store, Tiers};

use super::measure::ends_at_the_deadline;

/// Why a function ends soon, or where it is shown that it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It does a fixed amount of work on what the host itself keeps.
    Fixed,
    /// A call or some calls of the system that do not wait for anybody, on names and handles; a path has at most 4095 bytes. What a directory or links make longer
    /// can be interrupted, which `large_directories` and `crates/wasi/tests/interrupted.rs` show.
    Handles,
    /// It waits for the disk, for as long as the system likes, and nobody can interrupt that. The command ends with the process a second later.
    Disk,
    /// It may wait, or its operands say how long it takes: tried by [`CALLS`].
    Long,
}

const KINDS: &[(Kind, &str)] = &[
    (
        Kind::Fixed,
        "args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights
        fd_prestat_get fd_prestat_dir_name fd_renumber fd_tell fd_seek proc_exit proc_raise sched_yield",
    ),
    (
        Kind::Handles,
        "fd_close fd_filestat_get fd_filestat_set_times path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink
        path_remove_directory path_rename path_symlink path_unlink_file sock_shutdown fd_advise",
    ),
    (Kind::Disk, "fd_sync fd_datasync"),
    (
        Kind::Long,
        "fd_allocate fd_filestat_set_size fd_pread fd_pwrite fd_read fd_readdir fd_write random_get poll_oneoff sock_accept sock_recv sock_send",
    ),
];

/// A function, its type, and a call that takes as long as it can. Descriptor 3 is a directory, 4 a listener, [`MODULE`]'s `$file` an open file.
struct Call {
    name: &'static str,
    params: &'static str,
    /// What is done once, before the time begins.
    before: &'static str,
    /// What is done over and over, without a loop, and how often.
    again: &'static str,
    times: usize,
}

const fn call(
    name: &'static str,
    params: &'static str,
    before: &'static str,
    again: &'static str,
    times: usize,
) -> Call {
    Call { name, params, before, again, times }
}

const IO: &str = "i32 i32 i32 i32";
const IO_AT: &str = "i32 i32 i32 i64 i32";

/// At 16 is a vector of one buffer: half of the memory, which has 4 GiB.
const CALLS: &[Call] = &[
    call("random_get", "i32 i32", "", "(i32.const 0) (i32.const 0xfff00000)", 2),
    call("random_get", "i32 i32", "", "(i32.const 0) (i32.const 1048576)", 300),
    call(
        "poll_oneoff",
        IO,
        "(i32.store (i32.const 48) (i32.const 1)) (i64.store (i32.const 56) (i64.const -1))",
        "(i32.const 32) (i32.const 100) (i32.const 1) (i32.const 8)",
        1,
    ),
    call("fd_read", IO, "", "(i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)", 1),
    call("fd_read", IO, "(call $open)", "(global.get $file) (i32.const 16) (i32.const 1) (i32.const 8)", 100),
    call("fd_write", IO, "", "(i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)", 2),
    call("fd_write", IO, "(call $open)", "(global.get $file) (i32.const 16) (i32.const 1) (i32.const 8)", 2),
    call(
        "fd_pread",
        IO_AT,
        "(call $open)",
        "(global.get $file) (i32.const 16) (i32.const 1) (i64.const 0) (i32.const 8)",
        100,
    ),
    call(
        "fd_pwrite",
        IO_AT,
        "(call $open)",
        "(global.get $file) (i32.const 16) (i32.const 1) (i64.const 0) (i32.const 8)",
        100,
    ),
    call(
        "fd_readdir",
        "i32 i32 i32 i64 i32",
        "",
        "(i32.const 3) (i32.const 4096) (i32.const 0x7fffffff) (i64.const 0) (i32.const 8)",
        1000,
    ),
    call(
        "fd_allocate",
        "i32 i64 i64",
        "(call $open)",
        "(global.get $file) (i64.const 0) (i64.const 1073741824)",
        20_000,
    ),
    call(
        "fd_filestat_set_size",
        "i32 i64",
        "(call $open)",
        "(global.get $file) (i64.const 0) (drop (call $call (global.get $file) (i64.const 1073741824)))",
        20_000,
    ),
    call("sock_accept", "i32 i32 i32", "", "(i32.const 4) (i32.const 0) (i32.const 8)", 1),
    call(
        "sock_recv",
        "i32 i32 i32 i32 i32 i32",
        "(call $accept)",
        "(i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 2) (i32.const 12) (i32.const 12)",
        1,
    ),
    call(
        "sock_send",
        "i32 i32 i32 i32 i32",
        "(call $accept)",
        "(i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 12)",
        1000,
    ),
];

const MODULE: &str = r#"
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
    (import "host" "begin" (func $begin))
    (memory (export "memory") 65535)
    (global $file (mut i32) (i32.const -1))
    (data (i32.const 0) "f")
    (data (i32.const 16) "\00\10\00\00\00\00\f0\7f")
    (func $open
        (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 1) (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 8))
            (then (unreachable)))
        (global.set $file (i32.load (i32.const 8))))
    (func $accept (if (call $sock_accept (i32.const 4) (i32.const 0) (i32.const 8)) (then (unreachable))))"#;

impl Call {
    fn text(&self, version: Version) -> String {
        let Call { name, params, before, again, times } = self;
        let again = format!("(drop (call $call {again}))").repeat(*times);
        let again = match *times > 1000 {
            true => format!("(loop $again (drop (call $call {})) (br $again))", self.again),
            false => again,
        };
        let module = version.module_name();
        format!(
            r#"(module (import "{module}" "{name}" (func $call (param {params}) (result i32))) {MODULE}
                (func (export "run") {before} (call $begin) {again}))"#
        )
    }
}

/// A pipe with a name, both of whose ends are open.
fn pipe(path: &Path) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    File::options().read(true).write(true).open(path).unwrap()
}

/// Who ends the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    /// A stopper, which all of the guest's stores and its host have been given to.
    Stopper,
    /// Its store, which knows nothing of WASI.
    Store,
}

/// Tries a call; standard input is an empty pipe, standard output one that nobody reads.
fn try_call(call: &Call, version: Version, (tiers, ended_by): (Tiers, EndedBy)) {
    let dir = tempfile::tempdir().unwrap();
    let (stdin, stdout) = (dir.path().join("stdin"), dir.path().join("stdout"));
    let _ends = (pipe(&stdin), pipe(&stdout));
    let granted = dir.path().join("d");
    std::fs::create_dir(&granted).unwrap();
    File::create(granted.join("f")).unwrap().set_len(1 << 30).unwrap();
    for i in 0..1000 {
        File::create(granted.join(format!("{i}"))).unwrap();
    }
    let engine = innkeeper::engine_with(Config::default(), tiers);
    let binary = innkeeper::to_binary(call.text(version).as_bytes()).unwrap().into_owned();
    let module = Module::new(&engine, binary).unwrap();
    let what = format!("{tiers:?}, {ended_by:?}: {} {} {}", version.module_name(), call.name, call.again);
    let keys = Keys::builder()
        .stdin(StdinKey::File(stdin))
        .stdout(StdoutKey::File { path: stdout, mode: FileMode::Append })
        .directory(DirKey::new(&granted, "/", Access::ReadWrite))
        .listener(ListenKey::new("127.0.0.1:0".parse().unwrap()))
        .build();
    ends_with(&what, &module, (&keys, ended_by), |host, handles| {
        let Grant::Listener(address) = *handles.listeners[0].credentials().grant() else {
            panic!("a listener")
        };
        // Somebody who has connected, and neither sends nor receives.
        let peer = call.before.contains("$accept").then(|| TcpStream::connect(address).unwrap());
        (Context::from_parts(host, handles), peer)
    });
}

/// Fails unless a module's `run`, with these keys, ends soon after the deadline, which comes some time after it has called `begin`. `prepare` makes the guest's context,
/// and what lives as long as it.
pub(crate) fn ends_with<T>(
    what: &str,
    module: &Module,
    (keys, ended_by): (&Keys, EndedBy),
    mut prepare: impl FnMut(Host, Handles) -> (Context, T),
) {
    ends_at_the_deadline(what, |watcher| {
        let engine = module.engine();
        let (host, handles) = Host::open(keys).unwrap();
        let (context, peer) = prepare(host, handles);
        let stopper = Stopper::new().unwrap();
        if ended_by == EndedBy::Stopper {
            context.host().set_interrupt(stopper.interrupt());
        }
        let mut linker = Linker::new(engine);
        p1::add_to_linker(&mut linker, |data: &mut (Context, Option<_>)| &mut data.0).unwrap();
        let of_guest = stopper.clone();
        linker
            .func_wrap("host", "begin", move |mut caller: innkeeper::Caller<'_, (Context, Option<_>)>| {
                let (stopper, store) = (of_guest.clone(), caller.interrupt_handle());
                let watcher: Option<super::measure::Watcher> = caller.data_mut().1.take();
                if let Some(watcher) = watcher {
                    watcher.begin(move || match ended_by {
                        EndedBy::Stopper => stopper.stop(StopReason::Deadline),
                        EndedBy::Store => store.exceed_deadline(),
                    });
                }
            })
            .unwrap();
        let mut store = Store::new(engine, (context, Some(watcher))).unwrap();
        if ended_by == EndedBy::Stopper {
            stopper.add_store(store.interrupt_handle());
        }
        let instance = linker.instantiate(&mut store, module).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        (run.call(&mut store, ()), (store, peer))
    });
}

#[test]
fn every_function_says_why_it_ends_soon_or_is_tried() {
    let kinds: BTreeMap<&str, Kind> =
        KINDS.iter().flat_map(|(kind, names)| names.split_whitespace().map(|name| (name, *kind))).collect();
    let mut left = kinds.clone();
    for version in Version::ALL {
        for function in p1::functions(version) {
            left.remove(function.name);
            let kind = kinds.get(function.name);
            let kind = kind.unwrap_or_else(|| panic!("{} has no row in `KINDS`", function.name));
            let is_tried = CALLS.iter().any(|call| call.name == function.name);
            assert_eq!(*kind == Kind::Long, is_tried, "{}", function.name);
        }
    }
    assert!(left.is_empty(), "no such functions: {left:?}");
}

#[test]
fn functions_that_take_long_end_at_the_deadline() {
    // Those of the older version are the same, but for the places of some fields.
    for call in CALLS {
        for tiers in [Tiers::Interpreter, Tiers::Compiled] {
            for ended_by in [EndedBy::Stopper, EndedBy::Store] {
                try_call(call, Version::Preview1, (tiers, ended_by));
            }
        }
    }
}
