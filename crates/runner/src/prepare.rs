//! Turns a job into something that can be started: its view of the files, its environment, its limits.
//!
//! Deliberately absent: starting it. Everything here happens before the first process exists, so every refusal is an
//! [`ExitCause`] with a reason and leaves nothing running.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mb_core::workflow::Network;

use crate::bwrap::{self, View};
use crate::cgroup::Group;
use crate::child::{Launch, Overlay};
use crate::environment::{self, Setting};
use crate::exec::Job;
use crate::layout::Layout;
use crate::sandbox::{Overlays, SandboxLevel};
use crate::toolchain::Toolchain;
use crate::{fence, files, seccomp};

/// Largest build cache that is copied where copy-on-write mounts are not possible, in bytes.
const CACHE_COPY_BYTES_MAX: u64 = 512 << 20;

/// Processes the user may start elsewhere meanwhile before commands without a control group are refused theirs.
const PROCESSES_SLACK: u64 = 256;

/// A job that can be started.
pub(crate) struct Prepared {
    /// What to start; its streams are not set yet.
    pub(crate) launch: Launch,
    /// The control group it enters.
    pub(crate) group: Option<Group>,
    /// Folders whose growth counts against the disk limit.
    pub(crate) folders: Vec<PathBuf>,
    /// When the attempt began (a change time).
    pub(crate) since: i128,
    /// What a person should know.
    pub(crate) notes: Vec<String>,
    /// Held while the command runs: it fills the shared tool caches alone.
    pub(crate) tools_lock: Option<File>,
}

/// Why a job cannot be started, in one line.
pub(crate) struct Refusal(pub(crate) String);

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal(error.to_string())
    }
}

/// Collects what a job needs.
struct Preparation<'a> {
    job: &'a Job<'a>,
    layout: Layout,
    tools: Toolchain,
    overlays: Vec<Overlay>,
    /// Shown for writing under bubblewrap: from, at.
    shown: Vec<(PathBuf, PathBuf)>,
    /// Caches that are only read.
    read_only: Vec<PathBuf>,
    cargo_home: Option<PathBuf>,
    tools_lock: Option<File>,
    notes: Vec<String>,
}

/// Prepares a job. `mark` names its processes.
pub(crate) fn prepare(job: &Job<'_>, mark: &str) -> Result<Prepared, Refusal> {
    check_words(job)?;
    let layout = Layout::find(job.worktree)?;
    if !job.source_root.canonicalize().is_ok_and(|root| root.starts_with(&layout.manifest.source)) {
        return Err(Refusal(format!("the worktree does not belong to {}", job.source_root.display())));
    }
    let since = files::changed(&fs::metadata(layout.manifest_path())?);
    let mut work = Preparation {
        job,
        layout,
        tools: Toolchain::of_host(),
        overlays: Vec::new(),
        shown: Vec::new(),
        read_only: Vec::new(),
        cargo_home: None,
        tools_lock: None,
        notes: Vec::new(),
    };
    let dir = work.dir()?;
    work.point_objects()?;
    work.carry_caches()?;
    work.show_tools()?;
    let mut launch = match job.sandbox.level() {
        SandboxLevel::Bubblewrap => work.in_bubblewrap(&dir, mark)?,
        SandboxLevel::Landlock => work.behind_landlock(&dir, mark)?,
        SandboxLevel::None => Launch::plain(work.direct(&dir, mark)),
    };
    launch.file_bytes_max = job.limits.disk_bytes_max;
    let group = Group::create(job.sandbox.cgroup(), &job.limits);
    match &group {
        Some(group) => launch.doors = group.doors()?,
        None => {
            let present = crate::tree::threads_of(nix::unistd::getuid().as_raw());
            launch.user_processes_max = job.limits.pids_max.saturating_add(present + PROCESSES_SLACK);
        }
    }
    let folders = ["tree", "tmp", "home", "caches", "tools"].map(|name| work.layout.root.join(name)).into();
    Ok(Prepared { launch, group, folders, since, notes: work.notes, tools_lock: work.tools_lock })
}

/// The system ends a word at a zero byte, so a word with one would be another word.
fn check_words(job: &Job<'_>) -> Result<(), Refusal> {
    if job.argv.first().is_none_or(String::is_empty) {
        return Err(Refusal("there is no program to run".to_owned()));
    }
    let bad_name = |name: &String| name.is_empty() || name.contains('=');
    if job.argv.iter().chain(job.env.keys()).chain(job.env.values()).any(|word| word.contains('\0')) {
        return Err(Refusal("an argument or variable contains a zero byte".to_owned()));
    }
    match job.env.keys().find(|name| bad_name(name)) {
        Some(name) => Err(Refusal(format!("{name:?} is not a name of a variable"))),
        None => Ok(()),
    }
}

impl Preparation<'_> {
    /// The folder the command starts in, on the host; it must be inside the tree.
    fn dir(&self) -> Result<PathBuf, Refusal> {
        let asked = self.job.worktree.join(self.job.dir);
        let dir = asked.canonicalize().map_err(|_| Refusal(format!("there is no folder {:?}", self.job.dir)))?;
        if !dir.starts_with(self.layout.tree()) || !dir.is_dir() {
            return Err(Refusal(format!("{:?} is not a folder of the project", self.job.dir)));
        }
        Ok(dir)
    }

    /// Tells the tree's git where the user's objects are: under bubblewrap at a path of their own, because the
    /// repository's is covered by the tree itself.
    fn point_objects(&self) -> io::Result<()> {
        let Some(objects) = &self.layout.manifest.objects else { return Ok(()) };
        let covered = self.job.sandbox.level() == SandboxLevel::Bubblewrap;
        let path = if covered { Path::new(bwrap::OBJECTS) } else { objects };
        let info = self.layout.tree().join(".git/objects/info");
        // A command may have removed or replaced its `.git`; then it is not ours to mend, nor to follow.
        match info.canonicalize() {
            Ok(real) if real.starts_with(self.layout.tree()) => {
                let file = info.join("alternates");
                let _ = fs::remove_file(&file);
                fs::write(file, format!("{}\n", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Makes the user's build products visible in the tree without making them writable.
    fn carry_caches(&mut self) -> io::Result<()> {
        for (n, cache) in self.layout.manifest.caches.clone().into_iter().enumerate() {
            let own = self.layout.root.join("caches").join(n.to_string());
            let target = self.layout.tree().join(&cache.path);
            let lowers: Vec<&Path> = cache.lowers.iter().map(PathBuf::as_path).collect();
            // What another worktree left above the user's copy means nothing without the mount.
            let Some(users) = lowers.last() else { continue };
            if self.job.sandbox.overlays != Overlays::No && self.overlay(&lowers, &own, &target)? {
                self.notes.push(format!("{} is carried copy-on-write", cache.path.display()));
            } else if own.join("copied").exists() {
                continue;
            } else if files::size(users, CACHE_COPY_BYTES_MAX) > CACHE_COPY_BYTES_MAX {
                self.notes.push(format!("{} is left out: too large to copy", cache.path.display()));
            } else {
                files::copy_tree(users, &target)?;
                fs::create_dir_all(own.join("copied"))?;
                self.notes.push(format!("{} is copied", cache.path.display()));
            }
        }
        Ok(())
    }

    /// Plans a mount of `lowers` at `target` whose changes stay in `own`. False when it cannot be written down.
    fn overlay(&mut self, lowers: &[&Path], own: &Path, target: &Path) -> io::Result<bool> {
        let (upper, work) = (own.join("upper"), own.join("work"));
        let Some(overlay) = Overlay::new(lowers, &upper, &work, target) else { return Ok(false) };
        for folder in [&upper, &work] {
            fs::create_dir_all(folder)?;
        }
        fs::create_dir_all(target)?;
        self.overlays.push(overlay);
        Ok(true)
    }

    /// Shows tool caches copy-on-write. One command with network at a time writes to the folder all later attempts
    /// read; others keep their downloads to themselves. A shared lock would make network steps wait for each other.
    fn show_tools(&mut self) -> io::Result<()> {
        if self.job.sandbox.overlays == Overlays::No {
            return self.share_cargo();
        }
        let shared = self.layout.shared_tools();
        fs::create_dir_all(&shared)?;
        if self.job.network == Network::Full {
            let lock = File::create(shared.join("lock"))?;
            self.tools_lock = lock.try_lock().is_ok().then_some(lock);
        }
        for cache in self.tools.caches.clone() {
            let name: String = cache.display().to_string().trim_start_matches('/').replace('/', "-");
            let (common, private) = (shared.join(&name), self.layout.root.join("tools").join(&name));
            let view = private.join("view");
            let filled = common.join("upper");
            let planned = if self.tools_lock.is_some() {
                self.overlay(&[&cache], &common, &view)?
            } else if filled.is_dir() {
                self.overlay(&[&filled, &cache], &private, &view)?
            } else {
                self.overlay(&[&cache], &private, &view)?
            };
            if planned {
                self.shown.push((view, cache));
            } else {
                self.read_only.push(cache);
            }
        }
        Ok(())
    }

    /// Without copy-on-write, cargo gets a registry of its own for downloads (it works without writing otherwise).
    fn share_cargo(&mut self) -> io::Result<()> {
        self.read_only.extend(self.tools.caches.clone());
        let own = self.layout.shared_tools().join("cargo");
        if self.job.network == Network::Full {
            fs::create_dir_all(&own)?;
        }
        if own.is_dir() {
            self.shown.push((own.clone(), own.clone()));
            self.cargo_home = Some(own);
        }
        Ok(())
    }

    fn env(&self, home: &Path, tmp: &Path, mark: &str) -> BTreeMap<String, String> {
        let cargo_home = self.cargo_home.as_deref();
        let setting = Setting { home, tmp, cargo_home, host_home: &self.tools.home, network: self.job.network, mark };
        environment::build(&setting, &self.job.env)
    }

    fn in_bubblewrap(&mut self, dir: &Path, mark: &str) -> Result<Launch, Refusal> {
        let env = self.env(&self.tools.home, Path::new("/tmp"), mark);
        let filter = seccomp::program().map(|program| file_of(&seccomp::bytes(&program))).transpose()?;
        let tree = self.layout.tree();
        let source = &self.layout.manifest.source;
        let inside = files::below(source, dir.strip_prefix(&tree).unwrap_or(Path::new("")));
        let read_only: Vec<PathBuf> = self.tools.read_only.iter().chain(&self.read_only).cloned().collect();
        let extra = self.job.writable.iter().map(|path| (path.clone(), path.clone()));
        let writable: Vec<_> = self.shown.iter().cloned().chain(extra).collect();
        let args = bwrap::arguments(&View {
            unshare_user: self.job.sandbox.unshare_user,
            network: self.job.network,
            hidden: &self.job.sandbox.hidden,
            secrets: &self.tools.secrets,
            home: (&self.tools.home, &self.layout.home()),
            tmp: &self.layout.tmp(),
            read_only: &read_only,
            writable: &writable,
            tree: (&tree, source),
            objects: self.layout.manifest.objects.as_deref(),
            dir: &inside,
            env: &env,
            seccomp: filter.as_ref().map(AsRawFd::as_raw_fd),
        });
        let args = file_of(&zero_separated(&args))?;
        let mut command = Command::new("bwrap");
        command.arg("--args").arg(args.as_raw_fd().to_string()).arg("--").args(&self.job.argv).current_dir("/");
        let mut launch = Launch::plain(command);
        launch.inherit = filter.into_iter().chain([args]).collect();
        launch.overlays = std::mem::take(&mut self.overlays);
        launch.new_user = self.job.sandbox.overlays == Overlays::UserNamespace;
        Ok(launch)
    }

    fn behind_landlock(&mut self, dir: &Path, mark: &str) -> Result<Launch, Refusal> {
        let abi = self.job.sandbox.report().landlock_abi;
        if abi == 0 {
            return Err(Refusal("no sandbox works here and none was not chosen".to_owned()));
        }
        if self.job.network == Network::None {
            let reach = if abi >= fence::ABI_TCP { "TCP is refused, UDP is not" } else { "the network is not refused" };
            self.notes.push(format!("at level landlock {reach}"));
        }
        let mut readable: Vec<PathBuf> = self.tools.read_only.iter().chain(&self.read_only).cloned().collect();
        readable.extend(self.layout.manifest.objects.clone());
        let mut writable = vec![self.layout.tree(), self.layout.tmp(), self.layout.home()];
        writable.extend(self.shown.iter().map(|(path, _)| path.clone()));
        writable.extend(self.job.writable.iter().cloned());
        let rules = fence::rules(&readable, &writable, self.job.network).map_err(|error| Refusal(error.to_string()))?;
        let mut launch = Launch::plain(self.direct(dir, mark));
        launch.confinement = Some((rules, seccomp::program()));
        Ok(launch)
    }

    /// The command itself, in the tree's own place.
    fn direct(&self, dir: &Path, mark: &str) -> Command {
        let (program, args) = self.job.argv.split_first().expect("checked to have a program");
        let mut command = Command::new(program);
        let env = self.env(&self.layout.home(), &self.layout.tmp(), mark);
        command.args(args).current_dir(dir).env_clear().envs(env);
        command
    }
}

fn zero_separated(words: &[OsString]) -> Vec<u8> {
    words.iter().flat_map(|word| word.as_bytes().iter().copied().chain([0])).collect()
}

/// A file without a name, at its beginning.
fn file_of(bytes: &[u8]) -> io::Result<OwnedFd> {
    let fd = nix::sys::memfd::memfd_create(c"meta-builder", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file.into())
}
