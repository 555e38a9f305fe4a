//! What people and their projects do wrong. Each has a clear message and a documented exit code, leaves the run in a
//! named state and the host as it was.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use serde_json::Value;

use crate::support::{Ended, World, strays};

/// What the program said, with the folder of this test taken out.
fn said(world: &World, ended: &Ended) -> String {
    let root = world.dir.path().canonicalize().unwrap();
    let text = ended.err.replace(&*root.to_string_lossy(), "TEMP");
    format!("{text}exit {}\n", ended.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "expectations are written at the call")]
#[track_caller]
fn check(world: &World, args: &[&str], expected: Expect) {
    expected.assert_eq(&said(world, &world.mb(args)));
    assert!(!world.data.join("worktrees").exists(), "nothing was begun");
}

#[test]
fn a_folder_with_nothing_in_it() {
    let expected = expect![[r#"
        error: TEMP/project: there is nothing to run: no step is written, and no toolchain was recognised
          mend: mb run -- CMD, or mb init and add a step
        exit 2
    "#]];
    check(&World::new(), &["run"], expected);
}

#[test]
fn broken_toml() {
    let world = World::with_config("version = 1\n[steps.test\nrun = \"true\"\n");
    let expected = expect![[r#"
        error: TEMP/project/meta-builder.toml:2:12: unclosed table, expected `]`
          mend: mb config check
        exit 2
    "#]];
    check(&world, &["run"], expected);
}

#[test]
fn every_unknown_key_is_named_with_its_neighbour() {
    let world = World::with_config(
        "[steps.test]\nrum = \"true\"\ntimeuot = \"1s\"\nneeds = [\"biuld\"]\n[steps.build]\nrun = \"true\"\n",
    );
    let expected = expect![[r#"
        error: TEMP/project/meta-builder.toml:1:8: [steps.test] has no `run`
        TEMP/project/meta-builder.toml:2:1: unknown key `rum` in [steps.test]; did you mean `run`?
        TEMP/project/meta-builder.toml:3:1: unknown key `timeuot` in [steps.test]; did you mean `timeout`?
        TEMP/project/meta-builder.toml:4:9: `steps.test.needs` names `biuld`, which is not a step; did you mean `build`?
          mend: mb config check
        exit 2
    "#]];
    check(&world, &["run"], expected);
}

#[test]
fn errors_are_one_line_of_json_when_asked() {
    let world = World::new();
    let ended = world.mb(&["run", "--json"]).expect(2);
    assert_eq!(ended.out, "");
    let error = ended.error();
    assert_eq!(error["exit"], 2);
    assert_eq!(error["suggestion"], "mb run -- CMD, or mb init and add a step");
}

#[test]
fn a_folder_that_is_not_there() {
    let expected = expect![[r#"
        error: the folder no/such/folder cannot be used: No such file or directory (os error 2)
        exit 2
    "#]];
    check(&World::new(), &["run", "-C", "no/such/folder", "--", "true"], expected);
}

#[test]
fn a_step_that_is_not_there() {
    let world = World::with_config("[steps.build]\nrun = \"true\"\n");
    let expected = expect![[r#"
        error: there is no step "biuld"; the steps are build
        exit 2
    "#]];
    check(&world, &["run", "--only", "biuld"], expected);
}

#[test]
fn a_data_folder_that_cannot_be_made() {
    let world = World::new();
    world.write("file", "");
    let folder = world.project.join("file/data");
    let expected = expect![[r#"
        error: the data folder TEMP/project/file/data cannot be used; choose another with --data-dir or MB_DATA_DIR: Not a directory (os error 20)
        exit 2
    "#]];
    check(&world, &["--data-dir", folder.to_str().unwrap(), "run", "--", "true"], expected);
}

#[test]
fn a_store_that_is_none() {
    let expected = expect![[r#"
        error: the store (--store, MB_STORE or the settings file) cannot be used: a store is sqlite:PATH or postgres://USER@HOST/DATABASE
          mend: leave it out to use a SQLite file in the data folder
        exit 2
    "#]];
    check(&World::new(), &["--store", "mysql://somebody:hunter2@host/db", "run", "--", "true"], expected);
}

#[test]
fn a_postgres_that_refuses() {
    let world = World::new();
    // A port that was free a moment ago has nobody behind it.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://somebody:hunter2@127.0.0.1:{port}/db");
    for args in [&["run", "--", "true"][..], &["up"], &["run", "ls"], &["migrate"]] {
        let ended = world.mb(&[&["--store", &url], args].concat()).expect(10);
        let text = said(&world, &ended).replace(&port.to_string(), "PORT");
        expect![[r#"
            error: the store postgres://somebody:***@127.0.0.1:PORT/db cannot be opened: the database at 127.0.0.1:PORT refused the connection: error communicating with database: Connection refused (os error 111)
              mend: mb doctor
            exit 10
        "#]]
        .assert_eq(&text);
    }
}

#[test]
fn a_store_of_a_newer_release() {
    let world = World::new();
    world.mb(&["migrate"]).expect(0);
    let statement = "insert into mb_migrations (name, checksum, applied_at) values ('9999_later', 'x', 0)";
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()";
    let mut python = Command::new("python3");
    python.args(["-c", script]).arg(world.data.join("meta-builder.db")).arg(statement);
    let Ok(status) = python.status() else {
        return eprintln!("left out: a store of a newer release (needs python3)");
    };
    assert!(status.success());
    let expected = expect![[r#"
        error: the store sqlite:TEMP/data/meta-builder.db was written by a newer release of meta-builder
          mend: install the newer release, or choose another store with --store
        exit 5
    "#]];
    check(&world, &["run", "--", "true"], expected);
}

#[test]
fn a_second_server_on_the_same_data() {
    let world = World::new();
    let _up = world.up(&[]);
    let expected = expect![[r#"
        error: another server runs on the data folder TEMP/data
          mend: stop it, or choose another folder with --data-dir
        exit 5
    "#]];
    check(&world, &["up", "--listen", "127.0.0.1:0"], expected);
}

#[test]
fn a_port_that_is_taken() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = world.mb(&["up", "--listen", &address]).expect(5);
    expect![[r#"
        error: cannot listen on ADDRESS: Address already in use (os error 98)
          mend: choose another address with --listen
        exit 5
    "#]]
    .assert_eq(&said(&world, &ended).replace(&address, "ADDRESS"));
}

#[test]
fn an_address_of_the_world() {
    let expected = expect![[r#"
        error: 0.0.0.0:0 can be reached from other machines and there is no TLS here
          mend: put a TLS proxy in front and add --allow-public, or listen on 127.0.0.1
        exit 7
    "#]];
    check(&World::new(), &["up", "--listen", "0.0.0.0:0"], expected);
}

/// Runs one step and gives its report. Nothing of it may be left running.
#[track_caller]
fn fails(step: &str, kind: &str, says: &str, mend: Option<&str>) -> (World, Value) {
    let world = World::new();
    let mark = world.dir.path().file_name().unwrap().to_string_lossy().into_owned();
    world.write("meta-builder.toml", &format!("[steps.it]\nenv = {{ MARK = \"{mark}\" }}\n{step}\n"));
    let ended = world.mb(&["run", "--json", "--no-repair"]).expect(1);
    let report = ended.json();
    assert_eq!((&report["outcome"], &report["steps"][0]["state"]), (&"failed".into(), &"failed".into()), "{report:#}");
    let failure = &report["steps"][0]["failure"];
    assert_eq!(failure["kind"], kind, "{report:#}");
    assert!(failure["summary"].as_str().unwrap().contains(says), "{report:#}");
    assert_eq!(failure["mend"].as_str(), mend, "{report:#}");
    assert_eq!(strays(&format!("MARK={mark}")), Vec::<String>::new());
    assert_eq!(world.mb(&["run", "show", "--json"]).expect(0).json()["run"]["outcome"], "failed");
    (world, report)
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.map(Result::unwrap).map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        meta => meta.map_or(0, |meta| meta.len()),
    });
    sizes.sum()
}

#[test]
fn a_tool_that_is_missing() {
    let mend = Some("install no-such-tool, or add its folder to PATH");
    fails("run = [\"no-such-tool\", \"--check\"]", "toolchain_missing", "program not found: no-such-tool", mend);
    fails("run = \"no-such-tool --check\"", "toolchain_missing", "no-such-tool: not found", mend);
}

#[test]
fn five_gigabytes_of_output() {
    let mend = Some("raise `output` of the step in meta-builder.toml, if it really needs more");
    let (world, _) =
        fails("run = \"yes | head -c 5G\"\noutput = \"1MiB\"", "resource", "stopped at the output limit", mend);
    assert!(bytes_below(&world.data) < 32 << 20, "the disk was filled");
}

#[test]
fn forks_without_end() {
    // Bounded all the same, so that a limit that does not work costs this machine 400 idle processes and no more.
    let step =
        "run = \"i=0; while [ $i -lt 400 ]; do sleep 60 & i=$((i+1)); done; wait\"\npids = 50\ntimeout = \"60s\"";
    let mend = Some("raise `pids` of the step in meta-builder.toml, if it really needs more");
    fails(step, "resource", "stopped at the process limit", mend);
}

#[test]
fn a_command_that_ignores_the_signal_to_end() {
    let step = "run = \"trap '' TERM; while :; do sleep 1; done\"\ntimeout = \"1s\"\ngrace = \"100ms\"";
    let mend = Some("raise `timeout` of the step in meta-builder.toml, if it really needs more");
    fails(step, "timeout", "stopped after the time limit of 1.0s", mend);
}

#[test]
fn a_full_disk_quota() {
    let step = "run = \"head -c 50M /dev/zero >big\"\ndisk = \"5MiB\"";
    let mend = Some("raise `disk` of the step in meta-builder.toml, if it really needs more");
    fails(step, "resource", "stopped at the disk limit", mend);
}

#[test]
fn writing_outside() {
    let world = World::new();
    let outside = world.dir.path().canonicalize().unwrap().join("outside");
    std::fs::create_dir(&outside).unwrap();
    world.write("mine.txt", "mine\n");
    let script = format!(
        "echo x >{0}/a; echo x >/etc/mb-it-outside; echo x >{1}/b; echo changed >{2}/mine.txt; exit 3",
        outside.display(),
        world.data.display(),
        world.project.display()
    );
    let ended = world.mb(&["run", "--json", "--no-repair", "--", "sh", "-c", &script]).expect(1);
    assert_eq!(ended.json()["outcome"], "failed");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(!Path::new("/etc/mb-it-outside").exists());
    assert!(!world.data.join("b").exists());
    assert_eq!(world.read("mine.txt"), "mine\n");
}
