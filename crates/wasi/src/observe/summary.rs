//! A table of a guest's calls: how many, how many failed, how long they took, how many bytes they moved.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Cost;

/// Calls by function.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    functions: BTreeMap<String, Row>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    calls: u64,
    failed: u64,
    time: Duration,
    bytes: u64,
}

impl Summary {
    /// Counts a call.
    pub fn add(&mut self, function: &str, cost: Cost) {
        if !self.functions.contains_key(function) {
            self.functions.insert(function.to_owned(), Row::default());
        }
        let Some(row) = self.functions.get_mut(function) else { return };
        row.calls += 1;
        row.failed += u64::from(cost.failed);
        row.time += cost.time;
        row.bytes = row.bytes.saturating_add(cost.bytes);
    }
}

/// The functions that took longest come first.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<(&str, Row)> = self.functions.iter().map(|(name, row)| (&**name, *row)).collect();
        rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.time));
        let mut total = Row::default();
        for (_, row) in &rows {
            total.calls += row.calls;
            total.failed += row.failed;
            total.time += row.time;
            total.bytes = total.bytes.saturating_add(row.bytes);
        }
        rows.push(("all", total));
        writeln!(
            f,
            "{:>10} {:>8} {:>12} {:>10} {:>14}  function",
            "calls", "errors", "time (ms)", "each (us)", "bytes"
        )?;
        for (name, row) in rows {
            let milliseconds = row.time.as_secs_f64() * 1e3;
            let each = row.time.as_secs_f64() * 1e6 / (row.calls.max(1) as f64);
            writeln!(
                f,
                "{:>10} {:>8} {milliseconds:>12.3} {each:>10.3} {:>14}  {name}",
                row.calls, row.failed, row.bytes
            )?;
        }
        Ok(())
    }
}
