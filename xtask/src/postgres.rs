//! A PostgreSQL server for the tests: the one that is named, the one that runs here, or a throw-away one. And one for
//! measurements, always a throw-away one, with the settings PostgreSQL comes with.
//!
//! Deliberately absent: making roles or databases on a server that is somebody's. A server that does not let
//! this user in, or gives no right to create schemas, is left alone and the throw-away one takes its place.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::process::{on_path, run, succeeds};

/// The variable tests read. Set by a person to choose a server, and by us for the tests.
pub(crate) const URL: &str = "MB_TEST_POSTGRES";

/// Where Debian's packages put the socket.
const SOCKET_DIR: &str = "/var/run/postgresql";
/// Where Debian's packages put `initdb` and `postgres`, below the major version.
const BIN_DIR: &str = "/usr/lib/postgresql";
/// Longest a throw-away server may take to answer.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// A server that answered. The throw-away kind is stopped and removed when this is dropped.
pub(crate) struct Server {
    /// What tests connect to.
    pub(crate) url: String,
    /// Which of the three it is, for people.
    pub(crate) origin: String,
    _cluster: Option<Cluster>,
}

impl Server {
    /// A server somebody else looks after.
    pub(crate) fn at(url: &str, origin: &str) -> Self {
        Self { url: url.to_owned(), origin: origin.to_owned(), _cluster: None }
    }
}

/// The first server found. A failed attempt to make one is reported and is no error.
pub(crate) fn find() -> Option<Server> {
    if let Some(url) = std::env::var(URL).ok().filter(|url| !url.is_empty()) {
        // Not asked whether it answers: if it does not, the tests must fail and not be left out.
        return Some(Server::at(&url, URL));
    }
    local()
        .or_else(|| {
            start_installed();
            local()
        })
        .or_else(throw_away)
}

/// A server on this machine that lets this user create a schema.
fn local() -> Option<Server> {
    let user = user_name()?;
    let by_socket = format!("postgres://{user}@localhost/postgres?host={SOCKET_DIR}");
    let by_port = format!("postgres://{user}@127.0.0.1:5432/postgres");
    [by_socket, by_port].into_iter().find(|url| usable(url)).map(|url| Server::at(&url, &url))
}

fn usable(url: &str) -> bool {
    let question = "select 1 / has_database_privilege(current_database(), 'create')::int";
    succeeds(psql(url).args(["--command", question]))
}

/// A client that asks no questions and stops at the first error.
pub(crate) fn psql(url: &str) -> Command {
    let mut command = Command::new("psql");
    command.args(["--no-psqlrc", "--no-password", "--set", "ON_ERROR_STOP=1", "--dbname", url]);
    command.env("PGCONNECT_TIMEOUT", "5");
    command
}

fn user_name() -> Option<String> {
    let output = Command::new("id").arg("-un").output().ok()?;
    let name = String::from_utf8(output.stdout).ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Starts Debian's own cluster where it is installed and stopped. Without the right to do so nothing happens.
fn start_installed() {
    let Some(version) = versions(Path::new("/etc/postgresql")).pop() else { return };
    if on_path("pg_ctlcluster").is_some() && !cluster_is_online(&version) {
        succeeds(Command::new("pg_ctlcluster").args(["--skip-systemctl-redirect", &version, "main", "start"]));
    }
}

fn cluster_is_online(version: &str) -> bool {
    succeeds(Command::new("pg_ctlcluster").args([version, "main", "status"]))
}

/// The folder names that are numbers, lowest first.
fn versions(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    found.iter().map(ToString::to_string).collect()
}

fn throw_away() -> Option<Server> {
    let bin = bin()?;
    // A socket's path has about a hundred bytes, which a deep temporary folder would use up.
    match Cluster::start(bin, Path::new("/tmp"), Purpose::Tests) {
        Ok(cluster) => {
            Some(Server { url: cluster.url(), origin: "a throw-away server".to_owned(), _cluster: Some(cluster) })
        }
        Err(error) => {
            eprintln!("warning: no throw-away PostgreSQL server: {error:#}");
            None
        }
    }
}

/// A throw-away server below this folder as `initdb` makes it: commits reach the disk. Reached over loopback, since
/// not every client takes a socket.
///
/// # Errors
/// PostgreSQL is not installed where it is looked for, or it does not start.
pub(crate) fn as_installed(folder: &Path) -> Result<Server> {
    let bin = bin().with_context(|| format!("there is no PostgreSQL in {BIN_DIR}, or no psql"))?;
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let cluster = Cluster::start(bin, folder, Purpose::Measuring { port })?;
    let origin = "a throw-away server with the settings of initdb".to_owned();
    Ok(Server { url: cluster.url(), origin, _cluster: Some(cluster) })
}

/// The newest version's programs, of no use without the client beside them.
pub(crate) fn bin() -> Option<PathBuf> {
    let version = versions(Path::new(BIN_DIR)).pop().filter(|_| on_path("psql").is_some())?;
    Some(Path::new(BIN_DIR).join(version).join("bin"))
}

/// What a server of our own is for.
#[derive(Clone, Copy)]
enum Purpose {
    /// Nothing of it outlives the tests, so nothing needs to reach the disk.
    Tests,
    /// What is measured must be what users get.
    Measuring { port: u16 },
}

/// A server of our own in a temporary folder.
struct Cluster {
    bin: PathBuf,
    user: ServerUser,
    purpose: Purpose,
    server: Option<Child>,
    dir: TempDir,
}

impl Cluster {
    fn start(bin: PathBuf, parent: &Path, purpose: Purpose) -> Result<Self> {
        let user = ServerUser::choose()?;
        let dir = tempfile::Builder::new().prefix("mb-pg-").tempdir_in(parent).context("cannot make a folder")?;
        user.own(dir.path())?;
        let mut cluster = Self { bin, user, purpose, server: None, dir };
        run(cluster
            .command("initdb")
            .args(["--auth=trust", "--username=postgres", "--no-sync"])
            .stdout(Stdio::null()))?;
        cluster.server = Some(cluster.spawn()?);
        cluster.wait_until_it_answers()?;
        Ok(cluster)
    }

    fn url(&self) -> String {
        match self.purpose {
            Purpose::Tests => format!("postgres://postgres@localhost/postgres?host={}", self.dir.path().display()),
            Purpose::Measuring { port } => format!("postgres://postgres@127.0.0.1:{port}/postgres"),
        }
    }

    fn settings(&self) -> Vec<String> {
        match self.purpose {
            Purpose::Tests => {
                let sockets = format!("unix_socket_directories={}", self.dir.path().display());
                let rest = ["listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=200"];
                rest.map(str::to_owned).into_iter().chain([sockets]).collect()
            }
            Purpose::Measuring { port } => vec![
                "unix_socket_directories=".to_owned(),
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
            ],
        }
    }

    /// One of the server's programs, as the right user and for this data folder.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.arg("-D").arg(self.dir.path().join("data")).current_dir(self.dir.path());
        self.user.apply(&mut command);
        command
    }

    /// A child in our own process group, so that Ctrl-C reaches it too.
    fn spawn(&self) -> Result<Child> {
        let mut command = self.command("postgres");
        for setting in self.settings() {
            command.args(["-c", &setting]);
        }
        let log = std::fs::File::create(self.dir.path().join("log")).context("cannot make the log file")?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().context("cannot start postgres")
    }

    fn wait_until_it_answers(&self) -> Result<()> {
        let deadline = Instant::now() + START_DEADLINE;
        while Instant::now() < deadline {
            if usable(&self.url()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        bail!("it did not answer within {START_DEADLINE:?}: {}", log.trim())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if succeeds(self.command("pg_ctl").args(["stop", "-m", "immediate", "-t", "10"])) {
            let _ = server.wait();
        } else {
            eprintln!("warning: the throw-away PostgreSQL server in {} did not stop", self.dir.path().display());
        }
    }
}

/// Whom the server runs as: PostgreSQL refuses to be root.
struct ServerUser(Option<(u32, u32)>);

impl ServerUser {
    fn choose() -> Result<Self> {
        if id(&["-u"])? != 0 {
            return Ok(Self(None));
        }
        Ok(Self(Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))))
    }

    fn own(&self, dir: &Path) -> Result<()> {
        let Some((uid, gid)) = self.0 else { return Ok(()) };
        std::os::unix::fs::chown(dir, Some(uid), Some(gid)).context("cannot give the folder to the server's user")
    }

    fn apply(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
    }
}

fn id(args: &[&str]) -> Result<u32> {
    let output = Command::new("id").args(args).output().context("cannot run `id`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("`id {}` gave no number", args.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_is_last_and_other_folders_are_no_versions() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["9", "15", "common"] {
            std::fs::create_dir(dir.path().join(name)).expect("a folder");
        }
        assert_eq!(versions(dir.path()), ["9", "15"]);
        assert!(versions(&dir.path().join("absent")).is_empty());
    }

    #[test]
    fn a_throw_away_server_answers_and_goes_away() {
        let Some(server) = throw_away() else {
            // Only a machine without PostgreSQL's programs may come here.
            assert!(versions(Path::new(BIN_DIR)).is_empty() || on_path("psql").is_none());
            return;
        };
        assert!(usable(&server.url));
        let url = server.url.clone();
        let dir = server._cluster.as_ref().expect("it is a throw-away one").dir.path().to_owned();
        drop(server);
        assert!(!usable(&url));
        assert!(!dir.exists());
    }
}
