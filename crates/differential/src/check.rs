//! A module's way through all oracles of its dialect.

use std::panic::{AssertUnwindSafe, catch_unwind};

use innkeeper::{Collection, Config, Limits, MemoryLayout, NanBits, TierUp, Tiers};

use crate::compare::{Strictness, compare, is_beyond_limits};
use crate::extreme;
use crate::generate::{Dialect, Module};
use crate::oracle::{Answers, Call, InnkeeperOracle, Observation, Oracle, Outcome, WasmiOracle};
use crate::value::Value;

/// What was found about modules.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Modules that were run.
    pub modules: u64,
    /// Calls whose outcomes were compared, each pair of oracles counted.
    pub calls: u64,
    /// Pairs of observations that end early because of a resource that engines have different amounts of.
    pub inconclusive: u64,
    /// Modules that Innkeeper would not instantiate, mostly because a host cannot make what they import: a function or tag whose type
    /// is one of a recursion group.
    pub refused: u64,
    /// Differences between the other two engines, where the third one agrees with Innkeeper.
    pub others: u64,
    /// Differences that are not there where the module is written around known faults of the other engine.
    pub known: u64,
    /// Traps of memory at an instruction beside the right one; see [`crate::Comparison::misplaced`].
    pub misplaced: Vec<String>,
    /// The differences, in words.
    pub differences: Vec<String>,
}

impl Report {
    /// Adds what was found about others.
    pub fn add(&mut self, other: Report) {
        self.modules += other.modules;
        self.calls += other.calls;
        self.inconclusive += other.inconclusive;
        self.refused += other.refused;
        self.others += other.others;
        self.known += other.known;
        self.misplaced.extend(other.misplaced);
        self.differences.extend(other.differences);
    }
}

/// Instructions of which no bounded call runs out.
const PLENTY: u64 = u64::MAX / 2;
/// Instructions of which many calls run out.
const SCARCE: u64 = 700;
/// Instructions in which a real program gets to what it is for.
const BOUNDED: u64 = 300_000;

/// The module that a fuzzer's bytes lead to, checked; the first byte tells the dialect.
#[must_use]
pub fn check_bytes(bytes: &[u8]) -> Report {
    let Some((first, rest)) = bytes.split_first() else { return Report::default() };
    let dialect = Dialect::of(u64::from(*first));
    Module::from_bytes(rest, dialect).map_or_else(Report::default, |module| check(&module, dialect))
}

/// An oracle, and what it has seen.
type Known<'a> = (&'a dyn Oracle, &'a Observation);

/// Runs a module on all oracles of a dialect and compares what they saw.
#[must_use]
pub fn check(module: &Module, dialect: Dialect) -> Report {
    match dialect {
        Dialect::Shared => check_generated(module, against_another_engine),
        Dialect::Alone => check_generated(module, against_itself),
        Dialect::Mutant => check_mutant(module),
        Dialect::Extreme => check_generated(module, against_its_promise),
    }
}

/// Compares the interpreter with machine code, and goes on with what only the module's own dialect allows.
fn check_generated(module: &Module, go_on: impl FnOnce(Known<'_>, &Module, &mut Report)) -> Report {
    let mut report = Report { modules: 1, ..Report::default() };
    let usual = innkeeper("innkeeper", |_| {}, None);
    let Some(first) = observe(&usual, module, &mut report) else { return report };
    report.refused = u64::from(matches!(first.instantiation, Outcome::Refused(_)));
    for (name, tiers, loops_only, set) in [
        ("innkeeper, compiled", Tiers::Compiled, false, &reserved as &dyn Fn(&mut Config)),
        (
            "innkeeper, compiled, memories exact, collecting",
            Tiers::Compiled,
            false,
            &|config: &mut Config| {
                exact(config);
                collecting(config);
            },
        ),
        ("innkeeper, tiering up at once", Tiers::Auto, false, &reserved),
        ("innkeeper, compiling loops only", Tiers::Auto, true, &collecting),
    ] {
        let mut oracle = innkeeper(name, set, None);
        oracle.tiers = tiers;
        oracle.config.tuning.tier_up = TierUp::eager();
        if loops_only {
            oracle.config.tuning.tier_up.calls = u32::MAX;
        }
        pair((&usual, &first), &oracle, module, Strictness::Everything, &mut report);
    }
    go_on((&usual, &first), module, &mut report);
    report
}

fn against_another_engine(known: Known<'_>, module: &Module, report: &mut Report) {
    let before = report.differences.len();
    pair(known, &WasmiOracle::default(), module, Strictness::Meaning, report);
    if report.differences.len() == before {
        return;
    }
    let mut around = Report::default();
    pair(known, &WasmiOracle::around_known_faults(), module, Strictness::Meaning, &mut around);
    if around.differences.is_empty() && around.inconclusive == 0 {
        report.differences.truncate(before);
        report.known += 1;
    } else {
        judge(known, module, before, report);
    }
}

/// Other configurations, fuel, and the third engine.
fn against_itself(known: Known<'_>, module: &Module, report: &mut Report) {
    // What Innkeeper's hosts cannot make is counted, and not another difference each time.
    if report.refused == 0 {
        third(known, module, report);
    }
    let often = innkeeper("innkeeper, collecting at every allocation", collecting, None);
    pair(known, &often, module, Strictness::Everything, report);
    let spacious = innkeeper("innkeeper, memories reserved", reserved, None);
    pair(known, &spacious, module, Strictness::Everything, report);
    let metered = innkeeper("innkeeper, metered", exact, Some(PLENTY));
    pair(known, &metered, module, Strictness::Meaning, report);
    let scarce = innkeeper("innkeeper, short of fuel", collecting, Some(SCARCE));
    let Some(observation) = observe(&scarce, module, report) else { return };
    let again = innkeeper("innkeeper, short of fuel, memories exact", exact, Some(SCARCE));
    pair((&scarce, &observation), &again, module, Strictness::Everything, report);
    for (name, tiers) in [
        ("innkeeper, short of fuel, compiled", Tiers::Compiled),
        ("innkeeper, short of fuel, tiering up at once", Tiers::Auto),
    ] {
        let mut oracle = innkeeper(name, reserved, Some(SCARCE));
        oracle.tiers = tiers;
        oracle.config.tuning.tier_up = TierUp::eager();
        pair((&scarce, &observation), &oracle, module, Strictness::Everything, report);
    }
}

/// A module of [`crate::extreme`] says of itself whether all is well; and the third engine is asked.
fn against_its_promise(known: Known<'_>, module: &Module, report: &mut Report) {
    let is_intact = |call: &&Call| call.name == extreme::INTACT;
    match known.1.calls.iter().find(is_intact).map(|call| &call.outcome) {
        Some(Outcome::Returned(values)) if values[..] == [Value::I32(0)] => {}
        Some(outcome) if is_beyond_limits(outcome) => report.inconclusive += 1,
        outcome => report.differences.push(format!("{} is not intact: {outcome:?}", known.0.name())),
    }
    let often = innkeeper("innkeeper, collecting at every allocation", collecting, None);
    pair(known, &often, module, Strictness::Everything, report);
    third(known, module, report);
}

fn exact(config: &mut Config) {
    config.tuning.memory_layout = MemoryLayout::Exact;
}

fn reserved(config: &mut Config) {
    config.tuning.memory_layout = MemoryLayout::Reserved;
}

fn collecting(config: &mut Config) {
    config.tuning.collection = Collection::EveryAllocation;
}

/// Compares the interpreter with machine code, on fuel that ends what changes have made endless.
fn check_mutant(module: &Module) -> Report {
    let mut report = Report { modules: 1, ..Report::default() };
    let oracle = |name, tiers, set: &dyn Fn(&mut Config)| {
        let mut oracle = innkeeper(name, set, Some(BOUNDED));
        oracle.config.limits.memory_bytes = Some(64 << 20);
        // The bits of NaNs show in memory.
        oracle.config.nan_bits = NanBits::Canonical;
        oracle.config.tuning.tier_up = TierUp::eager();
        (oracle.tiers, oracle.answers) = (tiers, Answers::Zero);
        oracle
    };
    let usual = oracle("innkeeper, bounded", Tiers::Interpreter, &reserved);
    let Some(first) = observe(&usual, module, &mut report) else { return report };
    report.refused = u64::from(matches!(first.instantiation, Outcome::Refused(_)));
    for other in [
        oracle("innkeeper, bounded, compiled", Tiers::Compiled, &reserved),
        oracle("innkeeper, bounded, tiering up at once, memories exact", Tiers::Auto, &exact),
    ] {
        pair((&usual, &first), &other, module, Strictness::Everything, &mut report);
    }
    report
}

/// Compares with the third engine.
#[cfg(feature = "wasmtime")]
fn third(known: Known<'_>, module: &Module, report: &mut Report) {
    thread_local! {
        static WASMTIME: Result<crate::WasmtimeOracle, String> = crate::WasmtimeOracle::new();
    }
    WASMTIME.with(|wasmtime| match wasmtime {
        Ok(wasmtime) => pair(known, wasmtime, module, Strictness::Meaning, report),
        Err(error) => report.differences.push(format!("wasmtime cannot be had: {error}")),
    });
}

#[cfg(not(feature = "wasmtime"))]
fn third(_: Known<'_>, _: &Module, _: &mut Report) {}

/// Two engines differ: the difference stands unless the third one sees what Innkeeper saw.
#[cfg(feature = "wasmtime")]
fn judge(known: Known<'_>, module: &Module, before: usize, report: &mut Report) {
    let mut judgement = Report::default();
    third(known, module, &mut judgement);
    if judgement.differences.is_empty() && judgement.inconclusive == 0 {
        report.differences.truncate(before);
        report.others += 1;
    }
    report.differences.append(&mut judgement.differences);
}

#[cfg(not(feature = "wasmtime"))]
fn judge(_: Known<'_>, _: &Module, _: usize, _: &mut Report) {}

fn innkeeper(name: &'static str, set: impl Fn(&mut Config), fuel: Option<u64>) -> InnkeeperOracle {
    let limits = Limits { guest_stack_bytes: 4 << 20, heap_bytes: 64 << 20, ..Limits::default() };
    let mut config = Config { limits, ..Config::default() };
    set(&mut config);
    InnkeeperOracle { name, config, tiers: Tiers::Interpreter, fuel, answers: Answers::Drawn }
}

/// Compares what was seen with what another oracle sees.
fn pair(
    (known, seen): Known<'_>,
    other: &dyn Oracle,
    module: &Module,
    strictness: Strictness,
    report: &mut Report,
) {
    let Some(observation) = observe(other, module, report) else { return };
    let comparison = compare(seen, &observation, strictness);
    report.calls += comparison.calls;
    report.inconclusive += u64::from(comparison.inconclusive);
    let misplaced =
        |text: String| format!("{} and {} place a trap differently in {text}", known.name(), other.name());
    report.misplaced.extend(comparison.misplaced.into_iter().map(misplaced));
    let named = |difference| format!("{} and {} differ in {difference}", known.name(), other.name());
    report.differences.extend(comparison.difference.map(named));
}

/// What the oracle sees; none where it panics, which is a finding.
fn observe(oracle: &dyn Oracle, module: &Module, report: &mut Report) -> Option<Observation> {
    let seen = catch_unwind(AssertUnwindSafe(|| oracle.observe(module)));
    if seen.is_err() {
        report.differences.push(format!("{} panics", oracle.name()));
    }
    seen.ok()
}
