//! Several programs in one configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::client::{Answer, ask};
use crate::{Server, guests};

/// A folder with programs and files, and this configuration.
fn folder(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir_all(dir.path().join("site/public")).unwrap();
    write("site/hello.wat", &guests::hello());
    write("site/env.wat", &guests::environment());
    write("site/echo.wat", &guests::echo());
    write("site/public/file.txt", "a file");
    write("site/policy.toml", "[environment.set]\nFROM = \"policy\"\n");
    write("site/inn.toml", config);
    dir
}

fn command(dir: &Path, flags: &[&str]) -> Command {
    let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
    // From elsewhere: paths are the configuration's.
    inn.arg("serve").args(flags).arg("site/inn.toml").current_dir(dir);
    inn
}

fn serve(config: &str, flags: &[&str]) -> (Server, PathBuf) {
    let dir = folder(config);
    let place = dir.path().to_owned();
    (Server::start(command(dir.path(), flags), dir), place)
}

fn get(server: &Server, host: &str, path: &str) -> Answer {
    ask(server.address(), format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

const SEVERAL: &str = r#"
listen = 0
cache = "off"
max-body = "1KiB"

[[guest]]
file = "hello.wat"
cgi = true

[[guest]]
file = "env.wat"
host = ["a.example.com", "*.b.example.com"]
path = "/env"
cgi = true
env = ["ONE=1", "TWO=two"]
policy = "policy.toml"
static = "/assets=public"
max-memory = "64MiB"

[[guest]]
file = "echo.wat"
host = "a.example.com"
path = "/env/echo"
cgi = true
"#;

#[test]
fn each_guest_has_its_hosts_its_path_and_its_keys() {
    let (server, _) = serve(SEVERAL, &[]);
    let body = |host: &str, path: &str| {
        let answer = get(&server, host, path);
        (answer.status, String::from_utf8(answer.body).unwrap())
    };
    let hello = (200, String::from("hello\n"));
    for (host, path) in [("x", "/"), ("x", "/env"), ("a.example.com", "/"), ("a.example.com", "/environment")]
    {
        assert_eq!(body(host, path), hello, "{host}{path}");
    }
    for host in ["a.example.com", "A.Example.com:8080", "x.b.example.com"] {
        for path in ["/env", "/env/x"] {
            let (status, text) = body(host, path);
            assert_eq!(status, 200);
            for variable in ["ONE=1\0", "TWO=two\0", "FROM=policy\0"] {
                assert!(text.contains(variable), "{host}{path}: {text}");
            }
            assert!(text.contains(&format!("PATH_INFO={path}\0")), "{text}");
        }
        assert_eq!(body(host, "/assets/file.txt"), (200, String::from("a file")));
    }
    assert_eq!(body("x", "/assets/file.txt"), hello);
    assert_eq!(body("a.example.com", "/env/echo/x"), (200, String::new()));
    assert_eq!(body("x.b.example.com", "/env/echo/x").0, 200);
    let large = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1025\r\n\r\n";
    assert_eq!(ask(server.address(), large).status, 413, "the server's limits are those of the file");
    let log = server.log();
    let guests: Vec<&str> = log.iter().filter_map(|line| line["guest"].as_str()).collect();
    for guest in ["site/hello.wat", "site/env.wat", "site/echo.wat"] {
        assert!(guests.contains(&guest), "{guests:?}");
    }
}

#[test]
fn a_request_for_nobody_is_not_found() {
    let config =
        "listen = \"0\"\n[[guest]]\nfile = \"hello.wat\"\ncgi = true\nhost = \"localhost\"\npath = \"/a\"\n";
    let (server, _) = serve(config, &["--cache", "off"]);
    assert_eq!(get(&server, "localhost", "/a/b").status, 200);
    assert_eq!(get(&server, "localhost", "/b").status, 404);
    assert_eq!(get(&server, "other", "/a").status, 404);
}

/// What the command line says of the server goes before; keys stand in the file alone.
#[test]
fn the_command_line_goes_before_the_file() {
    let config =
        "listen = \"nowhere.invalid:1\"\nmax-body = 10\n[[guest]]\nfile = \"hello.wat\"\ncgi = true\n";
    let config = config.replace("nowhere.invalid:1", "unix:none/socket");
    let (server, _) = serve(&config, &["--cache", "off", "--listen", "0"]);
    assert_eq!(server.addresses.len(), 1);
    let said = |length: u32| format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(ask(server.address(), said(11)).status, 413);
    drop(server);
    let dir = folder(&config);
    let ran = command(dir.path(), &["--listen", "0", "--dir", "."]).output().unwrap();
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("--dir: ") && stderr.contains("[[guest]]"), "{stderr}");
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_key() {
    let guest = "[[guest]]\nfile = \"hello.wat\"\ncgi = true\n";
    let cases: &[(&str, &[&str])] = &[
        ("max-bodi = 1\n", &["inn.toml:1: max-bodi: ", "did you mean max-body?"]),
        ("listen = 0\nmax-body = \"much\"\n", &["inn.toml:2: max-body: ", "`much`"]),
        ("timeout = [\"1s\", \"2s\"]\n", &["inn.toml:1: timeout: "]),
        ("listen = [\"1\",\n  \"x:y\"]\n", &["inn.toml:2: listen: "]),
        ("watch = \"yes\"\n", &["inn.toml:1: watch: it is true or false"]),
        ("max-body = {}\n", &["inn.toml:1: max-body: "]),
        ("access-log = \"xml\"\n", &["inn.toml:1: access-log: ", "json"]),
        (&["tls-cert = \"a\"\n", guest].concat(), &["inn.toml:1: tls-key", "missing"]),
        ("env = \"A=b\"\n", &["inn.toml:1: env: ", "it stands in a [[guest]]"]),
        ("guest = 3\n", &["inn.toml:1: guest: "]),
        ("a = \n", &["inn.toml: ", "line 1"]),
        ("", &["inn.toml: ", "[[guest]]"]),
        ("[[guest]]\n", &["inn.toml:1: file: it is missing"]),
        ("[[guest]]\nfile = 3\n", &["inn.toml:2: file: it is no text"]),
        ("[[guest]]\nfile = \"hello.wat\"\nhost = \"a:80\"\n", &["inn.toml:3: host: ", "without a port"]),
        ("[[guest]]\nfile = \"hello.wat\"\npath = \"a\"\n", &["inn.toml:3: path: "]),
        ("[[guest]]\nfile = \"hello.wat\"\nlisten = 80\n", &["inn.toml:3: listen: ", "above all [[guest]]"]),
        ("[[guest]]\nfile = \"hello.wat\"\nnet = [\"connect:a\"]\n", &["inn.toml:3: net: "]),
        ("[[guest]]\nfile = \"none.wat\"\n", &["inn.toml:1: ", "none.wat"]),
        ("[[guest]]\nfile = \"hello.wat\"\n", &["inn.toml:1: ", "--cgi"]),
        ("[[guest]]\nfile = \"hello.wat\"\ncgi = true\ndir = \"nosuch\"\n", &["inn.toml:1: ", "nosuch"]),
        (&[guest, guest].concat(), &["inn.toml:4: path: / is somebody's already"]),
        (&[guest, "static = \"/a=none\"\n"].concat(), &["inn.toml:1: ", "none"]),
    ];
    for (config, wanted) in cases {
        let dir = folder(config);
        let ran = command(dir.path(), &["--cache", "off"]).output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success(), "{config}");
        for wanted in *wanted {
            assert!(stderr.contains(wanted), "{config}: no {wanted:?} in {stderr}");
        }
        assert!(stderr.starts_with("error: site/inn.toml"), "{stderr}");
    }
}

/// Guests come and go, and those that stay keep what they have.
#[test]
fn a_configuration_is_read_again() {
    let config = "listen = 0\nwatch = true\n[[guest]]\nfile = \"hello.wat\"\ncgi = true\npath = \"/hello\"\n";
    let (server, dir) = serve(config, &["--cache", "off"]);
    let wait_for = |wanted: &str| while !server.line().contains(wanted) {};
    let put = |text: &str| {
        std::fs::write(dir.join("site/new"), text).unwrap();
        std::fs::rename(dir.join("site/new"), dir.join("site/inn.toml")).unwrap();
    };
    assert_eq!(get(&server, "a", "/echo").status, 404);
    let more = "[[guest]]\nfile = \"echo.wat\"\ncgi = true\npath = \"/echo\"\n";
    put(&[config, more].concat());
    wait_for("read again");
    assert_eq!((get(&server, "a", "/echo").status, get(&server, "a", "/hello").status), (200, 200));
    put(&[config, more, "max-memori = 1\n"].concat());
    wait_for("inn.toml:11: max-memori: ");
    wait_for("stays in use");
    assert_eq!(get(&server, "a", "/echo").status, 200);
    put(&["max-body = 7\n", more, "max-memory = \"64MiB\"\n"].concat());
    wait_for("is read at the start only");
    wait_for("read again");
    assert_eq!((get(&server, "a", "/echo").status, get(&server, "a", "/hello").status), (200, 404));
}

/// One guest's program is not another's to choose, and the configuration is nobody's.
#[test]
fn guests_do_not_choose_for_each_other() {
    let config = "listen = 0\n[[guest]]\nfile = \"hello.wat\"\ncgi = true\npath = \"/a\"\ndir = \"shared::/shared\"\n\
                  [[guest]]\nfile = \"shared/echo.wat\"\ncgi = true\npath = \"/b\"\n";
    let dir = folder(config);
    let shared = dir.path().join("site/shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::write(shared.join("echo.wat"), guests::echo()).unwrap();
    let inn = command(dir.path(), &["--cache", "off"]);
    // It is warned of, with how to mend it.
    let server = Server::start_after(inn, dir, |line| !line.starts_with("serving: "));
    std::fs::write(shared.join("echo.wat"), guests::hello()).unwrap();
    server.signal("-HUP");
    while !server.line().contains("the program lies in site/shared, which the guest may write to") {}
    while !server.line().contains("stays in use") {}
    assert_eq!(get(&server, "a", "/b").body, b"");
}
