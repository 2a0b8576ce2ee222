//! Functions at the limits of the implementation stay intact, in every way to leave them and every tier, with collections at each allocation.

use innkeeper::{Config, Linker, Module, Store, TierUp, Tiers};
use innkeeper_differential::extreme::{Axes, Count, Kind, LAST, Way, local_counts};
use innkeeper_differential::{Dialect, Report, check};

fn run(axes: &Axes, total: &mut Report) {
    let module = axes.module().unwrap_or_else(|| panic!("{axes:?} are no module"));
    let report = check(&module, Dialect::Extreme);
    assert!(report.differences.is_empty(), "{axes:?}: {}", report.differences.join("\n"));
    assert_eq!(report.refused, 0, "{axes:?}");
    total.add(report);
}

/// Every way, with locals of every kind on both sides of what operands reach, and as many as there can be.
#[test]
fn locals_survive_every_way_out() {
    let mut total = Report::default();
    for (turn, way) in Way::ALL.into_iter().enumerate() {
        for (i, kind) in Kind::ALL.into_iter().enumerate() {
            let counts = local_counts(kind);
            // Each way meets each kind at one limit, and each limit is met by each kind.
            let count = counts[(turn + i) % counts.len()];
            run(&Axes { locals: vec![(count, kind)], ..Axes::small(way) }, &mut total);
        }
    }
    assert_eq!(total.modules, (Way::ALL.len() * Kind::ALL.len()) as u64);
    assert_eq!(total.inconclusive, 0, "{total:?}");
}

#[test]
fn seeds_of_the_extremes_differ_in_nothing() {
    let mut total = Report::default();
    for seed in 0..20 {
        let Some(module) = innkeeper_differential::Module::from_seed(seed, Dialect::Extreme) else {
            panic!("seed {seed} is no module")
        };
        let report = check(&module, Dialect::Extreme);
        assert!(report.differences.is_empty(), "seed {seed}: {}", report.differences.join("\n"));
        total.add(report);
    }
    assert!(total.refused < 3 && total.inconclusive < 10, "{total:?}");
}

/// As many of each thing as a module may have, and the last of them used in every tier; one more is refused, and what for is said.
#[test]
fn as_many_as_there_may_be_and_one_more() {
    for count in Count::ALL {
        for tiers in [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto] {
            let mut config = Config::default();
            config.tuning.tier_up = TierUp::eager();
            let engine = innkeeper::engine_with(config, tiers);
            let module = Module::new(&engine, count.module(count.most()))
                .unwrap_or_else(|error| panic!("{count:?}: {error}"));
            let mut store = Store::new(&engine, ()).expect("a store");
            let mut linker = Linker::new(&engine);
            linker.func_wrap("host", "seven", || 7_i32).unwrap();
            let instance = linker
                .instantiate(&mut store, &module)
                .unwrap_or_else(|error| panic!("{count:?} in {tiers:?}: {error}"));
            let last = instance.get_typed_func::<(), i32>(&mut store, LAST).expect("an export");
            for _ in 0..3 {
                assert_eq!(last.call(&mut store, ()).expect("a result"), 7, "{count:?} in {tiers:?}");
            }
        }
        if count.is_limited() {
            let engine = innkeeper::engine(Config::default());
            let error = Module::new(&engine, count.module(count.most() + 1)).expect_err("one too many");
            let says = error.to_string();
            assert!(
                ["limit", "too many", "exceed", "size"].iter().any(|word| says.contains(word)),
                "{count:?}: {says}"
            );
        }
    }
}
