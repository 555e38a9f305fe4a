//! Which processes belong to a command, read from `/proc`.
//!
//! A process belongs when it descends from the command, shares its session, was seen to belong before, or carries the
//! command's mark in its environment. The last finds daemons that left the session and lost their parent. Where
//! there is a PID namespace or a control group the kernel knows better, and this is only the second look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Name of the environment variable that marks the processes of a command.
pub(crate) const MARK: &str = "MB_JOB";

/// Linux counts in hundredths of a second towards user space, whatever the kernel's own clock.
const MILLIS_PER_TICK: u64 = 10;

/// One line of `/proc/PID/stat`, the parts needed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    session: i32,
    threads: u64,
    /// Processor time of it and of the children it waited for, in clock ticks.
    ticks: u64,
    /// Start time in clock ticks since boot: with the pid it names a process for good.
    started: u64,
    zombie: bool,
}

/// The processes of one command.
#[derive(Debug)]
pub(crate) struct Tree {
    root: i32,
    mark: String,
    known: BTreeMap<i32, u64>,
    strangers: BTreeMap<i32, u64>,
}

/// What the processes use together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// Processes and threads.
    pub(crate) threads: u64,
    /// Resident memory that is not shared with files or others, in bytes.
    pub(crate) memory_bytes: u64,
    /// Processor time of those that are there and of those they waited for.
    pub(crate) cpu: Duration,
}

impl Tree {
    /// The tree below `root`, whose environment has `MB_JOB=mark`.
    pub(crate) fn new(root: i32, mark: &str) -> Tree {
        let mark = format!("{MARK}={mark}");
        Tree { root, mark, known: BTreeMap::new(), strangers: BTreeMap::new() }
    }

    /// The pids that belong now, the root included; zombies are left out.
    pub(crate) fn members(&mut self) -> Vec<i32> {
        self.stats().into_iter().map(|stat| stat.pid).collect()
    }

    /// What they use now.
    pub(crate) fn usage(&mut self) -> Usage {
        let stats = self.stats();
        let threads = stats.iter().map(|stat| stat.threads).sum();
        let ticks: u64 = stats.iter().map(|stat| stat.ticks).sum();
        let cpu = Duration::from_millis(ticks * MILLIS_PER_TICK);
        Usage { threads, memory_bytes: stats.iter().map(|stat| private_bytes(stat.pid)).sum(), cpu }
    }

    /// Sends a signal to every member but those in `spare`. Returns how many got it.
    pub(crate) fn signal(&mut self, signal: Signal, spare: &[i32]) -> usize {
        let targets = self.members().into_iter().filter(|pid| !spare.contains(pid));
        targets.filter(|pid| kill(Pid::from_raw(*pid), signal).is_ok()).count()
    }

    fn stats(&mut self) -> Vec<Stat> {
        let all = all();
        let mut inside: BTreeSet<i32> = BTreeSet::new();
        // A pass adds at least one process or is the last, so there are at most as many as processes.
        for _ in 0..=all.len() {
            let before = inside.len();
            for stat in &all {
                if !inside.contains(&stat.pid) && (inside.contains(&stat.parent) || self.belongs(stat)) {
                    inside.insert(stat.pid);
                }
            }
            if inside.len() == before {
                break;
            }
        }
        let stats: Vec<Stat> = all.into_iter().filter(|stat| inside.contains(&stat.pid) && !stat.zombie).collect();
        self.known = stats.iter().map(|stat| (stat.pid, stat.started)).collect();
        stats
    }

    fn belongs(&mut self, stat: &Stat) -> bool {
        if stat.pid == self.root || stat.session == self.root || self.known.get(&stat.pid) == Some(&stat.started) {
            return true;
        }
        if self.strangers.get(&stat.pid) == Some(&stat.started) {
            return false;
        }
        let environment = fs::read(format!("/proc/{}/environ", stat.pid)).unwrap_or_default();
        let marked = environment.split(|byte| *byte == 0).any(|variable| variable == self.mark.as_bytes());
        if !marked {
            self.strangers.insert(stat.pid, stat.started);
        }
        marked
    }
}

/// Processes and threads a user has now, on the whole machine.
pub(crate) fn threads_of(user: u32) -> u64 {
    let theirs = |stat: &Stat| fs::metadata(format!("/proc/{}", stat.pid)).is_ok_and(|meta| meta.uid() == user);
    all().iter().filter(|stat| theirs(stat)).map(|stat| stat.threads).sum()
}

fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect()
}

/// The second field is the program's name in parentheses and may contain anything, so fields count from the last one.
fn parse(text: &str) -> Option<Stat> {
    let (pid, _) = text.split_once(' ')?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_ascii_whitespace().collect();
    Some(Stat {
        pid: pid.parse().ok()?,
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        ticks: fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum(),
        threads: fields.get(17)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}

/// Resident pages minus those shared with files and shared memory.
fn private_bytes(pid: i32) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let mut pages = text.split_ascii_whitespace().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
    resident.saturating_sub(shared) * PAGE_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b (c) S 7 42 40 0 -1 0 0 0 0 0 1 2 3 4 20 0 3 0 999 1000 5";
        let expected = Stat { pid: 42, parent: 7, session: 40, threads: 3, ticks: 10, started: 999, zombie: false };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("garbage"), None);
    }

    #[test]
    fn this_process_belongs_to_itself_and_uses_memory() {
        let me = i32::try_from(std::process::id()).unwrap();
        let mut tree = Tree::new(me, "no-such-mark");
        assert!(tree.members().contains(&me) && !tree.members().contains(&1));
        assert!(tree.usage().memory_bytes > 100_000 && tree.usage().threads >= 1);
    }
}
