//! A control group for one command: the kernel's own bound on memory and processes, and its count of them.
//!
//! Version 2 is used where our own group is delegated to us with both controllers, else version 1 where we may make
//! groups, else none; the report says which. Deliberately absent: asking systemd for a scope, and moving
//! ourselves between groups. What is not offered to us is done by watching `/proc`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mb_core::failure::ExitCause;
use mb_core::workflow::Limits;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// Processes the sandbox itself needs, on top of what the command may have.
const OWN_PROCESSES: u64 = 4;

/// Which control groups can be used.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum CgroupVersion {
    /// The unified hierarchy.
    V2,
    /// One hierarchy for each controller.
    V1,
    /// None that we may use.
    None,
}

/// A group that exists as long as this value.
#[derive(Debug)]
pub(crate) struct Group {
    version: CgroupVersion,
    /// The same folder twice in version 2.
    memory: PathBuf,
    pids: PathBuf,
    /// Where time is counted; version 1 may lack it.
    cpu: Option<PathBuf>,
}

/// Removes groups left by earlier processes.
pub(crate) fn sweep_all() {
    for folder in ["", "memory", "pids", "cpuacct"].iter().filter_map(|controller| own_folder(controller, controller)) {
        sweep(&folder);
    }
}

/// What can be used here; tried by making a group.
pub(crate) fn detect() -> CgroupVersion {
    [CgroupVersion::V2, CgroupVersion::V1]
        .into_iter()
        .find(|version| Group::create(*version, &Limits::DEFAULT).is_some())
        .unwrap_or(CgroupVersion::None)
}

impl Group {
    /// Makes a group with these limits; none when any part of it is refused.
    pub(crate) fn create(version: CgroupVersion, limits: &Limits) -> Option<Group> {
        let name = format!("mb-{}", crate::sys::unique());
        let (memory, pids) = match version {
            CgroupVersion::V2 => (own_folder("", "")?.join(&name), own_folder("", "")?.join(&name)),
            CgroupVersion::V1 => (own_folder("memory", "memory")?.join(&name), own_folder("pids", "pids")?.join(&name)),
            CgroupVersion::None => return None,
        };
        let mut group = Group { version, memory, pids, cpu: None };
        fs::create_dir(&group.memory).ok()?;
        if version == CgroupVersion::V1 {
            fs::create_dir(&group.pids).ok()?;
            let cpu = own_folder("cpuacct", "cpuacct").map(|folder| folder.join(&name));
            group.cpu = cpu.filter(|folder| fs::create_dir(folder).is_ok());
        } else {
            group.cpu = Some(group.memory.clone());
        }
        let file = if version == CgroupVersion::V2 { "memory.max" } else { "memory.limit_in_bytes" };
        write(&group.memory.join(file), &limits.memory_bytes_max.to_string()).ok()?;
        if version == CgroupVersion::V2 {
            // Without it the limit moves memory to swap first; not every kernel has it.
            let _ = write(&group.memory.join("memory.swap.max"), "0");
        }
        write(&group.pids.join("pids.max"), &limits.pids_max.saturating_add(OWN_PROCESSES).to_string()).ok()?;
        Some(group)
    }

    /// Files a process with one thread writes `0` to in order to enter. In version 1 it moves that thread: moving a
    /// process makes the kernel wait some ten milliseconds for all processors.
    pub(crate) fn doors(&self) -> std::io::Result<Vec<File>> {
        let file = if self.version == CgroupVersion::V1 { "tasks" } else { "cgroup.procs" };
        let open = |folder: &Path| OpenOptions::new().write(true).open(folder.join(file));
        match self.version {
            CgroupVersion::V1 => [&self.memory, &self.pids].into_iter().chain(&self.cpu).map(|f| open(f)).collect(),
            _ => Ok(vec![open(&self.memory)?]),
        }
    }

    /// What the kernel has refused it so far: memory (by killing something) or a process.
    pub(crate) fn refused(&self) -> Option<ExitCause> {
        let file = if self.version == CgroupVersion::V2 { "memory.events" } else { "memory.oom_control" };
        if count(&self.memory.join(file), "oom_kill") > 0 {
            return Some(ExitCause::OutOfMemory);
        }
        (count(&self.pids.join("pids.events"), "max") > 0).then_some(ExitCause::TooManyProcesses)
    }

    /// Most memory it had, in bytes; 0 where the kernel does not say.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let file = if self.version == CgroupVersion::V2 { "memory.peak" } else { "memory.max_usage_in_bytes" };
        fs::read_to_string(self.memory.join(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    }

    /// Processor time used in it, by processes that are gone too; zero where the kernel does not say.
    pub(crate) fn cpu(&self) -> Duration {
        let Some(folder) = &self.cpu else { return Duration::ZERO };
        if self.version == CgroupVersion::V2 {
            return Duration::from_micros(count(&folder.join("cpu.stat"), "usage_usec"));
        }
        let nanos = fs::read_to_string(folder.join("cpuacct.usage")).unwrap_or_default();
        Duration::from_nanos(nanos.trim().parse().unwrap_or(0))
    }

    /// Kills everything in it; returns whether it was empty already.
    pub(crate) fn kill(&self) -> bool {
        let listed = fs::read_to_string(self.pids.join("cgroup.procs")).unwrap_or_default();
        if self.version == CgroupVersion::V2 && write(&self.pids.join("cgroup.kill"), "1").is_ok() {
            return listed.is_empty();
        }
        for pid in listed.lines().filter_map(|line| line.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        listed.is_empty()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let folders: Vec<&PathBuf> = [&self.memory, &self.pids].into_iter().chain(&self.cpu).collect();
        // A killed process leaves its group a moment after it is killed. What is still refused then is removed by
        // the next start.
        for _ in 0..20 {
            if folders.iter().filter(|folder| fs::remove_dir(folder).is_err() && folder.exists()).count() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Removes groups of processes that are gone.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix("mb-")?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Refused while it has processes.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Our own group's folder for a controller (empty: the unified hierarchy).
fn own_folder(controller: &str, mount: &str) -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    let folder = Path::new("/sys/fs/cgroup").join(mount).join(own.trim_start_matches('/'));
    folder.join("cgroup.procs").exists().then_some(folder)
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The number after `key` in a file of `key number` lines.
fn count(path: &Path, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    found.unwrap_or(0)
}
