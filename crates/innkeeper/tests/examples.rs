//! Each example runs to its end. That none is forgotten, the folder says.

macro_rules! examples {
    ($($(#[$condition:meta])* $name:ident $path:literal;)*) => {
        $(
            $(#[$condition])*
            #[path = $path]
            mod $name;

            $(#[$condition])*
            #[test]
            fn $name() {
                $name::main().unwrap();
            }
        )*

        #[test]
        fn every_example_is_run() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
            let mut found: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            found.sort();
            let mut run = [$($path.trim_start_matches("../examples/")),*];
            run.sort_unstable();
            assert_eq!(found, run);
        }
    };
}

examples! {
    #[cfg(feature = "async")] async_tokio "../examples/async_tokio.rs";
    #[cfg(feature = "bindgen")] component_plugin "../examples/component_plugin.rs";
    #[cfg(feature = "bindgen")] component_resources "../examples/component_resources.rs";
    #[cfg(feature = "async")] fuel "../examples/fuel.rs";
    hello "../examples/hello.rs";
    host_functions "../examples/host_functions.rs";
    in_memory_files "../examples/in_memory_files.rs";
    limits "../examples/limits.rs";
    memory "../examples/memory.rs";
    plugin "../examples/plugin.rs";
    plugin_host "../examples/plugin_host.rs";
    ten_thousand "../examples/ten_thousand.rs";
    wasi "../examples/wasi.rs";
}

/// docs/embedding.md shows the host of plugins beside the same program for another library.
#[test]
fn the_guide_shows_the_plugin_host_as_it_is() {
    let guide = include_str!("../../../docs/embedding.md");
    let example = include_str!("../examples/plugin_host.rs").replace("pub(crate) fn main", "fn main");
    let (host, plugins) = example.split_at(example.find("/// A plugin in the text format").unwrap());
    for part in [host, plugins] {
        assert!(
            guide.contains(&format!("```rust\n{}\n```\n", part.trim_end())),
            "docs/embedding.md has another:\n{part}"
        );
    }
}
