//! Where in their sources guests have stopped, and what is written of a store then.

use innkeeper::{Engine, Error, Instance, Module, SourceFrame, Store, Trap, Val};
use wasmparser::{
    CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection, CoreDumpStackSection, Parser, Payload,
};

use super::{engines, instance};

/// Built from `source-lines.c`, with DWARF.
const WITH_LINES: &[u8] = include_bytes!("source-lines.wasm");

fn stopped(engine: &Engine) -> (Store<()>, Instance, Error) {
    let mut store = Store::new(engine, ()).unwrap();
    let module = Module::new(engine, WITH_LINES).unwrap();
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
    assert_eq!(run.call(&mut store, 3).unwrap(), 11);
    let error = run.call(&mut store, 4).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::Unreachable));
    (store, instance, error)
}

fn place(source: &SourceFrame) -> (Option<&str>, &str, Option<u32>) {
    (source.func_name.as_deref(), source.file.as_deref().unwrap_or_default(), source.line)
}

#[test]
fn frames_have_files_and_lines_with_what_was_inlined() {
    for engine in engines() {
        let (store, _, error) = stopped(&engine);
        // They are read when somebody asks, also where everything else is gone.
        drop((store, engine));
        let sources = error.backtrace().sources();
        let places: Vec<Vec<_>> = sources.iter().map(|frame| frame.iter().map(place).collect()).collect();
        let file = "/src/source-lines.c";
        assert_eq!(
            places,
            [
                vec![
                    (Some("element"), file, Some(5)),
                    (Some("sum"), file, Some(12)),
                    (Some("total"), file, Some(19)),
                ],
                vec![(Some("run"), file, Some(23))],
            ]
        );
        assert_eq!(error.backtrace().frames()[1].sources(), sources[1]);
        let text = error.backtrace().to_string();
        assert!(text.contains("at /src/source-lines.c:5") && text.contains("(inlined sum)"), "{text}");
        assert!(format!("{error:?}").contains("/src/source-lines.c:23"));
    }
}

#[test]
fn a_module_without_dwarf_or_with_a_broken_one_has_no_sources() {
    let [engine, _] = engines();
    let (mut store, instance) = instance(&engine, r#"(module (func (export "run") unreachable))"#);
    let error = instance.get_func(&store, "run").unwrap().call(&mut store, &[], &mut []).unwrap_err();
    assert_eq!(error.backtrace().sources(), [vec![]]);
    let code_end = WITH_LINES.windows(11).position(|window| window == b".debug_info").unwrap();
    for at in (code_end + 11..WITH_LINES.len()).step_by(3) {
        let mut broken = WITH_LINES.to_vec();
        broken[at] ^= 0xa5;
        let Ok(module) = Module::new(&engine, broken) else { continue };
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&store, "run").unwrap();
        // Whatever is said there, it ends.
        let _ = run.call(&mut store, 4).unwrap_err().backtrace().sources();
    }
}

#[test]
fn a_core_dump_has_frames_memories_and_globals() {
    for engine in engines() {
        let (mut store, instance, error) = stopped(&engine);
        let memory = instance.get_memory(&store, "memory").unwrap();
        memory.write(&mut store, 70_000, b"in the middle").unwrap();
        let ty = innkeeper::GlobalType {
            content: innkeeper::ValType::I64,
            mutability: innkeeper::Mutability::Var,
        };
        innkeeper::Global::new(&mut store, ty, Val::I64(-7)).unwrap();
        let mut dump = Vec::new();
        store.write_core_dump(&error, "source-lines", &mut dump).unwrap();
        // It is a module.
        let read = innkeeper::engine(innkeeper::Config::default());
        let module = Module::new(&read, dump.clone()).unwrap();
        assert_eq!(module.defined_memories().count(), 1);
        let (mut frames, mut names) = (Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&dump) {
            let Payload::CustomSection(section) = payload.unwrap() else { continue };
            let reader = wasmparser::BinaryReader::new(section.data(), section.data_offset());
            names.push(section.name().to_owned());
            match section.name() {
                "core" => assert_eq!(CoreDumpSection::new(reader).unwrap().name, "source-lines"),
                "coremodules" => assert_eq!(CoreDumpModulesSection::new(reader).unwrap().modules.len(), 1),
                "coreinstances" => {
                    let instances = CoreDumpInstancesSection::new(reader).unwrap().instances;
                    assert_eq!((instances.len(), instances[0].memories.clone()), (1, vec![0]));
                }
                "corestack" => frames = CoreDumpStackSection::new(reader).unwrap().frames,
                _ => {}
            }
        }
        assert_eq!(names, ["core", "coremodules", "coreinstances", "corestack"]);
        let have: Vec<_> = frames.iter().map(|frame| (frame.instanceidx, frame.funcidx)).collect();
        let want: Vec<_> = error.backtrace().frames().iter().map(|frame| (0, frame.func.0)).collect();
        assert_eq!(have, want);
        assert!(frames.iter().all(|frame| frame.codeoffset > 0 && frame.codeoffset < 200));
        // Instantiated, it has the memory and the global as they were.
        let found = dump.windows(13).any(|window| window == b"in the middle");
        assert!(found && dump.len() < 20_000, "{}", dump.len());
    }
}
