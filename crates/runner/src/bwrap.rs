//! What a command sees under bubblewrap: the order of the mounts is the whole security argument.
//!
//! First everything read-only; then the places where people keep things are covered with empty folders; then single
//! folders are shown again: the toolchains, the attempt's own, and the tree *at the path of the user's project*, so
//! that absolute paths in build caches stay right and the original is out of sight. Later mounts win.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};

use mb_core::workflow::Network;

/// Covered with an empty folder where they exist.
const COVERED: &[&str] = &["/tmp", "/var/tmp", "/run", "/home", "/root", "/mnt", "/media", "/srv"];
/// Where the user's objects are shown; covered above, so it cannot be a path of the host's.
pub(crate) const OBJECTS: &str = "/run/meta-builder/objects";

/// Everything the arguments depend on.
pub(crate) struct View<'a> {
    /// Whether a user namespace must be asked for (root without privileges).
    pub(crate) unshare_user: bool,
    /// What it may reach.
    pub(crate) network: Network,
    /// More places to cover.
    pub(crate) hidden: &'a [PathBuf],
    /// Files and folders to cover inside what is shown.
    pub(crate) secrets: &'a [PathBuf],
    /// The user's home and the attempt's folder for it.
    pub(crate) home: (&'a Path, &'a Path),
    /// The attempt's `/tmp`.
    pub(crate) tmp: &'a Path,
    /// Shown for reading.
    pub(crate) read_only: &'a [PathBuf],
    /// Shown for writing: from, at.
    pub(crate) writable: &'a [(PathBuf, PathBuf)],
    /// The attempt's tree, and the user's folder it stands for.
    pub(crate) tree: (&'a Path, &'a Path),
    /// The user's git objects.
    pub(crate) objects: Option<&'a Path>,
    /// Where the command starts.
    pub(crate) dir: &'a Path,
    /// Its environment.
    pub(crate) env: &'a BTreeMap<String, String>,
    /// An open file with the system call filter.
    pub(crate) seccomp: Option<RawFd>,
}

/// The arguments, without the command. They go through a file, as a command line is readable by everyone.
pub(crate) fn arguments(view: &View<'_>) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    args.add(["--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]);
    args.add(["--cap-drop", "ALL"]);
    if view.unshare_user {
        args.add(["--unshare-user"]);
    }
    if view.network == Network::None {
        args.add(["--unshare-net"]);
    }
    args.add(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]);
    cover(&mut args, view);
    args.pair("--bind", view.tmp, "/tmp");
    args.pair("--bind", view.home.1, view.home.0);
    for path in view.read_only.iter().filter(|path| is_covered(path, view)) {
        args.pair("--ro-bind", path, path);
    }
    for (from, at) in view.writable {
        args.pair("--bind", from, at);
    }
    for secret in view.secrets {
        if secret.is_dir() {
            args.one("--tmpfs", secret);
        } else {
            args.pair("--ro-bind", "/dev/null", secret);
        }
    }
    args.pair("--bind", view.tree.0, view.tree.1);
    if let Some(objects) = view.objects {
        args.pair("--ro-bind", objects, OBJECTS);
    }
    args.one("--chdir", view.dir);
    args.add(["--clearenv"]);
    for (name, value) in view.env {
        args.add(["--setenv", name, value]);
    }
    if let Some(fd) = view.seccomp {
        args.add(["--seccomp", &fd.to_string()]);
    }
    args.0
}

/// Whether a path is out of sight unless it is shown again. Everything else is there, read-only, already.
fn is_covered(path: &Path, view: &View<'_>) -> bool {
    let hidden = view.hidden.iter().map(PathBuf::as_path).chain([view.home.0]);
    COVERED.iter().map(Path::new).chain(hidden).any(|place| path.starts_with(place))
}

fn cover(args: &mut Args, view: &View<'_>) {
    for place in COVERED.iter().map(Path::new).chain(view.hidden.iter().map(PathBuf::as_path)) {
        // A link is left alone: what it leads to is covered or was visible anyway.
        if place.is_dir() && !place.is_symlink() {
            args.one("--tmpfs", place);
        }
    }
    // Name resolution often lives behind a link into a covered folder.
    let resolver = Path::new("/etc/resolv.conf");
    if let Ok(real) = resolver.canonicalize()
        && view.network == Network::Full
        && real != resolver
    {
        args.pair("--ro-bind", &real, &real);
    }
}

struct Args(Vec<OsString>);

impl Args {
    fn add<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.map(OsString::from));
    }

    fn one(&mut self, option: &str, path: &Path) {
        self.0.extend([option.into(), path.into()]);
    }

    fn pair(&mut self, option: &str, from: impl AsRef<Path>, at: impl AsRef<Path>) {
        self.0.extend([option.into(), from.as_ref().into(), at.as_ref().into()]);
    }
}
