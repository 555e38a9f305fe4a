//! Which walls this host can put around a command. Found out by trying, and reported.
//!
//! Trying takes as long as a short command, so [`Sandbox::detect_in`] keeps a good answer in the data folder, beside what
//! it depends on, until a command cannot be started. A bad answer is not kept: what is missing may be installed.
//!
//! Deliberately absent: falling back to no sandbox. [`Sandbox::detect`] returns the strongest that works; to go without
//! one somebody has to say so with [`Sandbox::with_level`].

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cgroup;
pub use crate::cgroup::CgroupVersion;
use crate::child::{Launch, Overlay};

/// Longest a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How strongly a command is confined, strongest first.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "snake_case")]
pub enum SandboxLevel {
    /// Namespaces by bubblewrap, a system call filter and limits.
    Bubblewrap,
    /// Landlock, a system call filter and limits.
    Landlock,
    /// Limits only. The command can read and write what this program can.
    None,
}

impl SandboxLevel {
    /// The word used in JSON, records and settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bubblewrap => "bubblewrap",
            Self::Landlock => "landlock",
            Self::None => "none",
        }
    }

    /// The level a word stands for.
    pub fn from_word(word: &str) -> Option<SandboxLevel> {
        [Self::Bubblewrap, Self::Landlock, Self::None].into_iter().find(|level| level.as_str() == word)
    }
}

impl std::fmt::Display for SandboxLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What was found out about the host.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct SandboxReport {
    /// The level in use.
    pub level: SandboxLevel,
    /// The control groups in use.
    pub cgroup: CgroupVersion,
    /// The kernel's Landlock interface; 0 when it has none.
    pub landlock_abi: u32,
    /// Whether build caches can be carried by copy-on-write mounts.
    pub overlays: bool,
    /// What is missing and what would mend it, for people.
    pub notes: Vec<String>,
}

/// A level that this host does not offer was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("sandbox level {level} does not work here: {why}")]
pub struct Unavailable {
    /// The level.
    pub level: SandboxLevel,
    /// What is missing.
    pub why: String,
}

/// How overlays can be mounted.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlays {
    /// Not at all.
    No,
    /// We are privileged.
    Privileged,
    /// In a user namespace.
    UserNamespace,
}

/// Name of the file with what was found out.
const KEPT: &str = "sandbox.json";

/// The walls in use. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sandbox {
    report: SandboxReport,
    pub(crate) overlays: Overlays,
    pub(crate) unshare_user: bool,
    pub(crate) hidden: Vec<PathBuf>,
    /// Why bubblewrap does not work, when it does not.
    bwrap_problem: Option<String>,
    /// The file this was read from.
    kept: Option<PathBuf>,
}

/// What [`Sandbox::detect_in`] keeps: a sandbox with bubblewrap, and the host it was found on.
#[derive(Serialize, Deserialize)]
struct Kept {
    host: String,
    report: SandboxReport,
    overlays: Overlays,
    unshare_user: bool,
}

static FOUND: OnceLock<Sandbox> = OnceLock::new();

impl Sandbox {
    /// The strongest sandbox that works here. The first call tries (some ten milliseconds, blocking); later ones know.
    pub fn detect() -> Sandbox {
        FOUND.get_or_init(probe).clone()
    }

    /// The same, remembered in `folder` (the data folder) from one process to the next. To be called before
    /// [`Sandbox::detect`] and [`Sandbox::with_level`], which then know too.
    pub fn detect_in(folder: &Path) -> Sandbox {
        let found = FOUND.get_or_init(|| {
            let (file, host) = (folder.join(KEPT), host());
            recall(&file, &host).unwrap_or_else(|| {
                let found = probe();
                // Without the file the next process tries again.
                let _ = keep(&file, host, &found);
                found
            })
        });
        std::thread::spawn(cgroup::sweep_all);
        found.clone()
    }

    /// Throws away what was remembered: it was wrong.
    pub(crate) fn forget(&self) {
        if let Some(file) = &self.kept {
            let _ = fs::remove_file(file);
        }
    }

    /// The control groups in use.
    pub(crate) fn cgroup(&self) -> CgroupVersion {
        self.report.cgroup
    }

    /// The sandbox at exactly this level.
    ///
    /// # Errors
    /// The host does not offer it.
    pub fn with_level(level: SandboxLevel) -> Result<Sandbox, Unavailable> {
        if level == SandboxLevel::None && FOUND.get().is_none() {
            return Ok(Sandbox::without_walls());
        }
        let mut sandbox = Sandbox::detect();
        let why = match level {
            SandboxLevel::Bubblewrap => sandbox.bwrap_problem.clone(),
            SandboxLevel::Landlock if sandbox.report.landlock_abi == 0 => Some("the kernel has no Landlock".to_owned()),
            SandboxLevel::Landlock | SandboxLevel::None => None,
        };
        if let Some(why) = why {
            return Err(Unavailable { level, why });
        }
        sandbox.report.level = level;
        if level != SandboxLevel::Bubblewrap {
            sandbox.overlays = Overlays::No;
            sandbox.report.overlays = false;
        }
        Ok(sandbox)
    }

    /// No walls, and nothing tried to find out which there could be.
    fn without_walls() -> Sandbox {
        let report = SandboxReport {
            level: SandboxLevel::None,
            cgroup: cgroup::detect(),
            landlock_abi: crate::sys::landlock_abi(),
            overlays: false,
            notes: Vec::new(),
        };
        let overlays = Overlays::No;
        Sandbox { report, overlays, unshare_user: false, hidden: Vec::new(), bwrap_problem: None, kept: None }
    }

    /// The same, with one more folder that no command may see (the data folder, with its database).
    #[must_use]
    pub fn hide(mut self, folder: &Path) -> Sandbox {
        self.hidden.push(folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
        self
    }

    /// The level in use.
    pub fn level(&self) -> SandboxLevel {
        self.report.level
    }

    /// All that was found out.
    pub fn report(&self) -> SandboxReport {
        self.report.clone()
    }
}

/// What the answer depends on: this program, the running kernel, our user and namespaces (a container shares kernel and
/// files with its host), and bubblewrap.
fn host() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let space = |name: &str| fs::read_link(format!("/proc/self/ns/{name}")).unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let bwrap = std::env::split_paths(&path).map(|folder| folder.join("bwrap")).find(|program| program.is_file());
    let changed =
        bwrap.as_ref().and_then(|program| fs::metadata(program).ok()).map(|meta| crate::files::changed(&meta));
    let version = env!("CARGO_PKG_VERSION");
    let user = nix::unistd::geteuid();
    format!("{version} {} {user} {:?} {:?} {bwrap:?} {changed:?}", boot.trim(), space("user"), space("mnt"))
}

fn recall(file: &Path, host: &str) -> Option<Sandbox> {
    let kept: Kept = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    // Nothing written there can take the walls away.
    let good = kept.host == host && kept.report.level == SandboxLevel::Bubblewrap;
    let Kept { report, overlays, unshare_user, .. } = kept;
    let kept = Some(file.to_owned());
    good.then_some(Sandbox { report, overlays, unshare_user, hidden: Vec::new(), bwrap_problem: None, kept })
}

fn keep(file: &Path, host: String, found: &Sandbox) -> std::io::Result<()> {
    if found.report.level != SandboxLevel::Bubblewrap {
        return Ok(());
    }
    let kept = Kept { host, report: found.report.clone(), overlays: found.overlays, unshare_user: found.unshare_user };
    let aside = file.with_extension(crate::sys::unique());
    fs::write(&aside, serde_json::to_vec(&kept)?)?;
    fs::rename(aside, file)
}

fn probe() -> Sandbox {
    let privileged = nix::unistd::geteuid().is_root();
    let overlays = if privileged { Overlays::Privileged } else { Overlays::UserNamespace };
    let tries = [(overlays, false), (Overlays::UserNamespace, false), (Overlays::No, false), (Overlays::No, true)];
    let mut problem = String::new();
    let mut works = None;
    for (overlays, unshare_user) in tries {
        match try_bwrap(overlays, unshare_user) {
            Ok(()) => {
                works = Some((overlays, unshare_user));
                break;
            }
            Err(why) => problem = why,
        }
    }
    let landlock_abi = crate::sys::landlock_abi();
    let level = match works {
        Some(_) => SandboxLevel::Bubblewrap,
        // Without Landlock the level stays so, and a command does not start: no sandbox is never a silent choice.
        None => SandboxLevel::Landlock,
    };
    let (overlays, unshare_user) = works.unwrap_or((Overlays::No, false));
    let cgroup = cgroup::detect();
    let notes = notes(works.is_some(), &problem, overlays, cgroup, landlock_abi);
    let report = SandboxReport { level, cgroup, landlock_abi, overlays: overlays != Overlays::No, notes };
    let bwrap_problem = works.is_none().then_some(problem);
    Sandbox { report, overlays, unshare_user, hidden: Vec::new(), bwrap_problem, kept: None }
}

fn notes(bwrap: bool, problem: &str, overlays: Overlays, cgroup: CgroupVersion, landlock_abi: u32) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |when: bool, text: String| notes.extend(when.then_some(text));
    note(!bwrap, format!("bubblewrap does not work ({problem}); install it and allow user namespaces"));
    note(bwrap && overlays == Overlays::No, "no copy-on-write mounts; build caches are copied".to_owned());
    note(cgroup == CgroupVersion::None, "no control group; memory and processes are watched by polling".to_owned());
    note(landlock_abi == 0, "the kernel has no Landlock".to_owned());
    let udp_open = !bwrap && landlock_abi < crate::fence::ABI_TCP;
    note(udp_open, "this kernel's Landlock cannot refuse the network at all".to_owned());
    notes
}

/// Starts bubblewrap for real: it must run a program that reads a file through a copy-on-write mount.
fn try_bwrap(overlays: Overlays, unshare_user: bool) -> Result<(), String> {
    let scratch = Scratch::create().map_err(|error| format!("no scratch folder: {error}"))?;
    let view = scratch.0.join("view");
    let mut command = Command::new("bwrap");
    command.args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--die-with-parent"]);
    command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--cap-drop", "ALL"]);
    if unshare_user {
        command.arg("--unshare-user");
    }
    let file = if overlays == Overlays::No { scratch.0.join("lower/file") } else { view.join("file") };
    command.args([OsString::from("--"), "test".into(), "-f".into(), file.into()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut launch = Launch::plain(command);
    if overlays != Overlays::No {
        let path = |name: &str| scratch.0.join(name);
        launch.overlays.extend(Overlay::new(&[&path("lower")], &path("upper"), &path("work"), &view));
        launch.new_user = overlays == Overlays::UserNamespace;
    }
    run_probe(launch.arm())
}

fn run_probe(mut command: Command) -> Result<(), String> {
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let deadline = Instant::now() + PROBE_TIMEOUT;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(_)) => {
                let printed = child.wait_with_output().map_err(|error| error.to_string())?;
                let text = String::from_utf8_lossy(&printed.stderr);
                return Err(text.lines().next().unwrap_or("it failed without a word").to_owned());
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            Err(error) => return Err(error.to_string()),
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    Err("it did not end".to_owned())
}

/// A folder for the probe that goes away by itself.
struct Scratch(PathBuf);

impl Scratch {
    fn create() -> std::io::Result<Scratch> {
        let scratch = Scratch(std::env::temp_dir().join(format!("mb-probe-{}", crate::sys::unique())));
        for folder in ["lower", "upper", "work", "view"] {
            fs::create_dir_all(scratch.0.join(folder))?;
        }
        fs::write(scratch.0.join("lower/file"), "")?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = crate::files::remove_tree(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_holds_for_the_same_host_and_never_takes_walls_away() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(KEPT);
        let report = |level| SandboxReport {
            level,
            cgroup: CgroupVersion::None,
            landlock_abi: 3,
            overlays: true,
            notes: vec!["n".into()],
        };
        let found = |level| Sandbox {
            report: report(level),
            overlays: Overlays::UserNamespace,
            unshare_user: true,
            hidden: Vec::new(),
            bwrap_problem: None,
            kept: None,
        };
        keep(&file, "here".into(), &found(SandboxLevel::Landlock)).unwrap();
        assert!(!file.exists(), "only what works is kept");
        keep(&file, "here".into(), &found(SandboxLevel::Bubblewrap)).unwrap();
        assert!(recall(&file, "elsewhere").is_none());
        let back = recall(&file, "here").unwrap();
        assert_eq!((back.report(), back.unshare_user), (report(SandboxLevel::Bubblewrap), true));
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"bubblewrap\"", "\"none\"")).unwrap();
        assert!(recall(&file, "here").is_none());
        back.forget();
        assert!(!file.exists());
    }
}
