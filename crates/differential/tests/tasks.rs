//! Guests do with tasks, streams, futures, sets and cancellations what a model foresees that is written after the component model's definitions.

use innkeeper_differential::tasks::{Script, Tasks};

#[test]
fn scripts_come_out_as_the_model_foresees() {
    let tasks = Tasks::new();
    let (mut steps, mut blocked, mut traps) = (0, 0, 0);
    for seed in 0..300 {
        let script = Script::from_seed(seed);
        tasks.run(&script).unwrap_or_else(|difference| panic!("seed {seed}: {difference}"));
        steps += script.len();
        blocked += script.blocked();
        traps += usize::from(script.traps());
    }
    // They come far, often have to wait, and some trap.
    assert!(steps > 300 * 40, "{steps}");
    assert!(blocked * 50 > steps, "{blocked} of {steps}");
    assert!((10..290).contains(&traps), "{traps}");
}

/// Tasks that are cancelled, woken and forgotten at random leave nothing in the store.
#[test]
fn c85_many_tasks_with_random_cancellation_leave_nothing() {
    let mut first = [None; 2];
    Tasks::new()
        .soak(4_000, 1, |tier, held| {
            if held.tasks >= 1_000 {
                let first = *first[tier].get_or_insert(held.budget_bytes);
                assert!(held.budget_bytes <= first, "{held:?}, where {first} were in use");
            }
        })
        .unwrap();
}
