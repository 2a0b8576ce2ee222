//! The files that say what is served, at the start and while guests run: what they may be, and that no guest has a say in them.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::{GET, ask};
use crate::reload::{put, wait_for};
use crate::tls::write_certificate;
use crate::{PATIENCE, Server, guests};

/// Every flag of `inn serve` that names a path, and FILE, by what it is: a new one has to be put here, and is then tried as the others of its kind.
const READ: &[&str] = &["FILE", "policy", "tls-cert", "tls-key"];
/// What is opened for guests, or for clients.
const OPENED: &[&str] = &["dir", "mapdir", "static"];
/// What is opened once, at the start: the directories of sockets, and the code cache (tests of `planted` and `handover`).
const OPENED_ONCE: &[&str] = &["cache", "handover"];

/// A folder in which all of them have something, and the guest may write to `data`.
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("data/pub")).unwrap();
    fs::create_dir(at("secret")).unwrap();
    fs::write(at("data/pub/file"), "public").unwrap();
    fs::write(at("secret/file"), "secret").unwrap();
    fs::write(at("guest.wat"), guests::environment()).unwrap();
    fs::write(at("other.wat"), guests::hello()).unwrap();
    fs::write(at("policy.toml"), "[environment.set]\nNAME = \"old\"\n").unwrap();
    write_certificate(dir.path());
    write_config(dir.path(), "");
    dir
}

/// A configuration of two guests, the second one with these keys besides.
fn write_config(dir: &Path, keys: &str) {
    let text = format!(
        "listen = 0\ncache = \"off\"\n\
         [[guest]]\nfile = \"other.wat\"\ncgi = true\npath = \"/other\"\ndir = \"data::/data::rw\"\n\
         [[guest]]\nfile = \"guest.wat\"\ncgi = true\n{keys}"
    );
    put(dir, "inn.toml", &text);
}

fn inn(dir: &Path, flags: &[&str], file: &str) -> Command {
    let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
    inn.arg("serve").args(flags).arg(file).current_dir(dir);
    inn
}

/// Runs a server that is to be refused; one that serves after all is ended.
fn refused(mut inn: Command) -> String {
    let child = inn.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (told, ended) = std::sync::mpsc::channel();
    let id = child.id().to_string();
    std::thread::spawn(move || {
        if ended.recv_timeout(PATIENCE).is_err() {
            let _ = Command::new("kill").arg(&id).status();
        }
    });
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    let _ = told.send(());
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(!status.success(), "{stderr}");
    stderr
}

#[test]
fn every_path_of_a_flag_is_tried_here() {
    let help = Command::new(env!("CARGO_BIN_EXE_inn")).args(["completion", "fish"]).output().unwrap();
    let script = String::from_utf8(help.stdout).unwrap();
    let flags: BTreeSet<&str> = script
        .lines()
        .filter(|line| line.contains("__fish_inn_using_subcommand serve\""))
        .filter(|line| line.ends_with(" -F") || line.contains("__fish_complete_directories"))
        .filter_map(|line| line.split(" -l ").nth(1)?.split_whitespace().next())
        .collect();
    let known = READ.iter().chain(OPENED).chain(OPENED_ONCE).copied().filter(|flag| *flag != "FILE");
    assert_eq!(flags, known.collect(), "{script}");
}

/// A file that a server reads, with what it is told by when it was read again, and when it was not.
struct Case {
    file: &'static str,
    flags: Vec<&'static str>,
    program: &'static str,
    read: &'static str,
    not: &'static str,
}

/// All that is read, each with a server that reads it.
fn cases() -> Vec<Case> {
    let of = |flag: &str| -> Vec<Case> {
        let case = |file, flags: &[&'static str], program, read, not| {
            let flags = [&["--listen", "0", "--cache", "off", "--cgi"][..], flags].concat();
            Case { file, flags, program, read, not }
        };
        let (read, not) = ("guest.wat: read again", "what was read before stays in use");
        let tls = &["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
        let tls_read = "the certificate was read again";
        match flag {
            "FILE" => vec![
                case("guest.wat", &[], "guest.wat", read, not),
                Case { file: "inn.toml", flags: vec![], program: "inn.toml", read: "read again", not },
            ],
            "policy" => vec![case("policy.toml", &["--policy", "policy.toml"], "guest.wat", read, not)],
            "tls-cert" => vec![case("cert.pem", tls, "guest.wat", tls_read, not)],
            "tls-key" => vec![case("key.pem", tls, "guest.wat", tls_read, not)],
            _ => panic!("--{flag}: which file does it read?"),
        }
    };
    READ.iter().flat_map(|flag| of(flag)).collect()
}

/// What is no file, or one without an end.
fn spoil(path: &Path, how: &str) {
    let new = path.with_extension("new");
    match how {
        "endless" => symlink("/dev/zero", &new).unwrap(),
        "pipe" => assert!(Command::new("mkfifo").arg(&new).status().unwrap().success()),
        "large" => fs::File::create(&new).unwrap().set_len(20 << 30).unwrap(),
        "directory" => {
            fs::remove_file(path).unwrap();
            return fs::create_dir(path).unwrap();
        }
        _ => panic!("{how}"),
    }
    fs::rename(new, path).unwrap();
}

const SPOILT: [&str; 4] = ["endless", "pipe", "large", "directory"];

#[test]
fn what_is_read_at_the_start_is_a_file_and_bounded() {
    for case in cases() {
        for how in SPOILT {
            let dir = folder();
            spoil(&dir.path().join(case.file), how);
            let mut inn = inn(dir.path(), &case.flags, case.program);
            // Whoever reads without an end is ended by that.
            inn.env("MALLOC_ARENA_MAX", "1");
            let said = refused(inn);
            assert!(said.contains(case.file), "{how} {}: {said}", case.file);
        }
    }
}

#[test]
fn what_is_read_again_is_a_file_and_bounded() {
    for case in cases() {
        let dir = folder();
        let place = dir.path().to_owned();
        let kept = fs::read(place.join(case.file)).unwrap();
        let server = Server::start(inn(&place, &case.flags, case.program), dir);
        for how in SPOILT {
            spoil(&place.join(case.file), how);
            server.signal("-HUP");
            // It is said, and asking again is heard.
            wait_for(&server, case.not);
            let memory = fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
            let peak = memory.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
            assert!(kilobytes < 500 << 10, "{how} {}: {peak}", case.file);
            let path = place.join(case.file);
            let _ = fs::remove_dir(&path);
            fs::write(place.join("kept"), &kept).unwrap();
            fs::rename(place.join("kept"), &path).unwrap();
            server.signal("-HUP");
            wait_for(&server, case.read);
        }
    }
}

/// A guest that may write to one of them decides nothing by that, also where the file is its own program; what has not changed does not keep the rest from being read again.
#[test]
fn what_a_guest_may_have_changed_is_not_read_again() {
    for (file, flags) in
        [("data/guest.wat", &[][..]), ("data/policy.toml", &["--policy", "data/policy.toml"])]
    {
        let dir = folder();
        let place = dir.path().to_owned();
        for name in ["guest.wat", "policy.toml"] {
            fs::copy(place.join(name), place.join("data").join(name)).unwrap();
        }
        let program = if file.ends_with("wat") { file } else { "guest.wat" };
        let usual = ["--listen", "0", "--cache", "off", "--cgi", "--dir", "data::/data::rw"];
        let inn = inn(&place, &[&usual[..], flags].concat(), program);
        let server = Server::start_after(inn, dir, |line| !line.starts_with("serving: "));
        server.signal("-HUP");
        wait_for(&server, "guest.wat: read again");
        put(&place, file, &if file.ends_with("wat") { guests::hello() } else { String::from("[limits]\n") });
        server.signal("-HUP");
        wait_for(&server, "lies in data, which the guest may write to: it is not read again");
        let answer = ask(server.address(), GET);
        assert_ne!(answer.body, b"hello\n", "{file}");
    }
}

/// What was handed over is there once, and is read once.
#[test]
fn a_policy_comes_from_a_pipe_as_a_whole() {
    let dir = folder();
    let mut inn =
        inn(dir.path(), &["--listen", "0", "--cache", "off", "--cgi", "--policy", "/dev/stdin"], "guest.wat");
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"[environment.set]\nNAME = \"piped\"\n").unwrap();
    drop(writer);
    inn.stdin(reader);
    let server = Server::start(inn, dir);
    for _ in 0..2 {
        let answer = ask(server.address(), GET);
        assert!(String::from_utf8_lossy(&answer.body).contains("NAME=piped\0"));
        server.signal("-HUP");
        wait_for(&server, "guest.wat: read again");
    }
}

/// Keys of the second guest that name `data/pub`, which the first one may put a link in the place of.
fn of_flag(flag: &str) -> Vec<&'static str> {
    match flag {
        "dir" => {
            vec!["dir = \"data/pub::/x::ro\"\n", "dir = \"data/pub::/x::cow\"\n", "policy = \"opens.toml\"\n"]
        }
        "mapdir" => vec!["mapdir = \"/x::data/pub\"\n"],
        "static" => vec!["static = \"/s=data/pub\"\n"],
        _ => panic!("--{flag}: how is it written?"),
    }
}

/// However often a guest changes what is on the way while it is gone, nobody gets elsewhere.
#[test]
fn what_is_opened_again_is_what_was_checked() {
    for keys in OPENED.iter().flat_map(|flag| of_flag(flag)) {
        let dir = folder();
        let place = dir.path().to_owned();
        let policy = "[[directory]]\nhost = \"data/pub\"\nguest = \"/x\"\n";
        fs::write(place.join("opens.toml"), policy).unwrap();
        symlink("../secret", place.join("data/link")).unwrap();
        let server = Server::start(inn(&place, &[], "inn.toml"), dir);
        let is_over = Arc::new(AtomicBool::new(false));
        let flipping = {
            let (data, is_over) = (place.join("data"), Arc::clone(&is_over));
            let go = move |from: &str, to: &str| fs::rename(data.join(from), data.join(to)).unwrap();
            std::thread::spawn(move || {
                while !is_over.load(Ordering::SeqCst) {
                    for (from, to) in [("pub", "moved"), ("link", "pub"), ("pub", "link"), ("moved", "pub")] {
                        go(from, to);
                    }
                }
            })
        };
        let secret = place.join("secret").canonicalize().unwrap();
        let mut reached = None::<PathBuf>;
        for round in 1..=40 {
            write_config(&place, &format!("{keys}max-memory = \"{}MiB\"\n", 64 + round));
            server.signal("-HUP");
            let is_over =
                |line: &str| line.contains("read again, and answers") || line.contains("stays in use");
            while !is_over(&server.line()) {}
            let open = fs::read_dir(format!("/proc/{}/fd", server.child.id())).unwrap();
            let mut open = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            reached = reached.or_else(|| open.find(|path| path.starts_with(&secret)));
        }
        is_over.store(true, Ordering::SeqCst);
        flipping.join().unwrap();
        assert_eq!(reached, None, "{keys}");
    }
}

/// What one guest writes is nothing that another, or the server, is made of, at the start and when it is read again.
#[test]
fn no_output_of_a_guest_is_what_the_server_reads() {
    let read = ["other.wat", "guest.wat", "policy.toml", "inn.toml", "cert.pem", "key.pem", "in.txt"];
    let config = |to: Option<&str>| {
        let guest = |name: &str, policy: &str| {
            format!("[[guest]]\nfile = \"{name}\"\ncgi = true\npath = \"/{name}\"\npolicy = \"{policy}\"\n")
        };
        let writes = to.map(|_| guest("writes.wat", "writes.toml")).unwrap_or_default();
        let others = guest("other.wat", "policy.toml") + &guest("guest.wat", "out.toml");
        format!(
            "listen = 0\ncache = \"off\"\ntls-cert = \"cert.pem\"\ntls-key = \"key.pem\"\n{writes}{others}"
        )
    };
    let prepare = |to: &str| {
        let dir = folder();
        let write = |name: &str, text: String| fs::write(dir.path().join(name), text).unwrap();
        write("writes.wat", guests::hello());
        write("in.txt", String::from("input"));
        write("x", String::from("kept"));
        write(
            "out.toml",
            String::from("[stdio]\nstdin = { file = \"in.txt\" }\nstderr = { file = \"y\" }\n"),
        );
        write("writes.toml", format!("[stdio]\nstderr = {{ file = \"{to}\" }}\n"));
        fs::hard_link(dir.path().join("policy.toml"), dir.path().join("alias")).unwrap();
        dir
    };
    for to in read.into_iter().chain(["alias", "y"]) {
        let dir = prepare(to);
        put(dir.path(), "inn.toml", &config(Some(to)));
        let before = fs::read(dir.path().join(to)).ok().filter(|_| to != "y");
        let said = refused(inn(dir.path(), &[], "inn.toml"));
        assert!(said.contains("it is read in this run") || said.contains("another output"), "{to}: {said}");
        if let Some(before) = before {
            assert_eq!(fs::read(dir.path().join(to)).unwrap(), before, "{to}");
        }
        let dir = prepare(to);
        put(dir.path(), "inn.toml", &config(None));
        let place = dir.path().to_owned();
        let server = Server::start(inn(&place, &[], "inn.toml"), dir);
        put(&place, "inn.toml", &config(Some(to)));
        let before = fs::read(place.join(to)).unwrap();
        server.signal("-HUP");
        wait_for(&server, "stays in use");
        assert_eq!(fs::read(place.join(to)).unwrap(), before, "{to}");
    }
}

/// A guest's output goes on where it is when another of its keys changes, and becomes nothing that is read.
#[test]
fn an_output_stays_what_it_is() {
    let dir = folder();
    let place = dir.path().to_owned();
    fs::write(place.join("out.toml"), "[stdio]\nstderr = { file = \"log\" }\n").unwrap();
    write_config(&place, "policy = \"out.toml\"\n");
    let server = Server::start(inn(&place, &[], "inn.toml"), dir);
    fs::write(place.join("log"), "written").unwrap();
    write_config(&place, "policy = \"out.toml\"\nmax-memory = \"32MiB\"\n");
    server.signal("-HUP");
    wait_for(&server, "read again, and answers");
    assert_eq!(fs::read_to_string(place.join("log")).unwrap(), "written");
    // The same file by the name of a policy.
    write_config(&place, "policy = \"out.toml\"\n");
    fs::hard_link(place.join("log"), place.join("policy.new")).unwrap();
    fs::rename(place.join("policy.new"), place.join("policy.toml")).unwrap();
    write_config(&place, "policy = \"policy.toml\"\n");
    server.signal("-HUP");
    wait_for(&server, "the policy is a file that an output of a guest goes to: it is not read again");
}

#[test]
fn clients_are_not_given_what_says_what_is_granted() {
    for (keys, file) in [
        ("static = \"/s=.\"\n", "inn.toml"),
        ("static = \"/s=site\"\npolicy = \"site/policy.toml\"\n", "site"),
    ] {
        let dir = folder();
        fs::create_dir(dir.path().join("site")).unwrap();
        fs::copy(dir.path().join("policy.toml"), dir.path().join("site/policy.toml")).unwrap();
        write_config(dir.path(), keys);
        let said = refused(inn(dir.path(), &[], "inn.toml"));
        assert!(said.contains("the configuration or a policy is kept there"), "{file}: {said}");
    }
}
