//! WASI, as the library offers it: programs in one call, streams of the embedder's own, directories that hold something at first.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use innkeeper::component::Component;
use innkeeper::wasi::keys::{Access, Capture, DirKey, KeyError, Keys, Sink, Source, StdinKey, StdoutKey};
use innkeeper::wasi::{exit_code, p1, p2, p3};
use innkeeper::{Config, Engine, Error, Module, Trap};

use super::engines;

/// Copies standard input to standard output, to its end.
const CAT: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (local $errno i32)
        (loop $more
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 16))
            (local.tee $errno (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (if (then (call $exit (local.get $errno))))
            (if (i32.eqz (i32.load (i32.const 8))) (then return))
            (i32.store (i32.const 4) (i32.load (i32.const 8)))
            (local.tee $errno (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
            (if (then (call $exit (local.get $errno))))
            (br $more))))"#;

fn cat(engine: &Engine, stdin: StdinKey, stdout: StdoutKey) -> Result<i32, Error> {
    let module = Module::new(engine, CAT).unwrap();
    p1::run(engine, &module, Keys::builder().stdin(stdin).stdout(stdout).build())
}

#[test]
fn a_program_runs_in_one_call_and_gives_its_exit_code() {
    for engine in engines() {
        let text = |code: u32| {
            format!(
                r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const {code})) unreachable))"#
            )
        };
        for code in [0, 1, 42, 255] {
            let module = Module::new(&engine, text(code)).unwrap();
            assert_eq!(p1::run(&engine, &module, Keys::default()).unwrap(), code as i32);
        }
        let module = Module::new(&engine, r#"(module (func (export "_start") unreachable))"#).unwrap();
        let error = p1::run(&engine, &module, Keys::default()).unwrap_err();
        assert_eq!((error.trap(), exit_code(&error)), (Some(Trap::Unreachable), None));
        let module = Module::new(&engine, "(module)").unwrap();
        let error = p1::run(&engine, &module, Keys::default()).unwrap_err();
        assert_eq!(error.to_string(), "the instance exports no function `_start`");
    }
}

/// Runs a program with keys.
type Run = Box<dyn Fn(Keys) -> Result<i32, Error>>;

/// A program of each version of WASI that does this, and returns whether it has gone wrong.
fn programs(engine: &Engine, body: &str) -> [Run; 3] {
    let module = format!(
        r#"(module (memory (export "memory") 1) (func $run (result i32) {body})
            (func (export "_start") (if (call $run) (then unreachable))))"#
    );
    let component = format!(
        r#"(component
            (core module $m (memory (export "memory") 1) (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $run (export "run" (func $run)))
            (export "wasi:cli/run@0.2.0" (instance $run)))"#
    );
    let module = Module::new(engine, module).unwrap();
    let component = Component::new(engine, component).unwrap();
    let (engines, again) = ([(); 3].map(|()| engine.clone()), component.clone());
    let [first, second, third] = engines;
    [
        Box::new(move |keys| p1::run(&first, &module, keys)),
        Box::new(move |keys| p2::run(&second, &component, keys)),
        Box::new(move |keys| p3::run(&third, &again, keys)),
    ]
}

/// Nobody watched them here.
#[test]
fn a_program_ends_when_the_times_among_its_keys_are_over() {
    for engine in engines() {
        for run in programs(&engine, "(loop $again (br $again)) unreachable") {
            for is_wall in [true, false] {
                let mut keys = Keys::default();
                let time = Some(Duration::from_millis(20));
                *(if is_wall { &mut keys.limits.wall_time } else { &mut keys.limits.processor_time }) = time;
                let error = run(keys).unwrap_err();
                assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{error}");
            }
        }
    }
}

/// What the engine's configuration allows was not looked at where the keys have a budget, which they always have.
#[test]
fn a_program_holds_the_lesser_of_what_its_keys_and_the_engine_allow() {
    const MIB: u64 = 1 << 20;
    for (of_engine, of_keys, is_enough) in [
        (None, None, true),
        (Some(8 * MIB), None, true),
        (Some(3 * MIB), None, false),
        (None, Some(3 * MIB), false),
        (Some(3 * MIB), Some(8 * MIB), false),
        (Some(8 * MIB), Some(3 * MIB), false),
        (Some(8 * MIB), Some(8 * MIB), true),
    ] {
        let mut config = Config::default();
        config.limits.memory_bytes = of_engine;
        let engine = innkeeper::engine(config);
        let grows = "(i32.eq (memory.grow (i32.const 64)) (i32.const -1))";
        for (version, run) in programs(&engine, grows).into_iter().enumerate() {
            let mut keys = Keys::default();
            keys.limits.memory_bytes = of_keys;
            let ended = run(keys);
            assert_eq!(matches!(ended, Ok(0)), is_enough, "{version}: {of_engine:?}, {of_keys:?}: {ended:?}");
        }
    }
}

#[test]
fn a_key_that_cannot_be_honoured_is_the_error() {
    let engine = innkeeper::engine(Config::default());
    let module = Module::new(&engine, CAT).unwrap();
    let keys = Keys::builder().dir("/nowhere/at/all", "/data", Access::ReadOnly).build();
    let error = p1::run(&engine, &module, keys).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(KeyError::DirectoryMissing(_))), "{error}");
}

#[test]
fn streams_are_any_reader_and_any_writer() {
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for engine in engines() {
        let written = Shared::default();
        let text = "a line that is longer than what the guest reads at once\n".repeat(3);
        let source = Source::new(io::Cursor::new(text.clone()));
        let sink = Sink::new(io::BufWriter::new(written.clone()));
        assert_eq!(cat(&engine, StdinKey::Source(source), StdoutKey::Sink(sink)).unwrap(), 0);
        assert_eq!(*written.0.lock().unwrap(), text.as_bytes());
    }
}

#[test]
fn an_output_can_be_a_callback() {
    let engine = innkeeper::engine(Config::default());
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let sink = Sink::callback(move |bytes| kept.lock().unwrap().push(bytes.to_vec()));
    let input = StdinKey::Bytes(b"sixteen bytes...and some more".to_vec());
    assert_eq!(cat(&engine, input, StdoutKey::Sink(sink)).unwrap(), 0);
    assert_eq!(*lines.lock().unwrap(), [b"sixteen bytes...".to_vec(), b"and some more".to_vec()]);
}

/// Errors of the embedder's streams are the guest's error numbers; interruptions are tried again.
#[test]
fn errors_of_streams_are_told_to_the_guest() {
    struct Fails(io::ErrorKind, bool);
    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if std::mem::replace(&mut self.1, false) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match self.0 {
                io::ErrorKind::Other => Ok(buffer.len() + 5),
                kind => Err(kind.into()),
            }
        }
    }
    let engine = innkeeper::engine(Config::default());
    let read = |kind, interrupted| {
        let source = StdinKey::Source(Source::new(Fails(kind, interrupted)));
        cat(&engine, source, StdoutKey::Capture(Capture::new(64))).unwrap()
    };
    // `io`, and `acces`, as numbers of WASI.
    assert_eq!(read(io::ErrorKind::InvalidData, true), 29);
    assert_eq!(read(io::ErrorKind::PermissionDenied, false), 2);
    // A reader that says to have read more than there was room for is not believed: the capture is full at some time.
    assert_eq!(read(io::ErrorKind::Other, false), 51);
}

/// Reads a file of the first directory, whose name and length are the arguments, to standard output; the exit code is the error number.
fn read_file(engine: &Engine, key: DirKey, name: &str) -> Result<Vec<u8>, i32> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (data (i32.const 1024) "{name}")
        (func (export "_start") (local $errno i32)
            (local.tee $errno (call $open (i32.const 3) (i32.const 1) (i32.const 1024) (i32.const {len}) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
            (if (then (call $exit (local.get $errno))))
            (i32.store (i32.const 0) (i32.const 4096)) (i32.store (i32.const 4) (i32.const 4096))
            (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 4)))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        len = name.len()
    );
    let module = Module::new(engine, text).unwrap();
    let capture = Capture::new(1 << 16);
    let keys = Keys::builder().directory(key).stdout(StdoutKey::Capture(capture.clone())).build();
    match p1::run(engine, &module, keys).unwrap() {
        0 => Ok(capture.contents()),
        errno => Err(errno),
    }
}

#[test]
fn a_directory_in_memory_holds_what_it_was_given() {
    let engine = innkeeper::engine(Config::default());
    let key = DirKey::temporary("/data", 1 << 20)
        .with_files([("a.txt", "first"), ("deep/er/b.txt", "second"), ("./c", "third")])
        .with_file("a.txt", "instead");
    for (name, contents) in [("a.txt", "instead"), ("deep/er/b.txt", "second"), ("c", "third")] {
        assert_eq!(read_file(&engine, key.clone(), name).unwrap(), contents.as_bytes(), "{name}");
    }
    assert_eq!(read_file(&engine, key, "d"), Err(44));
}

#[test]
fn what_cannot_be_in_a_directory_in_memory_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let module = Module::new(&engine, CAT).unwrap();
    let small = DirKey::temporary("/data", 8 << 10).with_file("large", vec![1; 64 << 10]);
    let outside = DirKey::temporary("/data", 1 << 20).with_file("../up", "x");
    let blocked = DirKey::temporary("/data", 1 << 20).with_file("a", "x").with_file("a/b", "y");
    for key in [small, outside, blocked] {
        let error = p1::run(&engine, &module, Keys::builder().directory(key).build()).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(KeyError::Preload { .. })), "{error}");
    }
}

/// A member of a tar archive: head, contents, padding.
fn member(name: &str, kind: u8, target: &str, contents: &[u8]) -> Vec<u8> {
    let mut head = vec![0; 512];
    head[..name.len()].copy_from_slice(name.as_bytes());
    head[100..108].copy_from_slice(b"0000644\0");
    head[124..136].copy_from_slice(format!("{:011o}\0", contents.len()).as_bytes());
    head[156] = kind;
    head[157..157 + target.len()].copy_from_slice(target.as_bytes());
    head[257..265].copy_from_slice(b"ustar\x0000");
    head[148..156].copy_from_slice(b"        ");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = vec![0; contents.len().next_multiple_of(512) - contents.len()];
    [&head, contents, &padding].concat()
}

#[test]
fn a_directory_in_memory_is_unpacked_from_a_tar() {
    let engine = innkeeper::engine(Config::default());
    let long = format!("{}/file", "d".repeat(120));
    let record = format!("path={long}\n");
    let record = format!("{} {record}", record.len() + 4);
    let archive = [
        member("dir/", b'5', "", &[]),
        member("dir/file", b'0', "", b"in the directory"),
        member("link", b'2', "dir/file", &[]),
        member("pax", b'x', "", record.as_bytes()),
        member("short", b'0', "", &[b'x'; 600]),
        vec![0; 1024],
    ]
    .concat();
    let key = DirKey::temporary("/data", 1 << 20).with_tar(&archive).unwrap();
    for (name, contents) in
        [("dir/file", &b"in the directory"[..]), ("link", b"in the directory"), (&long, &[b'x'; 600])]
    {
        assert_eq!(read_file(&engine, key.clone(), name).unwrap(), contents, "{name}");
    }
}

#[test]
fn a_broken_tar_is_refused() {
    let good = member("file", b'0', "", b"contents");
    let mut wrong_sum = good.clone();
    wrong_sum[0] ^= 1;
    let device = member("device", b'3', "", &[]);
    for (archive, reason) in [
        (&good[..515], "ends within the member"),
        (&good[..300], "ends within a head"),
        (&wrong_sum, "another sum"),
        (&device, "only regular files"),
    ] {
        let error = DirKey::temporary("/data", 1 << 20).with_tar(archive).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert!(DirKey::temporary("/data", 1 << 20).with_tar(&[]).is_ok());
}

#[test]
fn wasi_can_be_linked_beside_functions_of_the_embedders_and_not_twice() {
    let engine = innkeeper::engine(Config::default());
    let mut linker = innkeeper::Linker::<p1::Context>::new(&engine);
    p1::add_to_linker(&mut linker, |context| context).unwrap();
    linker.func_wrap("host", "f", || {}).unwrap();
    assert!(p1::add_to_linker(&mut linker, |context| context).is_err());
    linker.allow_shadowing(true);
    p1::add_to_linker(&mut linker, |context| context).unwrap();
}
