//! Guests that leave links, and streams that no guest may reach: `inn serve` is to refuse what `inn run` refuses.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::client::is_served;
use crate::{Server, guests, proxy_guest};

/// Says something on standard error, and has the directory `logs` of what it is granted be a link to `../out` from then on.
const PLANTER: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "Content-Type: text/plain\n\nhello\n")
    (data (i32.const 200) "logs") (data (i32.const 210) "old") (data (i32.const 220) "../out") (data (i32.const 300) "guest\n")
    (func $print (param $fd i32) (param $address i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $address)) (i32.store (i32.const 4) (local.get $length))
        (drop (call $write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func (export "_start")
        (call $print (i32.const 2) (i32.const 300) (i32.const 6))
        (drop (call $rename (i32.const 3) (i32.const 200) (i32.const 4) (i32.const 3) (i32.const 210) (i32.const 3)))
        (drop (call $symlink (i32.const 220) (i32.const 6) (i32.const 3) (i32.const 200) (i32.const 4)))
        (call $print (i32.const 1) (i32.const 100) (i32.const 32))))"#;

/// `data` with `logs` in it, which is granted by the policy, and `out`, which is not.
fn prepare(dir: &Path) {
    fs::create_dir_all(dir.join("data/logs")).unwrap();
    fs::create_dir(dir.join("out")).unwrap();
    fs::write(dir.join("out/err.log"), "kept").unwrap();
    let policy = "[stdio]\nstderr = { file = \"data/logs/err.log\", append = false }\n\n\
                  [[directory]]\nhost = \"data\"\nguest = \"/data\"\naccess = \"rw\"\n";
    fs::write(dir.join("policy.toml"), policy).unwrap();
}

#[test]
fn a_guest_does_not_lead_the_next_ones_output_elsewhere() {
    let mut place = None;
    let server = Server::with(PLANTER, &[], |dir, inn| {
        prepare(dir);
        place = Some(dir.to_owned());
        inn.args(["--listen", "0", "--policy", "policy.toml"]);
    });
    let dir = place.unwrap();
    is_served(server.address());
    assert!(dir.join("data/logs").is_symlink());
    is_served(server.address());
    assert_eq!(fs::read_to_string(dir.join("data/old/err.log")).unwrap(), "guest\nguest\n");
    assert_eq!(fs::read_to_string(dir.join("out/err.log")).unwrap(), "kept");
}

/// Runs a server that is to be refused.
pub(crate) fn refused(dir: &Path, flags: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    fs::write(dir.join("guest.wat"), guests::hello()).unwrap();
    let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
    inn.args(["serve", "--cgi", "--listen", "0"]).args(flags).arg("guest.wat").current_dir(dir);
    inn.env("XDG_CACHE_HOME", dir.join("cache")).env("XDG_STATE_HOME", dir.join("state"));
    let mut child = inn.stdout(stdout).stderr(stderr).spawn().unwrap();
    // One that serves after all would not end by itself.
    let (told, ended) = std::sync::mpsc::channel();
    let id = child.id().to_string();
    std::thread::spawn(move || {
        if ended.recv_timeout(crate::PATIENCE).is_err() {
            let _ = Command::new("kill").arg(&id).status();
        }
    });
    let mut output = Output { status: child.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
    let _ = told.send(());
    if let Some(mut stream) = child.stderr.take() {
        std::io::Read::read_to_end(&mut stream, &mut output.stderr).unwrap();
    }
    assert!(!output.status.success(), "{output:?}");
    output
}

#[test]
fn no_path_that_a_flag_names_goes_by_a_planted_link() {
    let of_tls = ["--tls-cert", "data/logs/cert.pem", "--tls-key", "data/logs/key.pem"];
    let of_tls: Vec<&str> = ["--dir", "data::/data::rw"].into_iter().chain(of_tls).collect();
    let cases: [&[&str]; 8] = [
        &of_tls,
        &["--dir", "data::/data::rw", "--static", "/files=data/logs"],
        &["--policy", "policy.toml"],
        &["--dir", "data::/data::rw", "--dir", "data/logs::/logs::rw"],
        &["--dir", "data::/data::rw", "--listen", "unix:data/logs/socket"],
        &["--dir", "data::/data::rw", "--admin", "unix:data/logs/socket"],
        &["--dir", "data::/data::rw", "--handover", "data/logs/socket"],
        &["--dir", "data::/data::rw", "--cache", "data/logs/cache"],
    ];
    for flags in cases {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path());
        fs::remove_dir(dir.path().join("data/logs")).unwrap();
        symlink("../out", dir.path().join("data/logs")).unwrap();
        let ran = refused(dir.path(), flags, Stdio::null(), Stdio::piped());
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(stderr.contains("`logs`") && stderr.contains("symbolic link"), "{flags:?}: {stderr}");
        assert_eq!(fs::read_dir(dir.path().join("out")).unwrap().count(), 1, "{flags:?}");
    }
}

/// A key that cannot be granted is a mistake on the command line, as for `inn run`.
#[test]
fn keys_that_cannot_be_granted_are_mistakes() {
    for (guest, kind) in
        [(guests::hello(), &["--cgi"][..]), (proxy_guest::component("(func $handle (param i32 i32))"), &[])]
    {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("guest.wat"), guest).unwrap();
        let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
        inn.arg("serve").args(kind).args(["--cache", "off", "--listen", "0", "--dir", "nosuch", "guest.wat"]);
        let ran = inn.current_dir(dir.path()).output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("nosuch") && stderr.contains("help: "), "{stderr}");
    }
}

/// Flags of other servers are answered by what is theirs here.
#[test]
fn flags_of_other_servers_are_known() {
    for (flags, wanted) in [
        (["--addr", "127.0.0.1:80"], "--listen"),
        (["--port", "80"], "--listen"),
        (["-p", "80"], "--listen"),
        (["--max-concurrent-requests", "5"], "--max-requests"),
    ] {
        let inn = Command::new(env!("CARGO_BIN_EXE_inn")).arg("serve").args(flags).arg("guest.wat").output();
        let ran = inn.unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(wanted), "{flags:?}: {stderr}");
    }
}

#[test]
fn clients_are_given_no_secret_of_the_servers() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("run.wat"), r#"(module (func (export "_start")))"#).unwrap();
    let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
    inn.args(["run", "run.wat"]).current_dir(dir.path());
    inn.env("XDG_CACHE_HOME", dir.path().join("cache")).env("XDG_STATE_HOME", dir.path().join("state"));
    assert!(inn.status().unwrap().success());
    assert!(dir.path().join("state/innkeeper/cache-key/key").is_file());
    fs::create_dir(dir.path().join("tls")).unwrap();
    symlink("state/innkeeper", dir.path().join("way")).unwrap();
    let of_tls = ["--tls-cert", "tls/cert.pem", "--tls-key", "tls/key.pem"];
    for name in ["cert.pem", "key.pem"] {
        fs::write(dir.path().join("tls").join(name), "").unwrap();
    }
    for (directory, flags, said) in [
        (".", &[][..], "the code cache or its key"),
        ("state", &[], "the code cache or its key"),
        ("state/innkeeper/cache-key", &[], "the code cache or its key"),
        ("way", &[], "the code cache or its key"),
        ("cache", &[], "the code cache or its key"),
        ("tls", &of_tls, "clients are given the files of"),
    ] {
        let given = format!("/files={directory}");
        let flags: Vec<&str> = ["--static", &given].into_iter().chain(flags.iter().copied()).collect();
        let stderr = refused(dir.path(), &flags, Stdio::null(), Stdio::piped()).stderr;
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(stderr.contains(said), "{directory}: {stderr}");
    }
}

#[test]
fn no_stream_is_the_caches_key() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("run.wat"), r#"(module (func (export "_start")))"#).unwrap();
    let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
    inn.args(["run", "run.wat"]).current_dir(dir.path());
    inn.env("XDG_CACHE_HOME", dir.path().join("cache")).env("XDG_STATE_HOME", dir.path().join("state"));
    assert!(inn.status().unwrap().success());
    let key = dir.path().join("state/innkeeper/cache-key/key");
    let before = fs::read(&key).unwrap();
    for stream in ["output", "error"] {
        let open = || Stdio::from(fs::OpenOptions::new().append(true).open(&key).unwrap());
        match stream {
            "output" => {
                let stderr = refused(dir.path(), &[], open(), Stdio::piped()).stderr;
                let stderr = String::from_utf8(stderr).unwrap();
                assert!(stderr.contains("standard output: the code cache or its key"), "{stderr}");
            }
            _ => drop(refused(dir.path(), &[], Stdio::null(), open())),
        }
        assert_eq!(fs::read(&key).unwrap(), before, "standard {stream}");
    }
}

/// A socket's path may lead elsewhere when the server ends.
#[test]
fn what_lies_in_a_sockets_place_by_then_stays() {
    let mut place = None;
    let mut server = Server::with(&guests::hello(), &[], |dir, inn| {
        fs::create_dir(dir.join("sockets")).unwrap();
        fs::create_dir(dir.join("out")).unwrap();
        place = Some(dir.to_owned());
        inn.args(["--listen", "unix:sockets/socket"]);
    });
    let dir = place.unwrap();
    fs::write(dir.join("out/socket"), "kept").unwrap();
    fs::rename(dir.join("sockets"), dir.join("moved")).unwrap();
    symlink("out", dir.join("sockets")).unwrap();
    server.signal("-TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(dir.join("out/socket").exists() && !dir.join("moved/socket").exists());
}
