//! `inn explore`: which functions its page shows, what it says of each, and how large it is.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{inn, scratch};

const TWO: &str = r#"(module
    (func $large (param i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 3)) (i32.const 4)))
    (func $hot (export "<b>") (param i32) (result i32) (i32.popcnt (local.get 0))))"#;

/// A page that was written.
struct Page {
    html: String,
    /// What it says of the module, with its list of functions.
    about: Value,
}

impl Page {
    fn read(path: &Path) -> Page {
        let html = fs::read_to_string(path).unwrap();
        let about = serde_json::from_str(data(&html, "about")).unwrap();
        Page { html, about }
    }

    /// The names of the functions that it shows, in order.
    fn names(&self) -> Vec<&str> {
        self.about["functions"].as_array().unwrap().iter().map(|entry| entry[0].as_str().unwrap()).collect()
    }

    /// What its script unpacks for the function at a place in the list.
    fn function(&self, position: usize) -> Value {
        let packed = base64(data(&self.html, &format!("f{position}")));
        serde_json::from_slice(&miniz_oxide::inflate::decompress_to_vec_zlib(&packed).unwrap()).unwrap()
    }

    /// The lines of a function's column.
    fn lines(&self, position: usize, column: &str) -> Vec<String> {
        self.function(position)[column]["text"].as_str().unwrap().lines().map(str::to_owned).collect()
    }
}

fn data<'h>(html: &'h str, id: &str) -> &'h str {
    let rest = html.split(&format!("id=\"{id}\">")).nth(1).unwrap_or_else(|| panic!("{id} is not in {html}"));
    rest.split("</script>").next().unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => u32::from(c - b'A'),
        b'a'..=b'z' => u32::from(c - b'a') + 26,
        b'0'..=b'9' => u32::from(c - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    for group in text.as_bytes().chunks(4) {
        let digits: Vec<u8> = group.iter().copied().filter(|c| *c != b'=').collect();
        let bits = digits.iter().fold(0, |bits, c| bits << 6 | digit(*c)) << (6 * (4 - digits.len()));
        bytes.extend(&bits.to_be_bytes()[1..digits.len()]);
    }
    bytes
}

/// What numbers written as differences are.
fn sums(differences: &Value) -> Vec<Option<i64>> {
    let mut last = 0;
    let mut next = |difference: i64| {
        last += difference;
        last
    };
    differences.as_array().unwrap().iter().map(|number| number.as_i64().map(&mut next)).collect()
}

#[test]
fn functions_are_shown_in_three_forms_hot_ones_first() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), TWO).unwrap();
    fs::write(dir.path().join("m.folded"), "large;hot 7\nlarge 3\n").unwrap();
    let page = |name: &str| Page::read(&dir.path().join(name));
    inn(&["explore", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(0)
        .prints(&["m.html: 2 of 2 functions, ", " KiB\n"]);
    assert_eq!(page("m.html").names(), ["large", "hot"], "the largest first");
    inn(&["explore", "--profile", "m.folded", "--functions", "1", "--to", "hot.html", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(0);
    let hottest = page("hot.html");
    assert_eq!(hottest.names(), ["hot"]);
    // Of the whole profile's time, not of what is shown.
    assert_eq!((&hottest.about["ticks"], &hottest.about["total"]), (&10.into(), &2.into()));
    assert_eq!(hottest.about["functions"][0][3], 7);
    for (column, part) in [("wasm", "i32.popcnt"), ("intermediate", " = popcnt"), ("machine", "popcnt")] {
        assert!(hottest.lines(0, column).iter().any(|line| line.contains(part)), "{part}");
    }
    inn(&["explore", "--profile", "nowhere", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(2)
        .says(&["of the profile"]);
}

/// With a profile, what took no time is not shown, unless it is asked for.
#[test]
fn a_profile_or_names_choose_what_is_shown() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), TWO).unwrap();
    fs::write(dir.path().join("m.folded"), "large;hot 7\n").unwrap();
    let shown = |flags: &[&str]| {
        inn(&[&["explore", "m.wat"], flags].concat()).current_dir(&dir).run().code(0);
        Page::read(&dir.path().join("m.html")).names().join(" ")
    };
    let profile = ["--profile", "m.folded"];
    assert_eq!(shown(&profile), "hot");
    assert_eq!(shown(&[&profile[..], &["--functions", "9"]].concat()), "hot large");
    assert_eq!(shown(&[&profile[..], &["--function", "large"]].concat()), "large");
    for word in ["hot", "1", "func[1]", "ho"] {
        assert_eq!(shown(&["--function", word]), "hot", "{word}");
    }
    assert_eq!(shown(&["--function", "hot", "--function", "0"]), "large hot");
}

/// What is counted by name in a profile is one function's alone, however many have the name.
#[test]
fn functions_of_one_name_have_their_own_time() {
    let dir = scratch();
    let spin = "(loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))";
    // Two are written alike, and named alike by the name section; wat tells identifiers apart, not names.
    let text = format!(
        r#"(module (func $a (@name "same") (param i32) {spin}) (func $b (@name "same") (param i32) {spin} {spin})
        (func $main (export "_start") (call $a (i32.const 1)) (call $b (i32.const 200000000))))"#
    );
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["--tier", "compiled", "--profile", "m.svg", "m.wat"]).current_dir(&dir).run().code(0);
    let folded = fs::read_to_string(dir.path().join("m.folded")).unwrap();
    assert!(folded.contains(") 0\nmain;same [1] "), "{folded}");
    inn(&["explore", "--profile", "m.folded", "--functions", "3", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(0)
        .stderr("");
    let page = Page::read(&dir.path().join("m.html"));
    let ticks = |name: &str| {
        let entries = page.about["functions"].as_array().unwrap();
        entries.iter().find(|entry| entry[0] == name).unwrap()[3].as_u64().unwrap()
    };
    assert_eq!(ticks("same [0]"), 0);
    assert_eq!(ticks("same [0]") + ticks("same [1]") + ticks("main"), page.about["ticks"].as_u64().unwrap());
}

/// The columns belong together by offsets, instructions of machine code have addresses, and calls have the names of what they lead to.
#[test]
fn machine_code_is_linked_to_wasm_and_callees_are_named() {
    let dir = scratch();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (func $"</script><b>" (param i32) (result i32)
            (loop $l (br_if $l (call 0))) (i32.div_u (call 0) (local.get 0))))"#;
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0);
    let page = Page::read(&dir.path().join("m.html"));
    let shown = page.function(0);
    let offsets = |column: &str| sums(&shown[column]["offsets"]).into_iter().flatten().collect::<Vec<_>>();
    let addresses = sums(&shown["machine"]["addresses"]);
    assert!(addresses[0] == Some(0) && addresses.is_sorted_by(|a, b| a < b), "{addresses:?}");
    let (wasm, linked) = (offsets("wasm"), offsets("machine"));
    assert!(linked.len() > 3 && linked.iter().all(|offset| wasm.contains(offset)), "{linked:?} {wasm:?}");
    for column in ["wasm", "intermediate", "machine"] {
        let lines = page.lines(0, column);
        let named = lines.iter().filter(|line| line.contains("wasi_snapshot_preview1.sched_yield")).count();
        assert!(named >= 2, "{column}: {lines:#?}");
        let rows = shown[column]["offsets"].as_array().unwrap().len();
        assert_eq!(rows, lines.len(), "{column}");
    }
    assert!(page.html.contains("\\u003c/script>\\u003cb>") && !page.html.contains("<b>"), "{}", page.html);
}

/// The intermediate representation is to be read in a third of a window: what the margin has is not in its text, and functions have their numbers.
#[test]
fn the_intermediate_representation_begins_at_the_margin() {
    let dir = scratch();
    let text = r#"(module (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func $count (export "count") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (call $yield) (call $count (i32.sub (local.get 0) (i32.const 1)))))
                (else (i32.const 7)))))"#;
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0);
    let page = Page::read(&dir.path().join("m.html"));
    let lines = page.lines(0, "intermediate");
    assert!(lines[0].starts_with("function func[1]("), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("= colocated func[1] ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("block1")), "{lines:#?}");
    for line in &lines {
        assert!(!line.contains('@') && !line.starts_with("     ") && !line.contains("u0:"), "{line}");
    }
    let offsets = sums(&page.function(0)["intermediate"]["offsets"]);
    assert!(offsets.iter().flatten().count() > lines.len() / 3, "{offsets:?}");
}

/// However deep blocks are nested, their instructions are in sight.
#[test]
fn instructions_are_not_indented_out_of_sight() {
    let dir = scratch();
    let text = format!("(module (func {} (drop (i32.const 7)) {}))", "(block ".repeat(300), ")".repeat(300));
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0);
    let lines = Page::read(&dir.path().join("m.html")).lines(0, "wasm");
    let blanks = |line: &String| line.len() - line.trim_start().len();
    assert!(lines.len() > 600 && lines.iter().map(blanks).max() == Some(28), "{lines:?}");
}

/// A table that a jump goes by is no code.
#[test]
fn jump_tables_are_shown_as_data() {
    let dir = scratch();
    let (cases, blocks) = (0..40).fold((String::new(), "(block ".repeat(41)), |(cases, blocks), case| {
        (format!("{cases}) (local.set 1 (i32.mul (local.get 1) (i32.const {})))\n", case * case + 3), blocks)
    });
    let labels: String = (0..41).map(|label| format!("{label} ")).collect();
    let text = format!(
        "(module (func (export \"f\") (param i32 i32) (result i32) {blocks} (br_table {labels} (local.get 0)) {cases}) (local.get 1)))"
    );
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0);
    let machine = Page::read(&dir.path().join("m.html")).lines(0, "machine");
    assert!(machine.iter().any(|line| line.ends_with("; jump table, 41 entries")), "{machine:#?}");
    assert!(machine.iter().filter(|line| line.starts_with(".long 0x")).count() >= 40, "{machine:#?}");
    assert!(!machine.iter().any(|line| line.contains("(bad)")), "{machine:#?}");
}

/// A page can be sent by mail, also that of a module of five megabytes: with every line written out it had 60 MB.
#[test]
fn the_page_of_a_large_module_is_small() {
    const MOST_BYTES: u64 = 6 << 20;
    let dir = scratch();
    let module = large_module();
    assert!(module.len() > 5_000_000, "{}", module.len());
    fs::write(dir.path().join("m.wasm"), module).unwrap();
    inn(&["explore", "m.wasm"]).current_dir(&dir).run().code(0).prints(&["m.html: 100 of ", " MiB\n"]);
    let bytes = fs::metadata(dir.path().join("m.html")).unwrap().len();
    assert!(bytes < MOST_BYTES, "{bytes}");
}

/// A module of functions of some kilobytes each, all different, that compute with memory.
fn large_module() -> Vec<u8> {
    const FUNCTIONS: u32 = 700;
    fn number(mut value: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }
    let section = |id: u8, content: Vec<u8>| [vec![id], number(content.len() as u32), content].concat();
    let list = |items: Vec<Vec<u8>>| [number(items.len() as u32), items.concat()].concat();
    let mut state = 1u32;
    let mut random = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut body = || {
        // Two locals of i32 beside the parameter.
        let mut code = vec![1, 2, 0x7f];
        while code.len() < 7_500 {
            let (from, to) = (random(3) as u8, random(3) as u8);
            // local[to] = (local[from] + N) op load(local[to] + M); leave if that is 0
            code.extend([0x20, from, 0x41]);
            code.extend(number(random(60) | random(2) << 13));
            code.extend([0x6a, 0x20, to, 0x28, 2]);
            code.extend(number(random(1 << 12)));
            code.extend([[0x6a, 0x6b, 0x71, 0x72, 0x73][random(5) as usize], 0x22, to, 0x45, 0x0d, 0]);
        }
        code.push(0x0b);
        [number(code.len() as u32), code].concat()
    };
    let bodies = (0..FUNCTIONS).map(|_| body()).collect();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, list(vec![vec![0x60, 1, 0x7f, 0]])),
        section(3, list((0..FUNCTIONS).map(|_| vec![0]).collect())),
        section(5, list(vec![vec![0, 1]])),
        section(10, list(bodies)),
    ]
    .concat()
}

/// Without a name section, functions that are exported are called as that, in pages, profiles and backtraces alike.
#[test]
fn functions_without_a_name_are_called_as_they_are_exported() {
    let dir = scratch();
    let spin = "(local i32) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 60000000))))";
    let text = format!(
        r#"(module (func {spin}) (func (export "_start") (call 0)) (func (export "trap") unreachable))"#
    );
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0);
    let mut names = Page::read(&dir.path().join("m.html")).names().join(" ");
    assert_eq!(names, "func[0] _start trap");
    inn(&["--profile", "m.svg", "--tier", "interpreter", "m.wat"]).current_dir(&dir).run().code(0);
    let folded = fs::read_to_string(dir.path().join("m.folded")).unwrap();
    assert!(folded.contains("\n_start;func[0] "), "{folded}");
    let graph = fs::read_to_string(dir.path().join("m.svg")).unwrap();
    assert!(graph.contains("func[N] has no name in the module"), "{graph}");
    inn(&["--invoke", "trap", "m.wat"]).current_dir(&dir).run().code(134).says(&["   0: trap"]);
    inn(&["explore", "--function", "trap", "m.wat"]).current_dir(&dir).run().code(0);
    names = Page::read(&dir.path().join("m.html")).names().join(" ");
    assert_eq!(names, "trap");
}

/// Names alone do not tell stripped programs apart, so the profile says which module it is of.
#[test]
fn a_profile_of_another_program_is_refused() {
    let dir = scratch();
    let module = |name: &str, count: u32| {
        let spin = format!(
            "(local i32) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {count}))))"
        );
        fs::write(
            dir.path().join(name),
            format!(r#"(module (func {spin}) (func (export "_start") (call 0)))"#),
        )
        .unwrap();
    };
    module("one.wat", 60_000_000);
    module("other.wat", 60_000_001);
    inn(&["--profile", "one.svg", "--tier", "interpreter", "one.wat"]).current_dir(&dir).run().code(0);
    let explore =
        |profile: &str, module: &str| inn(&["explore", "--profile", profile, module]).current_dir(&dir).run();
    explore("one.folded", "one.wat").code(0).stderr("");
    let ran = explore("one.folded", "other.wat");
    ran.code(2).says(&[
        "one.folded: it is a profile of another program than other.wat",
        "\nhelp: name the .folded file",
    ]);
    // Every line is a stack with its time, as other tools want it.
    let folded = fs::read_to_string(dir.path().join("one.folded")).unwrap();
    assert!(
        folded.lines().all(|line| line.rsplit_once(' ').is_some_and(|(_, time)| time.parse::<u64>().is_ok())),
        "{folded}"
    );
    // Profiles of two programs may be joined; what another tool has made has no such line, and names decide.
    let (first, stacks) = folded.split_once('\n').unwrap();
    assert!(first.starts_with("(of module ") && first.ends_with(") 0"), "{first}");
    fs::write(dir.path().join("joined.folded"), format!("(of module 00) 0\n{folded}")).unwrap();
    fs::write(dir.path().join("plain.folded"), stacks).unwrap();
    explore("joined.folded", "one.wat").code(0).stderr("");
    explore("plain.folded", "other.wat").code(0).stderr("");
}

/// What the README shows a profile of has names.
#[test]
fn the_tours_profiles_are_of_programs_with_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut seen = 0;
    for page in ["README.md", "docs/explore.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for line in text.lines().filter(|line| line.starts_with("$ inn ") && line.contains("--profile")) {
            let module =
                line.split(' ').find(|word| word.ends_with(".wasm")).unwrap_or_else(|| panic!("{line}"));
            let said = inn(&["inspect", "--json", module]).current_dir(&root).run().code(0).stdout.clone();
            let said: Value = serde_json::from_str(&said).unwrap();
            let has_names =
                said["sections"].as_array().unwrap().iter().any(|section| section["custom"] == "name");
            assert!(has_names, "{page}: {line}");
            seen += 1;
        }
    }
    assert_eq!(seen, 4);
}

/// Scroll bars and controls are dark where the page is.
#[test]
fn the_page_tells_the_browser_whether_it_is_dark() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), TWO).unwrap();
    inn(&["explore", "m.wat"]).current_dir(&dir).run().code(0);
    let page = Page::read(&dir.path().join("m.html")).html;
    let rule = |selector: &str| {
        page.split(&format!("{selector} {{")).nth(1).unwrap().split('}').next().unwrap().to_owned()
    };
    assert!(rule("\n:root").contains("color-scheme: light;"), "{}", rule("\n:root"));
    assert!(rule(":root[data-theme=\"dark\"]").contains("color-scheme: dark;"));
}
