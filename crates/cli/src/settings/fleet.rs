//! Settings of queues and workers: names and defaults of the runbooks, one range each, flag over environment over file.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use anyhow::anyhow;
use clap::{CommandFactory as _, Parser as _};
use mb_core::id::TenantId;
use mb_core::queue::{Bounds, Priority};
use mb_core::task::QueueClass;
use mb_engine::EngineOptions;
use serde::Deserialize;

use crate::args::{FleetArgs, QueueArgs};
use crate::exit::{Exit, Failure};

/// Tasks of one class at once in one process.
pub(crate) const SLOTS_MAX: u64 = 256;
/// Tasks at once in one process.
pub(crate) const RUNNING_MAX: u64 = 1_024;
/// Tasks that may wait.
pub(crate) const QUEUE_SIZE_MAX: u64 = 10_000_000;
/// Shares of a tenant.
const WEIGHT_MAX: u32 = 1_000;
/// Shortest and longest time.
pub(crate) type Range = (Duration, Duration);
pub(crate) const POLL: Range = (Duration::from_millis(10), Duration::from_secs(60));
pub(crate) const TASK_TIMEOUT: Range = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
pub(crate) const LEASE: Range = (Duration::from_secs(2), Duration::from_secs(10 * 60));
pub(crate) const RETENTION: Range = (Duration::from_secs(1), Duration::from_secs(366 * 24 * 60 * 60));

/// What the settings file may say about queues and workers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct FleetFile {
    cpu_workers: Option<u64>,
    io_workers: Option<u64>,
    llm_workers: Option<u64>,
    max_tasks_per_worker: Option<u64>,
    poll_every: Option<String>,
    task_timeout: Option<String>,
    lease: Option<String>,
    cpu_queue_size: Option<u64>,
    io_queue_size: Option<u64>,
    llm_queue_size: Option<u64>,
    high_priority_queue_size: Option<u64>,
    normal_priority_queue_size: Option<u64>,
    low_priority_queue_size: Option<u64>,
    task_retention: Option<String>,
    tenant_weights: BTreeMap<TenantId, u32>,
}

/// Queues and workers as they are set.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    /// Tasks at once by class.
    pub(crate) slots: BTreeMap<QueueClass, usize>,
    /// Tasks at once over all classes.
    pub(crate) running_max: usize,
    /// How often workers look when nothing hints at work.
    pub(crate) poll: Duration,
    /// Longest time of one try.
    pub(crate) task_timeout: Duration,
    /// How long a claim holds without a heartbeat.
    pub(crate) lease: Duration,
    /// Bounds and retention.
    pub(crate) engine: EngineOptions,
    /// Shares of tenants.
    pub(crate) weights: BTreeMap<TenantId, u32>,
}

/// A tenant's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Weight(TenantId, u32);

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Weight, String> {
        let wrong = || format!("give TENANT=N, N from 1 to {WEIGHT_MAX}");
        let (tenant, n) = text.split_once('=').ok_or_else(wrong)?;
        let n = n.parse().ok().filter(|n| (1..=WEIGHT_MAX).contains(n)).ok_or_else(wrong)?;
        Ok(Weight(tenant.parse().map_err(|error: mb_core::id::BadId| error.to_string())?, n))
    }
}

/// A time: a number with ms, s, m, h or d, within a range.
pub(crate) fn span(text: &str, (min, max): Range) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("give a number with ms, s, m, h or d, such as 15s".to_owned()),
    };
    let number: u64 =
        text[..digits].parse().map_err(|_| "give a number with ms, s, m, h or d, such as 15s".to_owned())?;
    let time = Duration::from_millis(number.saturating_mul(unit_ms));
    if time < min || time > max {
        return Err(format!("must be from {} to {}", written(min), written(max)));
    }
    Ok(time)
}

/// A time as one writes it in a setting.
pub(crate) fn written(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fitting = units.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    fitting.map_or_else(|| format!("{ms}ms"), |(unit, word)| format!("{}{word}", ms / unit))
}

/// What is wrong with a variable. The parser speaks of a flag, which the command at hand does not have.
fn of_variable(error: &clap::Error) -> String {
    let said = error.to_string();
    let first = said.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let command = FromEnvironment::command();
    let is_meant = |arg: &&clap::Arg| arg.get_long().is_some_and(|long| said.contains(&format!("'--{long} ")));
    let name = command.get_arguments().find(is_meant).and_then(|arg| arg.get_env());
    name.map_or_else(|| first.clone(), |name| format!("the variable {}: {first}", name.to_string_lossy()))
}

#[derive(clap::Parser)]
struct FromEnvironment {
    #[command(flatten)]
    fleet: FleetArgs,
}

/// What the environment says, for commands that have no flags for it.
pub(crate) fn environment() -> Result<FleetArgs, Failure> {
    let parsed = FromEnvironment::try_parse_from(["mb"]);
    parsed.map(|parsed| parsed.fleet).map_err(|error| Failure::new(Exit::Usage, anyhow!("{}", of_variable(&error))))
}

/// Puts the file below flags and environment, and the defaults below both.
pub(crate) fn resolve(flags: &FleetArgs, slots: Option<usize>, file: &super::Settings) -> Result<Fleet, Failure> {
    let fleet = &file.fleet;
    let slots_of = |flag: Option<u64>, key, file, default| {
        flag.map_or_else(|| number(key, file, SLOTS_MAX, default), Ok).map(|n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    let cpu = match slots {
        Some(slots) => slots,
        None if flags.cpu_workers.is_none() && file.slots.is_some() => {
            slots_of(None, "slots", file.slots.map(|n| n as u64), 0)?
        }
        None => slots_of(flags.cpu_workers, "cpu_workers", fleet.cpu_workers, 10)?,
    };
    let io = slots_of(flags.io_workers, "io_workers", fleet.io_workers, 20)?;
    let llm = slots_of(flags.llm_workers, "llm_workers", fleet.llm_workers, 5)?;
    let running = flags.max_tasks_per_worker;
    let running =
        running.map_or_else(|| number("max_tasks_per_worker", fleet.max_tasks_per_worker, RUNNING_MAX, 10), Ok)?;
    let time = |flag: Option<Duration>, key, file: &Option<String>, range, default| match (flag, file) {
        (Some(time), _) => Ok(time),
        (None, Some(text)) => span(text, range).map_err(|error| wrong(key, &error)),
        (None, None) => Ok(default),
    };
    let weights = fleet.tenant_weights.iter().map(|(&tenant, &n)| (tenant, n));
    if let Some((tenant, _)) = weights.clone().find(|(_, n)| !(1..=WEIGHT_MAX).contains(n)) {
        return Err(wrong("tenant_weights", &format!("{tenant} must be 1 to {WEIGHT_MAX}")));
    }
    let task_retention = time(
        flags.queue.task_retention,
        "task_retention",
        &fleet.task_retention,
        RETENTION,
        EngineOptions::default().task_retention,
    )?;
    Ok(Fleet {
        slots: [(QueueClass::Cpu, cpu), (QueueClass::Io, io), (QueueClass::Llm, llm)].into(),
        running_max: usize::try_from(running).unwrap_or(usize::MAX),
        poll: time(flags.poll_every, "poll_every", &fleet.poll_every, POLL, Duration::from_secs(3))?,
        task_timeout: time(
            flags.task_timeout,
            "task_timeout",
            &fleet.task_timeout,
            TASK_TIMEOUT,
            Duration::from_secs(15),
        )?,
        lease: time(flags.lease, "lease", &fleet.lease, LEASE, Duration::from_secs(10))?,
        engine: EngineOptions { bounds: bounds(&flags.queue, fleet)?, task_retention },
        weights: weights.chain(flags.queue.tenant_weight.iter().map(|weight| (weight.0, weight.1))).collect(),
    })
}

fn bounds(flags: &QueueArgs, file: &FleetFile) -> Result<Bounds, Failure> {
    let mut bounds = Bounds::usual();
    for (class, key, flag, file) in [
        (QueueClass::Cpu, "cpu_queue_size", flags.cpu_queue_size, file.cpu_queue_size),
        (QueueClass::Io, "io_queue_size", flags.io_queue_size, file.io_queue_size),
        (QueueClass::Llm, "llm_queue_size", flags.llm_queue_size, file.llm_queue_size),
    ] {
        let bound = bounds.class.entry(class).or_default();
        *bound = flag.map_or_else(|| number(key, file, QUEUE_SIZE_MAX, *bound), Ok)?;
    }
    for (priority, key, flag, file) in [
        (Priority::High, "high_priority_queue_size", flags.high_priority_queue_size, file.high_priority_queue_size),
        (
            Priority::Normal,
            "normal_priority_queue_size",
            flags.normal_priority_queue_size,
            file.normal_priority_queue_size,
        ),
        (Priority::Low, "low_priority_queue_size", flags.low_priority_queue_size, file.low_priority_queue_size),
    ] {
        let bound = bounds.priority.entry(priority).or_default();
        *bound = flag.map_or_else(|| number(key, file, QUEUE_SIZE_MAX, *bound), Ok)?;
    }
    Ok(bounds)
}

fn number(key: &str, file: Option<u64>, max: u64, default: u64) -> Result<u64, Failure> {
    match file {
        None => Ok(default),
        Some(n) if (1..=max).contains(&n) => Ok(n),
        Some(n) => Err(wrong(key, &format!("{n} is not in 1..={max}"))),
    }
}

fn wrong(key: &str, why: &str) -> Failure {
    Failure::new(Exit::Usage, anyhow!("the settings file: {key}: {why}")).mend("mb config server")
}

/// Every setting as `mb config server` shows it: key, variable, value of the file, and what is in force.
pub(super) fn rows(fleet: &Fleet, file: &FleetFile) -> Vec<(&'static str, &'static str, Option<String>, String)> {
    let number = |n: &Option<u64>| n.map(|n| n.to_string());
    let slots = |class| fleet.slots[&class].to_string();
    let (class, priority) = (&fleet.engine.bounds.class, &fleet.engine.bounds.priority);
    let weights = fleet.weights.iter().map(|(tenant, n)| format!("{tenant}={n}")).collect::<Vec<_>>().join(",");
    let of_file = |weights: &BTreeMap<_, _>| (!weights.is_empty()).then(|| format!("{} tenants", weights.len()));
    vec![
        ("cpu_workers", "META_V4_CPU_WORKERS", number(&file.cpu_workers), slots(QueueClass::Cpu)),
        ("io_workers", "META_V4_IO_WORKERS", number(&file.io_workers), slots(QueueClass::Io)),
        ("llm_workers", "META_V4_LLM_WORKERS", number(&file.llm_workers), slots(QueueClass::Llm)),
        (
            "max_tasks_per_worker",
            "META_V4_MAX_TASKS_PER_WORKER",
            number(&file.max_tasks_per_worker),
            fleet.running_max.to_string(),
        ),
        ("poll_every", "WORKER_POLL_EVERY", file.poll_every.clone(), written(fleet.poll)),
        ("task_timeout", "WORKER_TASK_TIMEOUT", file.task_timeout.clone(), written(fleet.task_timeout)),
        ("lease", "MB_LEASE", file.lease.clone(), written(fleet.lease)),
        ("cpu_queue_size", "META_V4_CPU_QUEUE_SIZE", number(&file.cpu_queue_size), class[&QueueClass::Cpu].to_string()),
        ("io_queue_size", "META_V4_IO_QUEUE_SIZE", number(&file.io_queue_size), class[&QueueClass::Io].to_string()),
        ("llm_queue_size", "META_V4_LLM_QUEUE_SIZE", number(&file.llm_queue_size), class[&QueueClass::Llm].to_string()),
        (
            "high_priority_queue_size",
            "META_V4_HIGH_PRIORITY_QUEUE_SIZE",
            number(&file.high_priority_queue_size),
            priority[&Priority::High].to_string(),
        ),
        (
            "normal_priority_queue_size",
            "META_V4_NORMAL_PRIORITY_QUEUE_SIZE",
            number(&file.normal_priority_queue_size),
            priority[&Priority::Normal].to_string(),
        ),
        (
            "low_priority_queue_size",
            "META_V4_LOW_PRIORITY_QUEUE_SIZE",
            number(&file.low_priority_queue_size),
            priority[&Priority::Low].to_string(),
        ),
        ("task_retention", "MB_TASK_RETENTION", file.task_retention.clone(), written(fleet.engine.task_retention)),
        (
            "tenant_weights",
            "MB_TENANT_WEIGHTS",
            of_file(&file.tenant_weights),
            if weights.is_empty() { "1 each".into() } else { weights },
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_a_range() {
        assert_eq!(span("15s", TASK_TIMEOUT), Ok(Duration::from_secs(15)));
        assert_eq!(span("60s", POLL), Ok(Duration::from_secs(60)));
        for (text, range, says) in [
            ("61s", POLL, "must be from 10ms to 1m"),
            ("9ms", POLL, "must be from 10ms to 1m"),
            ("0s", LEASE, "must be from 2s to 10m"),
            ("15", POLL, "give a number"),
            ("s", POLL, "give a number"),
            ("-1s", POLL, "give a number"),
            ("99999999999999999999d", POLL, "give a number"),
        ] {
            let error = span(text, range).unwrap_err();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }

    #[test]
    fn the_file_is_below_the_flags_and_a_bad_number_names_its_key() {
        let file: super::super::Settings =
            toml::from_str("slots = 3\nio_workers = 7\ncpu_queue_size = 9\nlease = \"5s\"").unwrap();
        let flags = FleetArgs { io_workers: Some(8), ..FleetArgs::default() };
        let fleet = resolve(&flags, None, &file).unwrap();
        let slots: Vec<usize> = fleet.slots.values().copied().collect();
        assert_eq!(slots, [3, 8, 5]);
        assert_eq!((fleet.engine.bounds.class[&QueueClass::Cpu], fleet.lease), (9, Duration::from_secs(5)));
        let flags = FleetArgs { cpu_workers: Some(4), ..FleetArgs::default() };
        assert_eq!(
            resolve(&flags, None, &file).unwrap().slots[&QueueClass::Cpu],
            4,
            "a flag wins over slots in the file"
        );
        for (text, says) in [
            ("io_workers = 0", "io_workers: 0 is not in 1..=256"),
            ("slots = 0", "slots: 0 is not in 1..=256"),
            ("lease = \"1s\"", "lease: must be from 2s to 10m"),
            ("low_priority_queue_size = 0", "low_priority_queue_size: 0 is not in"),
        ] {
            let file: super::super::Settings = toml::from_str(text).unwrap();
            let error = resolve(&FleetArgs::default(), None, &file).unwrap_err();
            assert!(error.error.to_string().contains(says), "{text}: {}", error.error);
        }
    }
}
