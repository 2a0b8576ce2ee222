//! What is measured, written once: both engines' functions are called alike.

/// Defines the functions of [`crate::Host`] over a function `instance`.
macro_rules! rounds {
    () => {
        fn guest(text: &str, numbers: fn(u32) -> [u32; 2]) -> Round {
            let (mut store, instance) = instance(text);
            let run = instance.get_typed_func::<(u32, u32), ()>(&mut store, "run").unwrap();
            Box::new(move |times| {
                let [n, m] = numbers(times);
                block_on(run.call_async(&mut store, (n, m))).unwrap();
            })
        }

        fn nop() -> Round {
            let (mut store, instance) = instance(guest::CALLED);
            let nop = instance.get_typed_func::<(), ()>(&mut store, "nop").unwrap();
            Box::new(move |times| (0..times).for_each(|_| block_on(nop.call_async(&mut store, ())).unwrap()))
        }

        fn held(tasks: u32) -> usize {
            let (mut store, instance) = instance(&guest::waiting());
            let run = instance.get_typed_func::<(u32, u32), ()>(&mut store, "run").unwrap();
            let mut kept = 0;
            poll(
                async {
                    let before = resident();
                    let mut running = std::pin::pin!(run.call_async(&mut store, (tasks, 0)));
                    std::future::poll_fn(|context| {
                        let _ = running.as_mut().poll(context);
                        kept = resident() - before;
                        std::task::Poll::<()>::Pending
                    })
                    .await;
                },
                3,
            );
            kept
        }
    };
}
pub(crate) use rounds;
