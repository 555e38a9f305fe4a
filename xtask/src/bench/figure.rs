//! A measured figure, and how figures are shown.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

/// One thing that was measured, once or several times.
#[derive(Debug)]
pub(crate) struct Figure {
    name: &'static str,
    unit: &'static str,
    /// What it should stay under.
    aim: Option<f64>,
    /// In the order they were taken.
    values: Vec<f64>,
}

impl Figure {
    /// A figure of these values, of which there is at least one.
    pub(crate) fn new(name: &'static str, unit: &'static str, values: Vec<f64>) -> Figure {
        assert!(!values.is_empty(), "{name} was measured");
        Figure { name, unit, aim: None, values }
    }

    /// The same with an upper bound its median should stay under.
    pub(crate) fn under(self, aim: f64) -> Figure {
        Figure { aim: Some(aim), ..self }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The upper median: a value that was really measured.
    fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted[sorted.len() / 2]
    }

    fn range(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted[0], sorted[sorted.len() - 1])
    }

    fn is_missed(&self) -> bool {
        self.aim.is_some_and(|aim| self.median() >= aim)
    }
}

/// Figures as lines for people.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text =
        format!("{:<46} {:>10} {:>10} {:>10} {:<6} {:>5}  aim\n", "figure", "median", "min", "max", "unit", "times");
    for figure in figures {
        let (min, max) = figure.range();
        let aim = match (figure.aim, figure.is_missed()) {
            (None, _) => String::new(),
            (Some(aim), false) => format!("< {aim}"),
            (Some(aim), true) => format!("< {aim} MISSED"),
        };
        let line = format!(
            "{:<46} {:>10.1} {min:>10.1} {max:>10.1} {:<6} {:>5}  {aim}",
            figure.name,
            figure.median(),
            figure.unit,
            figure.values.len()
        );
        writeln!(text, "{}", line.trim_end()).expect("a string takes every line");
    }
    text
}

/// Figures as JSON, with every value.
pub(crate) fn json(figures: &[Figure]) -> Result<String> {
    let rows: Vec<_> = figures
        .iter()
        .map(|figure| {
            let (min, max) = figure.range();
            json!({
                "name": figure.name, "unit": figure.unit, "median": figure.median(), "min": min, "max": max,
                "aim": figure.aim, "missed": figure.is_missed(), "values": figure.values,
            })
        })
        .collect();
    Ok(serde_json::to_string_pretty(&rows)?)
}

/// Milliseconds since then.
pub(crate) fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// What this machine's disk takes to make one small write durable: no durable step can cost less.
pub(crate) fn fsync(runs: usize) -> Result<Figure> {
    let mut file = tempfile::tempfile()?;
    let mut values = Vec::with_capacity(runs);
    for _ in 0..runs {
        file.write_all(&[0; 4096])?;
        let began = Instant::now();
        file.sync_data()?;
        values.push(ms(began));
    }
    Ok(Figure::new("fsync of 4 KiB here", "ms", values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_median_is_a_measured_value_and_decides_the_aim() {
        let figures = [
            Figure::new("start", "ms", vec![300.0, 10.0, 20.0]).under(30.0),
            Figure::new("memory", "MiB", vec![41.0, 39.0]).under(40.0),
            Figure::new("size", "MiB", vec![7.0]),
        ];
        expect![[r#"
            figure                                             median        min        max unit   times  aim
            start                                                20.0       10.0      300.0 ms         3  < 30
            memory                                               41.0       39.0       41.0 MiB        2  < 40 MISSED
            size                                                  7.0        7.0        7.0 MiB        1
        "#]]
        .assert_eq(&table(&figures));
    }
}
