//! Numbers and how they are shown: a Markdown table with one program a row.

/// One program's results.
pub(crate) struct Row {
    pub(crate) name: String,
    /// The median over the rounds under `inn`.
    pub(crate) time_s: f64,
    /// The most memory under `inn`, as a median.
    pub(crate) peak_mb: f64,
    /// inn's time as a multiple of each peer's: the median of the rounds' ratios, where the peer ran.
    pub(crate) times: Vec<Option<f64>>,
    /// The same of the most memory.
    pub(crate) peaks: Vec<Option<f64>>,
}

impl Row {
    pub(crate) fn line(&self) -> String {
        let (times, peaks) = (cells(&self.times), cells(&self.peaks));
        format!("| {:<15} | {:>6.3} s |{times} {:>6.1} MB |{peaks}", self.name, self.time_s, self.peak_mb)
    }
}

pub(crate) fn heading(peers: &[&str]) -> String {
    let mut names = format!("| {:<15} | {:>8} |", "program", "inn");
    let mut rule = format!("|{:-<17}|{:->10}|", "", ":");
    for what in ["", "memory"] {
        if !what.is_empty() {
            names += &format!(" {what:>9} |");
            rule += &format!("{:->11}|", ":");
        }
        for peer in peers {
            names += &format!(" {:>12} |", format!("inn/{peer}"));
            rule += &format!("{:->14}|", ":");
        }
    }
    format!("{names}\n{rule}")
}

/// The last row: per peer the geometric mean over the programs that it ran.
pub(crate) fn means(rows: &[Row], peers: usize) -> String {
    let means = |of: fn(&Row) -> &[Option<f64>]| -> Vec<Option<f64>> {
        let ratios = |peer| rows.iter().filter_map(move |row| of(row).get(peer).copied().flatten());
        (0..peers).map(|peer| geometric_mean(ratios(peer))).collect()
    };
    let (times, peaks) = (cells(&means(|row| &row.times)), cells(&means(|row| &row.peaks)));
    format!("| {:<15} | {:>8} |{times} {:>9} |{peaks}", "geometric mean", "", "")
}

fn cells(ratios: &[Option<f64>]) -> String {
    let shown = ratios.iter().map(|ratio| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")));
    shown.map(|cell| format!(" {cell:>12} |")).collect()
}

fn geometric_mean(ratios: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = ratios.fold((0.0, 0_u32), |(sum, count), ratio| (sum + ratio.ln(), count + 1));
    (count > 0).then(|| (sum / f64::from(count)).exp())
}

/// Of an even number of values the mean of the middle two.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = *values.get((values.len() - 1) / 2)?;
    Some((lower + upper) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::{geometric_mean, median};

    #[test]
    fn medians_and_means() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert!(geometric_mean([0.5, 2.0].into_iter()).is_some_and(|mean| (mean - 1.0).abs() < 1e-12));
    }
}
