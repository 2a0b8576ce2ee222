//! What provides an import, what an import is for, and which keys that suggests.

use innkeeper::wasi::p1::functions::{ParameterType, Returns};
use innkeeper::wasi::p1::{self, Version};
use innkeeper::{ExternType, FuncType, ImportType, Sharing, ValType};

/// What provides an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Wasi(Version),
    /// A version of WASI has the name, with another type.
    WasiOfAnotherType(Version),
    /// The proposal for threads.
    Threads,
    Nobody,
}

impl Provider {
    /// Whether `inn` has what is imported.
    pub(crate) fn is_here(self) -> bool {
        matches!(self, Provider::Wasi(_) | Provider::Threads)
    }
}

/// A kind of key, and which functions of WASI 0.1 a guest needs it for.
pub(super) struct KeyKind {
    pub(super) flag: &'static str,
    pub(super) meaning: &'static str,
    pub(super) functions: fn(&str) -> bool,
}

pub(super) const KEY_KINDS: &[KeyKind] = &[
    KeyKind {
        flag: "--dir HOST[::GUEST][::ro|rw|cow]",
        meaning: "files and directories",
        functions: |name| name.starts_with("path_") || name == "fd_readdir",
    },
    KeyKind {
        flag: "--env NAME[=VALUE]",
        meaning: "environment variables",
        functions: |name| name == "environ_get",
    },
    KeyKind { flag: "ARGS after FILE", meaning: "arguments", functions: |name| name == "args_get" },
    KeyKind {
        flag: "--listen ADDRESS:PORT",
        meaning: "connections to accept",
        functions: |name| name.starts_with("sock_"),
    },
    KeyKind {
        flag: "always granted",
        meaning: "clocks and randomness",
        functions: |name| name.starts_with("clock_") || name == "random_get",
    },
];

/// A kind of key, and which interfaces of WASI 0.2 and 0.3 a component needs it for.
pub(super) struct ComponentKeyKind {
    pub(super) flag: &'static str,
    pub(super) purpose: &'static str,
    /// Beginnings of their names.
    pub(super) interfaces: &'static [&'static str],
}

pub(super) const COMPONENT_KEY_KINDS: &[ComponentKeyKind] = &[
    ComponentKeyKind {
        flag: "--dir HOST[::GUEST][::ro|rw|cow]",
        purpose: "files and directories",
        interfaces: &["wasi:filesystem/preopens@"],
    },
    ComponentKeyKind {
        flag: "--net WHAT:HOST[:PORT]",
        purpose: "the network",
        interfaces: &[
            "wasi:sockets/instance-network@",
            "wasi:sockets/tcp-create-socket@",
            "wasi:sockets/udp-create-socket@",
            "wasi:sockets/types@",
            "wasi:sockets/ip-name-lookup@0.3.",
        ],
    },
    ComponentKeyKind {
        flag: "--http [METHODS:]URL",
        purpose: "requests of HTTP",
        interfaces: &["wasi:http/outgoing-handler@", "wasi:http/client@", "wasi:http/handler@"],
    },
    ComponentKeyKind {
        flag: "--env NAME[=VALUE], ARGS after FILE",
        purpose: "environment variables and arguments",
        interfaces: &["wasi:cli/environment@"],
    },
    ComponentKeyKind {
        flag: "--stdin, --stdout, --stderr",
        purpose: "standard streams, which are inherited",
        interfaces: &["wasi:cli/stdin@", "wasi:cli/stdout@", "wasi:cli/stderr@"],
    },
    ComponentKeyKind {
        flag: "always granted",
        purpose: "clocks and randomness",
        interfaces: &["wasi:clocks/", "wasi:random/"],
    },
];

pub(crate) fn provider(import: &ImportType<'_>) -> Provider {
    let Some(version) = Version::ALL.into_iter().find(|version| version.module_name() == import.module)
    else {
        return match &import.ty {
            ExternType::Memory(ty) if ty.sharing == Sharing::Shared => Provider::Threads,
            ExternType::Func(_) if import.module == "wasi" && import.name == "thread-spawn" => {
                Provider::Threads
            }
            _ => Provider::Nobody,
        };
    };
    match p1::functions(version).iter().find(|function| function.name == import.name) {
        None => Provider::Nobody,
        Some(function) if import.ty == ExternType::Func(wasm_type(function)) => Provider::Wasi(version),
        Some(_) => Provider::WasiOfAnotherType(version),
    }
}

/// The type of a function of WASI, if there is one of that name.
pub(crate) fn type_in_wasi(version: Version, name: &str) -> Option<ExternType> {
    let function = p1::functions(version).iter().find(|function| function.name == name)?;
    Some(ExternType::Func(wasm_type(function)))
}

fn wasm_type(function: &p1::Function) -> FuncType {
    let params = function.parameters.iter().map(|(_, ty)| match ty {
        ParameterType::I32 => ValType::I32,
        ParameterType::I64 => ValType::I64,
    });
    let results = match function.returns {
        Returns::Errno => Some(ValType::I32),
        Returns::Never => None,
    };
    FuncType::new(params, results)
}

/// What an import is for, in a few words.
pub(super) fn purpose(import: &ImportType<'_>, provider: Provider) -> &'static str {
    match (provider, &import.ty) {
        (Provider::Wasi(_) | Provider::WasiOfAnotherType(_), _) => purpose_of_function(import.name),
        (Provider::Threads, ExternType::Memory(_)) => "memory that threads share",
        (Provider::Threads, _) => "starting threads",
        (Provider::Nobody, _) => "unknown to inn",
    }
}

/// What a function of WASI 0.1 is for.
fn purpose_of_function(name: &str) -> &'static str {
    const PURPOSES: &[(&str, &str)] = &[
        ("args_", "arguments"),
        ("environ_", "environment variables"),
        ("clock_", "clocks"),
        ("random_", "randomness"),
        ("sock_", "sockets"),
        ("path_", "files and directories by their paths"),
        ("fd_readdir", "listing directories"),
        ("fd_prestat_", "finding the directories that are granted"),
        ("fd_", "open files, directories and streams"),
        ("poll_", "waiting"),
        ("proc_", "ending"),
        ("sched_", "letting other threads run"),
    ];
    PURPOSES
        .iter()
        .find(|(start, _)| name.starts_with(start))
        .map_or("unknown to inn", |(_, purpose)| purpose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_wasi_has_a_purpose() {
        for function in Version::ALL.into_iter().flat_map(p1::functions) {
            assert_ne!(purpose_of_function(function.name), "unknown to inn", "{}", function.name);
        }
    }
}
