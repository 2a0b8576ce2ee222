//! Modules that were made for another host: who made them, as far as their imports tell, and how to build them for this one.
//!
//! Guesses for messages only: nothing here decides what runs.

use innkeeper::wasi::p1::Version;
use innkeeper::{ExternType, ImportType, Module};

use crate::inspect::{Provider, provider, type_in_wasi};
use crate::report::{Problem, short};

/// What a module's imports say that nobody here provides: who made it, which are missing, and how to build it for WASI.
pub(crate) fn missing_imports(name: &str, module: &Module) -> Option<Problem> {
    let imports: Vec<(ImportType<'_>, Provider)> =
        module.imports().map(|import| (import.clone(), provider(&import))).collect();
    let missing: Vec<&(ImportType<'_>, Provider)> =
        imports.iter().filter(|(_, provider)| !provider.is_here()).collect();
    if missing.is_empty() {
        return None;
    }
    let maker = maker(module);
    let mut named: Vec<String> =
        missing.iter().map(|(import, provider)| describe(import, *provider)).collect();
    named.dedup();
    let count = named.len();
    named.truncate(4);
    let more = if count > named.len() { format!(" and {} more", count - named.len()) } else { String::new() };
    let other_types = missing.iter().all(|(_, provider)| matches!(provider, Provider::WasiOfAnotherType(_)));
    let reason = match &maker {
        Some(Maker { host: OBJECT, .. }) => String::from(OBJECT),
        Some(maker) => format!("it was made for {}", maker.host),
        None if other_types => String::from("it wants functions of WASI with other types than they have"),
        None => String::from("it wants what inn does not provide"),
    };
    let missing = format!("{reason}: {}{more}", named.join(", "));
    let mend = maker.map_or(
        "inn provides WASI 0.1 (wasi_snapshot_preview1 and wasi_unstable) and nothing else; build it for wasm32-wasip1",
        |maker| maker.mend,
    );
    Some(Problem::new(name, missing).help(mend))
}

/// Who made a module, as far as its imports tell.
struct Maker {
    host: &'static str,
    mend: &'static str,
}

/// What no host is, and no maker either: what a compiler makes of one source file.
const OBJECT: &str = "it is an object file (.o), which is not linked yet";

fn maker(module: &Module) -> Option<Maker> {
    let imports =
        |is: &dyn Fn(&str, &str) -> bool| module.imports().any(|import| is(import.module, import.name));
    let made = |host, mend| Some(Maker { host, mend });
    // What a linker puts the program's own in the place of.
    if imports(&|module, name| {
        module == "env" && ["__linear_memory", "__indirect_function_table", "__stack_pointer"].contains(&name)
    }) {
        return made(OBJECT, "link it, as in clang --target=wasm32-wasip1 FILE.o -o FILE.wasm");
    }
    if imports(&|module, _| module.starts_with("rb-")) {
        return made(
            "JavaScript, as Ruby with a bridge to it (ruby.wasm)",
            "take the build without it, ruby-VERSION-wasm32-unknown-wasip1-full of ruby.wasm's releases",
        );
    }
    if imports(&|module, name| {
        module == "gojs" || module == "go" && (name.starts_with("runtime.") || name.starts_with("syscall/js"))
    }) {
        return made("a browser by Go (GOOS=js)", "build it with GOOS=wasip1 GOARCH=wasm go build");
    }
    if imports(&|module, name| {
        module.starts_with("__wbindgen")
            || module == "wbg"
            || name.starts_with("__wbindgen")
            || name.starts_with("__wbg_")
    }) {
        return made(
            "a browser by wasm-bindgen",
            "build it with cargo build --target wasm32-wasip1, without wasm-bindgen, web-sys and js-sys",
        );
    }
    if imports(&|module, name| {
        module == "emnapi"
            || module == "napi"
            || name.starts_with("napi_")
            || name.starts_with("emnapi_")
            || name.starts_with("_emnapi_")
    }) {
        return made(
            "Node.js, as an addon (napi-rs, emnapi)",
            "it has no program of its own: load it with the package that it comes from; for inn, build a program for wasm32-wasip1 without napi",
        );
    }
    if imports(&|module, _| {
        module.starts_with("wasi:") || module == "cm32p2" || module.starts_with("[export]wasi:")
    }) {
        return made(
            "WASI 0.2, as the core of a component",
            "it is a part of a program: run the component, which the toolchain makes of it (for wasm32-wasip2, or `wasm-tools component new`)",
        );
    }
    if imports(&|module, name| {
        module == "env"
            && (name.starts_with("emscripten_")
                || name.starts_with("_emscripten_")
                || name.starts_with("__syscall_")
                || name.starts_with("invoke_")
                || name == "__cxa_throw")
            || module == "a" && name.len() <= 2
    }) {
        return made(
            "JavaScript by Emscripten",
            "build it with wasi-sdk, or with emcc -sSTANDALONE_WASM -sPURE_WASI",
        );
    }
    if imports(&|module, name| module == "env" && name == "abort") && imports(&|module, _| module == "env") {
        return made(
            "JavaScript, perhaps by AssemblyScript",
            "build AssemblyScript with @assemblyscript/wasi-shim",
        );
    }
    if imports(&|module, _| module == "spectest") {
        return made("the specification's tests", "run the script that it comes from: inn wast FILE.wast");
    }
    let is_unknown_to_wasi = |import: ImportType<'_>| {
        Version::ALL.iter().any(|version| version.module_name() == import.module)
            && provider(&import) == Provider::Nobody
    };
    if module.imports().any(is_unknown_to_wasi)
        || imports(&|module, _| {
            module.starts_with("wasi_ephemeral_")
                || module == "wasi_nn"
                || module.starts_with("wasmedge")
                || module.starts_with("wasix")
        })
    {
        return made("another host's extensions of WASI", "build it without them");
    }
    if imports(&|module, _| module == "env") {
        return made(
            "a host that provides `env`: often symbols that were left undefined in linking",
            "define them, or link with the library that does; inn provides WASI 0.1 and nothing else",
        );
    }
    None
}

fn describe(import: &ImportType<'_>, of: Provider) -> String {
    let kind = match import.ty {
        ExternType::Func(_) => "",
        ExternType::Memory(_) => "memory ",
        ExternType::Table(_) => "table ",
        ExternType::Global(_) => "global ",
        _ => "tag ",
    };
    let name = format!("{kind}{} {}", short(import.module), short(import.name));
    match of {
        Provider::WasiOfAnotherType(version) => match type_in_wasi(version, import.name) {
            Some(ty) => format!("{name} as {}, which is {ty}", import.ty),
            None => name,
        },
        _ => name,
    }
}
