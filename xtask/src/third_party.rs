//! `cargo xtask third-party`: `mb run` on projects of other people, as downloaded and again with a defect put in.
//!
//! The projects and defects are data (`xtask/third-party.toml`); sources come through the ordinary clients (`cargo
//! vendor`, `pip download`, `npm pack`) and are kept below `target/third-party`. The table at the end is for reading:
//! what an unknown project's own checks say is not ours to judge, so nothing here passes or fails.
//!
//! Deliberately absent: a place in continuous integration. It needs the registries and many minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use toml::Table;

use crate::process;

/// Longest one run may take, as given to `mb run`.
const RUN_TIME: &str = "15m";
/// Longest cell of the table in characters.
const CELL_MAX: usize = 90;

#[derive(clap::Args)]
pub(crate) struct ThirdPartyArgs {
    /// Only projects whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Leave the defects out
    #[arg(long)]
    clean: bool,
    /// The `mb` to try [default: built here]
    #[arg(long)]
    mb: Option<PathBuf>,
}

/// One text replaced by another.
struct Defect {
    what: String,
    file: String,
    find: String,
    put: String,
}

/// Where everything is.
struct Lab {
    folder: PathBuf,
    mb: PathBuf,
}

/// # Errors
/// The list cannot be read, a client fails, or a defect does not fit its file.
pub(crate) fn run(root: &Path, args: &ThirdPartyArgs) -> Result<()> {
    let list: Table = fs::read_to_string(root.join("xtask/third-party.toml"))?.parse()?;
    let lab = Lab { folder: target(root).join("third-party"), mb: program(root, args.mb.as_deref())? };
    let mut rows = Vec::new();
    for project in list.get("project").and_then(toml::Value::as_array).into_iter().flatten() {
        let name = text(project, "name")?;
        if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let source = lab.download(&name, &text(project, "version")?, &text(project, "from")?)?;
        rows.push(lab.try_one(&name, &source, None)?);
        eprintln!("{}", rows[rows.len() - 1]);
        let defects = project.get("defect").and_then(toml::Value::as_array).into_iter().flatten();
        for defect in defects.filter(|_| !args.clean) {
            let part = |key| text(defect, key);
            let defect = Defect { what: part("what")?, file: part("file")?, find: part("find")?, put: part("put")? };
            rows.push(lab.try_one(&name, &source, Some(&defect))?);
            eprintln!("{}", rows[rows.len() - 1]);
        }
    }
    println!("| project | case | outcome | steps | failure | repair | mended | s |\n|---|---|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{row}"));
    Ok(())
}

fn target(root: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn program(root: &Path, given: Option<&Path>) -> Result<PathBuf> {
    if let Some(mb) = given {
        return mb.canonicalize().with_context(|| format!("there is no {}", mb.display()));
    }
    process::run(process::cargo(root).args(["build", "-p", "meta-builder"]))?;
    Ok(target(root).join("debug/mb"))
}

fn text(table: &toml::Value, key: &str) -> Result<String> {
    let value = table.get(key).and_then(toml::Value::as_str);
    value.map(str::to_owned).with_context(|| format!("an entry of the list has no `{key}`"))
}

impl Lab {
    /// The project's files as its registry has them.
    fn download(&self, name: &str, version: &str, from: &str) -> Result<PathBuf> {
        let place = self.folder.join("sources").join(format!("{name}-{version}"));
        if place.is_dir() {
            return Ok(place);
        }
        let work = tempfile::tempdir()?;
        let unpacked = match from {
            "crates.io" => vendored(work.path(), name, version)?,
            "PyPI" => {
                let wanted = format!("{name}=={version}");
                let pip = ["-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", &wanted];
                process::run(Command::new("python3").args(pip).current_dir(&work))?;
                unpacked(work.path())?
            }
            "npm" => {
                process::run(
                    Command::new("npm").args(["pack", "-s", &format!("{name}@{version}")]).current_dir(&work),
                )?;
                unpacked(work.path())?
            }
            other => bail!("no registry is called {other:?}"),
        };
        copy(&unpacked, &place)?;
        Ok(place)
    }

    /// One row of the table.
    fn try_one(&self, name: &str, source: &Path, defect: Option<&Defect>) -> Result<String> {
        let case = defect.map_or("as downloaded", |defect| defect.what.as_str());
        let project = self.folder.join("runs").join(format!("{name}-{}", case.replace(' ', "-")));
        if project.exists() {
            fs::remove_dir_all(&project)?;
        }
        copy(source, &project)?;
        let sound = defect.map(|defect| defect.put_into(&project)).transpose()?;
        let commit = "git init -q && git add -A && git -c user.name=x -c user.email=x@localhost commit -qm x";
        process::run(Command::new("sh").args(["-c", commit]).current_dir(&project))?;
        let begin = Instant::now();
        let mut run = Command::new(&self.mb);
        run.args(["run", "--json", "--time", RUN_TIME]).current_dir(&project).stderr(Stdio::null());
        let output = run.env("MB_DATA_DIR", self.folder.join("data")).output()?;
        let report: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("`mb run` in {} printed no report", project.display()))?;
        let report = report.get("report").unwrap_or(&report);
        let mended = defect.zip(sound).map_or("", |(defect, sound)| mended(&project, report, defect, &sound));
        let [steps, failure, repair] = cells(report);
        let seconds = begin.elapsed().as_secs();
        let outcome = word(report, "outcome");
        Ok(format!("| {name} | {case} | {outcome} | {steps} | {failure} | {repair} | {mended} | {seconds} |"))
    }
}

impl Defect {
    /// Puts it in and returns the file as it was.
    fn put_into(&self, project: &Path) -> Result<String> {
        let path = project.join(&self.file);
        let sound = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(sound.contains(&self.find), "{} has no {:?}", path.display(), self.find);
        fs::write(&path, sound.replacen(&self.find, &self.put, 1))?;
        Ok(sound)
    }
}

/// Whether the result branch has the file as it was before the defect.
fn mended(project: &Path, report: &Value, defect: &Defect, sound: &str) -> &'static str {
    let branch = format!("meta-builder/{}:{}", word(report, "run"), defect.file);
    let shown = Command::new("git").args(["show", &branch]).current_dir(project).output();
    match shown {
        Ok(shown) if !shown.status.success() => "no branch",
        Ok(shown) if shown.stdout == sound.as_bytes() => "exactly",
        _ => "otherwise",
    }
}

/// Each step's state, the failures found, and the strategies tried.
fn cells(report: &Value) -> [String; 3] {
    let steps: Vec<&Value> = report.get("steps").and_then(Value::as_array).into_iter().flatten().collect();
    let states = steps.iter().map(|step| format!("{} {}", word(step, "name"), how(step)));
    let failed: Vec<&&Value> = steps.iter().filter(|step| step.get("failure").is_some_and(|f| !f.is_null())).collect();
    let failures = failed.iter().map(|step| {
        let failure = &step["failure"];
        format!("{}: {}: {}", word(step, "name"), word(failure, "kind"), word(failure, "summary"))
    });
    let tried = failed.iter().flat_map(|step| step.get("tried").and_then(Value::as_array).into_iter().flatten());
    let tried = tried.map(|repair| format!("{} {}", word(repair, "strategy"), word(repair, "verdict")));
    [cell(states), cell(failures), cell(tried)]
}

fn how(step: &Value) -> &str {
    match word(step, "how") {
        "" => word(step, "state"),
        how => how,
    }
}

fn cell(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    let text: String = parts.join(", ").replace('|', "/").replace('\n', " ");
    text.chars().take(CELL_MAX).collect()
}

fn word<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The sources `cargo vendor` finds for a package that needs only this one.
fn vendored(work: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let manifest = format!("[package]\nname = \"lab\"\n[dependencies]\n{name} = \"={version}\"\n");
    fs::create_dir(work.join("src"))?;
    fs::write(work.join("src/lib.rs"), "")?;
    fs::write(work.join("Cargo.toml"), manifest)?;
    process::run(process::cargo(work).args(["vendor", "-q"]).stdout(Stdio::null()))?;
    let sources = work.join("vendor").join(name);
    fs::remove_file(sources.join(".cargo-checksum.json"))?;
    Ok(sources)
}

/// The folder in the one archive that lies in `work`.
fn unpacked(work: &Path) -> Result<PathBuf> {
    process::run(Command::new("sh").args(["-c", "tar xzf *gz --no-same-owner && rm *gz"]).current_dir(work))?;
    let mut entries = fs::read_dir(work)?.filter_map(Result::ok).map(|entry| entry.path());
    entries.find(|path| path.is_dir()).context("the archive has no folder")
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().unwrap_or(to))?;
    process::run(Command::new("cp").arg("-r").args([from, to]))
}
