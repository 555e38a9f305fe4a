//! The measured engines side by side: tables for people, which are Markdown as well, and JSON with every value.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::column::{COST, Column, LATENCY, Layout, Sample, THROUGHPUT};
use super::store::StoreKind;

/// An engine, or the raw rates, with what every repetition gave.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) store: StoreKind,
    /// Whether finished tasks can still be seen; unknown for what is no engine.
    pub(crate) history: Option<bool>,
    pub(crate) samples: Vec<Sample>,
    /// Of repetitions that failed.
    pub(crate) errors: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: &str, store: StoreKind, history: Option<bool>) -> Row {
        Row { name: name.to_owned(), store, history, samples: Vec::new(), errors: Vec::new() }
    }

    /// A turn, beside the raw rates right before it.
    pub(crate) fn add(&mut self, result: Result<Sample>, raw: &Sample) {
        match result {
            Ok(mut sample) => {
                sample.derive(raw);
                self.samples.push(sample);
            }
            Err(error) => self.errors.push(format!("{error:#}")),
        }
    }

    /// Every value of a column, lowest first.
    fn sorted(&self, column: Column) -> Vec<f64> {
        let mut values: Vec<f64> = self.samples.iter().filter_map(|sample| sample.get(column)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The upper median: a value that was really measured. With several values their range behind it.
    fn cell(&self, column: Column, with_range: bool) -> String {
        let values = self.sorted(column);
        let Some(median) = values.get(values.len() / 2) else { return "–".to_owned() };
        let shown = |value: f64| grouped(value, column.digits());
        if !with_range || values.len() == 1 {
            return shown(*median);
        }
        format!("{} ({}–{})", shown(*median), shown(values[0]), shown(values[values.len() - 1]))
    }
}

/// All tables, store by store.
pub(crate) fn text(rows: &[Row]) -> String {
    let stores = [StoreKind::Postgres, StoreKind::Sqlite];
    stores
        .into_iter()
        .filter(|kind| rows.iter().any(|row| row.store == *kind))
        .map(|kind| of_store(kind, rows))
        .collect()
}

fn of_store(store: StoreKind, rows: &[Row]) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.store == store).collect();
    let mut text = format!("## {}\n\n", store.title());
    for (layout, with_range) in [(THROUGHPUT, true), (COST, false), (LATENCY, true)] {
        let lines = cells(&rows, layout, with_range);
        if lines.len() > 1 {
            text += &aligned(&lines);
            text.push('\n');
        }
    }
    for row in &rows {
        for error in &row.errors {
            writeln!(text, "{}: a repetition failed: {error}\n", row.name).expect("a string takes every line");
        }
    }
    text
}

/// The machine's load over the whole measurement, as a sentence.
pub(crate) fn loads(loads: &[f64]) -> String {
    let most = loads.iter().copied().fold(0.0, f64::max);
    let least = loads.iter().copied().fold(most, f64::min);
    format!("Load of the machine {least:.1} to {most:.1}.")
}

/// Heading first. Engines without a value in this table are left out of it.
fn cells(rows: &[&Row], layout: Layout, with_range: bool) -> Vec<Vec<String>> {
    let heading = ["engine".to_owned(), "history".to_owned()].into_iter();
    let mut lines = vec![heading.chain(layout.iter().map(|column| column.label().to_owned())).collect::<Vec<_>>()];
    for row in rows.iter().filter(|row| layout.iter().any(|column| !row.sorted(*column).is_empty())) {
        let history = row.history.map_or("–", |kept| if kept { "kept" } else { "no" });
        let start = [row.name.clone(), history.to_owned()].into_iter();
        lines.push(start.chain(layout.iter().map(|column| row.cell(*column, with_range))).collect());
    }
    lines
}

/// A Markdown table whose columns stand one below the other in a terminal too.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0).max(3);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        for (at, cell) in line.iter().enumerate() {
            let pad = " ".repeat(widths[at] - cell.chars().count());
            text += &if at < 2 { format!("| {cell}{pad} ") } else { format!("| {pad}{cell} ") };
        }
        text += "|\n";
        if number == 0 {
            let rule = |(at, width): (usize, &usize)| {
                if at < 2 { format!("|{}", "-".repeat(width + 2)) } else { format!("|{}:", "-".repeat(width + 1)) }
            };
            text += &widths.iter().enumerate().map(rule).collect::<String>();
            text += "|\n";
        }
    }
    text
}

/// With a comma between thousands.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

/// Every value, in the order of repetitions.
pub(crate) fn json(rows: &[Row]) -> Value {
    let columns = [THROUGHPUT, COST, LATENCY].concat();
    let engine = |row: &Row| {
        let mut figures = serde_json::Map::new();
        for column in &columns {
            let sorted = row.sorted(*column);
            if let Some(median) = sorted.get(sorted.len() / 2) {
                let values: Vec<f64> = row.samples.iter().filter_map(|sample| sample.get(*column)).collect();
                figures.insert(column.key().to_owned(), json!({"median": median, "values": values}));
            }
        }
        json!({
            "engine": row.name, "store": row.store.word(), "history": row.history, "figures": figures,
            "errors": row.errors,
        })
    };
    rows.iter().map(engine).collect()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn row(name: &str, history: Option<bool>, drains: &[f64]) -> Row {
        let mut row = Row::new(name, StoreKind::Postgres, history);
        for drain in drains {
            let mut sample = Sample::default();
            sample.put(Column::Drain, *drain);
            row.add(Ok(sample), &Sample::default());
        }
        row
    }

    #[test]
    fn a_table_has_medians_with_their_range() {
        let mut broken = row("broken", Some(true), &[]);
        broken.add(Err(anyhow::anyhow!("no node").context("it did not start")), &Sample::default());
        let rows = [row("raw", None, &[40_000.4]), row("peer", Some(false), &[900.0, 1_200.0, 1_000.0]), broken];
        expect![[r"
            ## PostgreSQL

            | engine | history | bulk/s | one c1/s | one c8/s |           drain/s |
            |--------|---------|-------:|---------:|---------:|------------------:|
            | raw    | –       |      – |        – |        – |            40,000 |
            | peer   | no      |      – |        – |        – | 1,000 (900–1,200) |

            broken: a repetition failed: it did not start: no node

        "]]
        .assert_eq(&text(&rows));
        assert_eq!(loads(&[2.0, 1.25, 4.0]), "Load of the machine 1.2 to 4.0.");
    }

    #[test]
    fn json_has_every_value_in_the_order_it_was_taken() {
        let rows = [row("peer", Some(true), &[900.0, 1_200.0, 1_000.0])];
        expect![[
            r#"[{"engine":"peer","errors":[],"figures":{"drain_per_s":{"median":1000.0,"values":[900.0,1200.0,1000.0]}},"history":true,"store":"postgres"}]"#
        ]]
        .assert_eq(&json(&rows).to_string());
    }

    #[test]
    fn thousands_are_grouped() {
        let shown = [0.0, 12.34, 999.0, 1_000.0, 123_456.7, 1_234_567.0].map(|value| grouped(value, 1));
        assert_eq!(shown, ["0.0", "12.3", "999.0", "1,000.0", "123,456.7", "1,234,567.0"]);
    }
}
