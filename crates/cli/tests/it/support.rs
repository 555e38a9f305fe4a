//! What every test needs: a folder of its own, the program with a clean environment, a server, waits with deadlines.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Longest any command may take. Far above what is needed on a busy machine, far below the test runner's own limit.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// A data folder and a project folder that nobody else has.
pub(crate) struct World {
    pub(crate) data: PathBuf,
    pub(crate) project: PathBuf,
    /// Variables every command of this world gets.
    env: Vec<(String, String)>,
    pub(crate) dir: TempDir,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "standard output:\n{}\nstandard error:\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("not JSON: {e}\n{}\n{}", self.out, self.err))
    }

    /// The error as `--json` shows it: the last line of standard error.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let line = self.err.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|e| panic!("no error as JSON: {e}\n{}", self.err))
    }
}

impl World {
    pub(crate) fn new() -> World {
        let dir = tempfile::Builder::new().prefix("mb-it-").tempdir().unwrap();
        // The path as the program prints it, links resolved.
        let root = dir.path().canonicalize().unwrap();
        let (data, project) = (root.join("data"), root.join("project"));
        std::fs::create_dir(&project).unwrap();
        World { data, project, env: Vec::new(), dir }
    }

    /// A world whose project is configured like this.
    pub(crate) fn with_config(config: &str) -> World {
        let world = World::new();
        world.write("meta-builder.toml", config);
        world
    }

    /// A variable for every command of this world.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.project.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.project.join(path)).unwrap()
    }

    /// Makes the project a repository with everything in one commit.
    pub(crate) fn git_init(&self) {
        self.git(&["init", "--quiet", "--initial-branch=main"]);
        self.git(&["add", "--all"]);
        let person = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
        self.git(&[&person[..], &["commit", "--quiet", "--message", "Begin"]].concat());
    }

    /// What `git` prints in the project.
    #[track_caller]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git").args(args).current_dir(&self.project).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The program in the project's folder, with nothing of ours in its environment but this world's data folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_meta-builder"));
        command.args(args).current_dir(&self.project).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let ours = name.to_string_lossy();
            let ours = ["MB_", "META_BUILDER", "CARGO_", "RUST", "NEXTEST", "CI"].iter().any(|p| ours.starts_with(p));
            // A toolchain chosen by rustup stays chosen.
            if ours && !["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].contains(&&*name.to_string_lossy()) {
                command.env_remove(&name);
            }
        }
        command.env("MB_DATA_DIR", &self.data).env("COLUMNS", "100").env("LC_ALL", "C.UTF-8");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn mb(&self, args: &[&str]) -> Ended {
        self.start(self.command(args)).end()
    }

    /// Starts a command whose output goes to files, so that no pipe can stall it.
    pub(crate) fn start(&self, mut command: Command) -> Started {
        let out = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        let err = tempfile::NamedTempFile::new_in(self.dir.path()).unwrap();
        let file = |file: &tempfile::NamedTempFile| File::options().append(true).open(file.path()).unwrap();
        let child = command.stdout(file(&out)).stderr(file(&err)).spawn().unwrap();
        Started { child, out, err }
    }
}

/// A command that runs. Killed when dropped.
pub(crate) struct Started {
    child: Child,
    out: tempfile::NamedTempFile,
    err: tempfile::NamedTempFile,
}

impl Started {
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.err.path()).unwrap()).into_owned()
    }

    /// Waits for its end, and fails the test when that does not come in time.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let ended = eventually("the command ends", || self.child.try_wait().unwrap());
        let out = String::from_utf8_lossy(&std::fs::read(self.out.path()).unwrap()).into_owned();
        Ended { code: ended.code(), out, err: self.err() }
    }

    /// SIGKILL, as a crash would be.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Both fail when it has ended, which is the rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the condition holds within this time.
pub(crate) fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(LOOK);
    }
    true
}

/// Waits until the condition holds, and fails the test when it does not within [`DEADLINE`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A server of this world on a free port.
pub(crate) struct Up {
    pub(crate) process: Started,
    pub(crate) url: String,
    pub(crate) token: String,
}

impl World {
    /// Starts `up` and waits until it says where it is.
    pub(crate) fn up(&self, args: &[&str]) -> Up {
        let mut all = vec!["up", "--listen", "127.0.0.1:0"];
        all.extend(args);
        let mut process = self.start(self.command(&all));
        let url = eventually("the server says where it is", || {
            let said = process.err();
            let at = said.find("http://").map(|at| said[at..].split("/welcome").next().unwrap_or("").to_owned());
            let gone = process.child.try_wait().unwrap();
            assert!(gone.is_none() || at.is_some(), "the server ended: {said}");
            at.filter(|_| said.contains("/welcome?t="))
        });
        // A database that is shared has its administrator already, whose token is in another data folder.
        let token = std::fs::read_to_string(self.data.join("admin-token")).unwrap_or_default().trim().to_owned();
        Up { process, url, token }
    }

    /// Runs the program against the server.
    #[track_caller]
    pub(crate) fn ask(&self, up: &Up, args: &[&str]) -> Ended {
        self.start(self.remote(up, args)).end()
    }

    /// The program with the server's address and token.
    pub(crate) fn remote(&self, up: &Up, args: &[&str]) -> Command {
        let mut command = self.command(args);
        // Another data folder shows that nothing is read behind the server's back.
        command.env("MB_SERVER", &up.url).env("MB_TOKEN", &up.token).env("MB_DATA_DIR", self.dir.path().join("none"));
        command
    }
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Every file below a folder with its bytes, `.git` left out.
pub(crate) fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap).filter(|e| e.file_name() != ".git") {
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => all.push((entry.path(), std::fs::read(entry.path()).unwrap())),
                _ => {}
            }
        }
    }
    all.sort();
    all
}

/// Processes whose environment holds this text: what a run has left behind.
pub(crate) fn strays(mark: &str) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let marked = processes.filter(|entry| {
        let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        String::from_utf8_lossy(&environ).contains(mark)
    });
    marked.map(|entry| std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default()).collect()
}

/// One request to the server, as simple as HTTP allows: the connection closes behind the answer.
pub(crate) fn http(up: &Up, method: &str, path: &str, body: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let address = up.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        up.token,
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// What a GET answers, which must be JSON and no problem.
#[track_caller]
pub(crate) fn get(up: &Up, path: &str) -> Value {
    let (status, body) = http(up, "GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}
