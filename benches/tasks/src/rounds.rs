//! What is measured, written once: both engines' functions are called alike.

/// Defines the functions of [`crate::Host`] over functions `instance`, `func`, `call` and `call_nop`.
macro_rules! rounds {
    () => {
        fn guest(text: &str, numbers: fn(u32) -> [u32; 2]) -> Round {
            let (mut store, instance) = instance(text);
            let run = func(&mut store, &instance, "run");
            Box::new(move |times| block_on(call(&run, &mut store, numbers(times))))
        }

        fn nop() -> Round {
            let (mut store, instance) = instance(guest::CALLED);
            let nop = func(&mut store, &instance, "nop");
            Box::new(move |times| (0..times).for_each(|_| block_on(call_nop(&nop, &mut store))))
        }

        fn held(tasks: u32) -> usize {
            let (mut store, instance) = instance(&guest::waiting());
            let run = func(&mut store, &instance, "run");
            let before = resident();
            // It waits for ever, and once is as good as often.
            let mut running = std::pin::pin!(call(&run, &mut store, [tasks, 0]));
            crate::poll(running.as_mut(), 3);
            resident() - before
        }
    };
}
pub(crate) use rounds;
