//! Every feature can be switched off, and a module that uses it is refused then.

use innkeeper::{Config, ErrorKind, Feature, Features, Module};

/// A module that needs the feature and nothing beyond the first version of the standard and what the feature builds on.
fn needs(feature: Feature) -> &'static str {
    match feature {
        Feature::MutableGlobals => r#"(module (import "a" "b" (global (mut i32))))"#,
        Feature::SaturatingConversions => "(module (func (drop (i32.trunc_sat_f32_s (f32.const 0)))))",
        Feature::SignExtension => "(module (func (drop (i32.extend8_s (i32.const 0)))))",
        Feature::MultiValue => "(module (func (result i32 i32) (i32.const 0) (i32.const 1)))",
        Feature::BulkMemory => {
            "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))"
        }
        Feature::ReferenceTypes => "(module (func (drop (ref.null extern))))",
        Feature::Simd => "(module (func (drop (v128.const i64x2 0 0))))",
        Feature::RelaxedSimd => {
            "(module (func (param v128) (drop (i8x16.relaxed_swizzle (local.get 0) (local.get 0)))))"
        }
        Feature::ExtendedConst => "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))",
        Feature::TailCalls => "(module (func $f (return_call $f)))",
        Feature::Exceptions => "(module (tag $e) (func (throw_ref (ref.null exn))))",
        Feature::LegacyExceptions => "(module (func try catch_all end))",
        Feature::FunctionReferences => "(module (func (param (ref func)) (drop (local.get 0))))",
        Feature::GarbageCollection => "(module (type (struct)) (func (drop (struct.new 0))))",
        Feature::MultiMemory => "(module (memory 0) (memory 0))",
        Feature::Memory64 => "(module (memory i64 0))",
        Feature::Threads => "(module (memory 1 1 shared))",
        Feature::CustomPageSizes => "(module (memory 0 (pagesize 1)))",
        Feature::WideArithmetic => {
            "(module (func (result i64 i64) (i64.mul_wide_s (i64.const 1) (i64.const 2))))"
        }
        other => other_module(other),
    }
}

fn other_module(feature: Feature) -> &'static str {
    panic!("no module for {}", feature.name())
}

#[test]
fn a_feature_that_is_off_is_refused_and_one_that_is_on_is_not() {
    for feature in Feature::ALL {
        let binary = innkeeper::to_binary(needs(*feature).as_bytes()).unwrap().into_owned();
        let with = innkeeper::engine(Config::default());
        Module::new(&with, binary.clone()).unwrap_or_else(|error| panic!("{}: {error}", feature.name()));
        let features = Features::default().without(*feature);
        assert!(!features.contains(*feature));
        let without = innkeeper::engine(Config { features, ..Config::default() });
        let error =
            Module::new(&without, binary).err().unwrap_or_else(|| panic!("{} is let in", feature.name()));
        assert!(matches!(error.kind(), ErrorKind::Malformed { .. }), "{}: {error}", feature.name());
    }
}

#[test]
fn the_first_version_of_the_standard_stands_alone() {
    let engine = innkeeper::engine(Config { features: Features::MVP, ..Config::default() });
    let text = "(module (memory 1) (func (result i32) (i32.load (i32.const 0))))";
    Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
}
