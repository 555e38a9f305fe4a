//! What is measured of an engine, and a repetition's worth of it.
//!
//! Deliberately absent: where the values come from. A column that an engine has no value for stays empty.

use std::collections::BTreeMap;

/// One figure of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Column {
    /// Tasks a second through the call for many.
    Bulk,
    /// Single tasks acknowledged a second, one caller.
    SingleC1,
    /// The same from eight callers at once.
    SingleC8,
    /// No-op tasks a second, from the first one's start until the store says that nothing is left.
    Drain,
    /// `SingleC1` divided by the raw rate of the same turn; so the next two.
    SingleC1Raw,
    SingleC8Raw,
    DrainRaw,
    /// Processor time of the worker for a drained task, in microseconds.
    WorkerCpu,
    /// The same of the PostgreSQL server: postmaster and all its children.
    ServerCpu,
    /// Both together.
    Cpu,
    /// Processor time of the server for a task of the bulk.
    BulkServerCpu,
    /// Milliseconds from before the enqueue call until the task's first line, at a fixed rate.
    P50,
    P95,
    P99,
    /// The most memory the worker held in the drain, in mebibytes.
    Rss,
}

/// A table: its columns in order.
pub(crate) type Layout = &'static [Column];

pub(crate) const THROUGHPUT: Layout = &[Column::Bulk, Column::SingleC1, Column::SingleC8, Column::Drain];
pub(crate) const COST: Layout = &[
    Column::SingleC1Raw,
    Column::SingleC8Raw,
    Column::DrainRaw,
    Column::WorkerCpu,
    Column::ServerCpu,
    Column::Cpu,
    Column::BulkServerCpu,
];
pub(crate) const LATENCY: Layout = &[Column::P50, Column::P95, Column::P99, Column::Rss];

impl Column {
    /// Heading of the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Column::Bulk => "bulk/s",
            Column::SingleC1 => "one c1/s",
            Column::SingleC8 => "one c8/s",
            Column::Drain => "drain/s",
            Column::SingleC1Raw => "c1 ÷ raw",
            Column::SingleC8Raw => "c8 ÷ raw",
            Column::DrainRaw => "drain ÷ raw",
            Column::WorkerCpu => "worker µs/task",
            Column::ServerCpu => "server µs/task",
            Column::Cpu => "sum µs/task",
            Column::BulkServerCpu => "bulk: server µs/task",
            Column::P50 => "p50 ms",
            Column::P95 => "p95 ms",
            Column::P99 => "p99 ms",
            Column::Rss => "worker MiB",
        }
    }

    /// Name in JSON.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Column::Bulk => "bulk_per_s",
            Column::SingleC1 => "single_c1_per_s",
            Column::SingleC8 => "single_c8_per_s",
            Column::Drain => "drain_per_s",
            Column::SingleC1Raw => "single_c1_by_raw",
            Column::SingleC8Raw => "single_c8_by_raw",
            Column::DrainRaw => "drain_by_raw",
            Column::WorkerCpu => "drain_worker_cpu_us_per_task",
            Column::ServerCpu => "drain_server_cpu_us_per_task",
            Column::Cpu => "drain_cpu_us_per_task",
            Column::BulkServerCpu => "bulk_server_cpu_us_per_task",
            Column::P50 => "start_latency_p50_ms",
            Column::P95 => "start_latency_p95_ms",
            Column::P99 => "start_latency_p99_ms",
            Column::Rss => "worker_rss_max_mib",
        }
    }

    /// Digits behind the point.
    pub(crate) fn digits(self) -> usize {
        match self {
            Column::SingleC1Raw | Column::SingleC8Raw | Column::DrainRaw => 2,
            Column::WorkerCpu | Column::ServerCpu | Column::Cpu | Column::BulkServerCpu => 1,
            Column::P50 | Column::P95 | Column::P99 | Column::Rss => 1,
            Column::Bulk | Column::SingleC1 | Column::SingleC8 | Column::Drain => 0,
        }
    }
}

/// What one repetition gave for one engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sample(BTreeMap<Column, f64>);

impl Sample {
    pub(crate) fn put(&mut self, column: Column, value: f64) {
        self.0.insert(column, value);
    }

    pub(crate) fn get(&self, column: Column) -> Option<f64> {
        self.0.get(&column).copied()
    }

    /// Fills in what follows from the other values and from the raw rates of the same turn.
    pub(crate) fn derive(&mut self, raw: &Sample) {
        let pairs = [
            (Column::SingleC1Raw, Column::SingleC1, Column::SingleC1),
            // SQLite has one writer, so its raw rate is one caller's however many there are.
            (Column::SingleC8Raw, Column::SingleC8, raw.first_of(&[Column::SingleC8, Column::SingleC1])),
            (Column::DrainRaw, Column::Drain, Column::Drain),
        ];
        for (into, ours, theirs) in pairs {
            if let (Some(ours), Some(theirs)) = (self.get(ours), raw.get(theirs)) {
                self.put(into, ours / theirs);
            }
        }
        if let Some(worker) = self.get(Column::WorkerCpu) {
            self.put(Column::Cpu, worker + self.get(Column::ServerCpu).unwrap_or(0.0));
        }
    }

    /// The first of these that has a value, else the last.
    fn first_of(&self, columns: &[Column; 2]) -> Column {
        if self.get(columns[0]).is_some() { columns[0] } else { columns[1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(values: &[(Column, f64)]) -> Sample {
        Sample(values.iter().copied().collect())
    }

    #[test]
    fn ratios_are_to_the_raw_rate_of_the_same_kind() {
        let raw = sample(&[(Column::SingleC1, 100.0), (Column::SingleC8, 400.0), (Column::Drain, 1000.0)]);
        let mut ours = sample(&[
            (Column::SingleC1, 50.0),
            (Column::SingleC8, 100.0),
            (Column::Drain, 500.0),
            (Column::WorkerCpu, 3.0),
            (Column::ServerCpu, 4.0),
        ]);
        ours.derive(&raw);
        let derived = [Column::SingleC1Raw, Column::SingleC8Raw, Column::DrainRaw, Column::Cpu];
        assert_eq!(derived.map(|column| ours.get(column)), [Some(0.5), Some(0.25), Some(0.5), Some(7.0)]);
    }

    #[test]
    fn where_there_is_one_writer_eight_callers_are_compared_with_it() {
        let raw = sample(&[(Column::SingleC1, 100.0)]);
        let mut ours = sample(&[(Column::SingleC8, 300.0)]);
        ours.derive(&raw);
        assert_eq!(ours, sample(&[(Column::SingleC8, 300.0), (Column::SingleC8Raw, 3.0)]));
    }
}
