//! A component's interface in WIT.
//!
//! Must stay true: what WIT cannot say, or what prints it cannot, is said to be so, and the rest of the inspection is printed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static IS_PRINTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is printing WIT: a panic then is no news but that it cannot be printed.
pub(crate) fn is_printing() -> bool {
    IS_PRINTING.get()
}

/// The interface, or why there is none.
pub(super) fn wit(component: &[u8]) -> Result<String, String> {
    IS_PRINTING.set(true);
    // The printer stops at some valid components by panicking. It has nothing that is used afterwards.
    let printed = catch_unwind(AssertUnwindSafe(|| print(component)));
    IS_PRINTING.set(false);
    printed.unwrap_or_else(|_| Err(String::from("it has something that the printer of WIT does not know")))
}

fn print(component: &[u8]) -> Result<String, String> {
    let reason = |error: &dyn std::fmt::Display| format!("it has something that WIT cannot say ({error})");
    let decoded = wit_component::decode(component).map_err(|error| reason(&error))?;
    let mut printer = wit_component::WitPrinter::default();
    let (resolve, package) = (decoded.resolve(), decoded.package());
    let others: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != package).collect();
    printer.print(resolve, package, &others).map_err(|error| reason(&error))?;
    Ok(printer.output.to_string())
}
