//! Worker processes: started, killed, stopped and asked to end; queues and tasks from the command line.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::postgres::Scratch;
use crate::support::{DEADLINE, Started, Up, World, eventually, get};

/// A worker process, and where its probes are.
struct WorkerProcess {
    process: Started,
    probes: String,
}

impl WorkerProcess {
    fn start(world: &World, args: &[&str]) -> WorkerProcess {
        let args = [&["worker", "--listen", "127.0.0.1:0"][..], args].concat();
        let process = world.start(world.command(&args));
        let probes = eventually("the worker says where its probes are", || {
            let said = process.err();
            let at = said.find("http://")? + "http://".len();
            said[at..].split_once('\n').map(|(address, _)| address.to_owned())
        });
        WorkerProcess { process, probes }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(&self.probes).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.0\r\nhost: worker\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A task that goes on until somebody stops it.
const LONG: &[&str] = &["sleep", "--payload", "{\"ms\": 3600000}", "--timeout", "1h"];

fn add(world: &World, args: &[&str]) -> String {
    world.mb(&[&["task", "add"][..], args].concat()).expect(0).out.trim().to_owned()
}

fn task(world: &World, id: &str) -> Value {
    world.mb(&["task", "show", id, "--json"]).expect(0).json()
}

fn state(world: &World, id: &str) -> String {
    task(world, id)["state"].as_str().unwrap().to_owned()
}

fn done(world: &World, id: &str) {
    eventually("the task is done", || (state(world, id) == "succeeded").then_some(()));
}

fn leased(world: &World, id: &str) {
    eventually("the task is leased", || (state(world, id) == "leased").then_some(()));
}

#[test]
fn a_worker_process_does_tasks_and_answers_probes() {
    let world = World::new();
    let task = add(&world, &["noop"]);
    let worker = WorkerProcess::start(&world, &["--class", "io", "--slots", "3"]);
    done(&world, &task);
    assert!(worker.get("/healthz").contains("200 OK"));
    assert!(worker.get("/readyz").contains("\"ready\""));
    assert!(worker.get("/metrics").contains("jobs_processed_total{queue=\"io\",outcome=\"succeeded\"} 1"));
    assert!(worker.get("/api/v1/runs").contains("404"), "it is no server");
    let workers = world.mb(&["worker", "ls", "--json"]).expect(0).json();
    assert_eq!(
        (&workers[0]["slots"], &workers[0]["roles"]),
        (&serde_json::json!({"io": 3}), &serde_json::json!(["worker"]))
    );
    worker.process.signal("TERM");
    worker.process.end().expect(0);
    assert_eq!(world.mb(&["worker", "ls", "--json"]).expect(0).json(), serde_json::json!([]), "it signed off");
}

#[test]
fn a_killed_worker_loses_nothing_and_its_successor_goes_on_at_once() {
    let mut world = World::new();
    // The lease would hold for ten minutes: only the name shows that the process is dead.
    world.set("MB_LEASE", "10m");
    let args = ["--class", "io", "--slots", "2"];
    let mut first = WorkerProcess::start(&world, &args);
    let long = [add(&world, LONG), add(&world, LONG)];
    let waiting = add(&world, &["noop", "--priority", "low"]);
    long.iter().for_each(|id| leased(&world, id));
    let dead = task(&world, &long[0])["worker"].clone();
    first.process.kill();
    let second = WorkerProcess::start(&world, &args);
    for id in &long {
        eventually("its successor has it", || (state(&world, id) == "leased").then_some(()));
        assert_eq!(task(&world, id)["losses"], 1, "it cost one worker");
        assert_ne!(task(&world, id)["worker"], dead);
    }
    // Another one of the same classes beside it takes another name, and none of its tasks.
    let third = WorkerProcess::start(&world, &args);
    done(&world, &waiting);
    for id in &long {
        assert_eq!((task(&world, id)["losses"].clone(), state(&world, id).as_str()), (1.into(), "leased"));
        world.mb(&["task", "cancel", id]).expect(0);
    }
    for id in &long {
        eventually("it stops", || (state(&world, id) == "canceled").then_some(()));
    }
    for worker in [second, third] {
        worker.process.signal("TERM");
        worker.process.end().expect(0);
    }
}

#[test]
fn a_worker_that_is_stopped_finishes_what_it_does_and_a_second_signal_ends_it() {
    let world = World::new();
    let args = ["--class", "io", "--slots", "1"];
    let worker = WorkerProcess::start(&world, &args);
    let short = add(&world, &["sleep", "--payload", "{\"ms\": 3000}"]);
    leased(&world, &short);
    let later = add(&world, &["noop"]);
    worker.process.signal("TERM");
    worker.process.end().expect(0);
    assert_eq!((state(&world, &short).as_str(), state(&world, &later).as_str()), ("succeeded", "ready"));

    let worker = WorkerProcess::start(&world, &args);
    done(&world, &later);
    let long = add(&world, LONG);
    leased(&world, &long);
    worker.process.signal("TERM");
    eventually("it says that it stops", || worker.process.err().contains("stopping").then_some(()));
    worker.process.signal("TERM");
    worker.process.end().expect(130);
}

#[test]
fn queues_are_paused_drained_and_restarted_from_the_command_line() {
    let world = World::new();
    let worker = WorkerProcess::start(&world, &["--class", "io"]);
    world.mb(&["queue", "pause", "io"]).expect(0);
    let waiting = add(&world, &["noop"]);
    let io = |world: &World| world.mb(&["queue", "ls", "--json"]).expect(0).json()[1].clone();
    assert_eq!((&io(&world)["class"], &io(&world)["state"]), (&"io".into(), &"paused".into()));
    assert_eq!(state(&world, &waiting), "ready");
    world.mb(&["queue", "resume", "io"]).expect(0);
    done(&world, &waiting);
    world.mb(&["queue", "drain", "--all"]).expect(0);
    let refused = world.mb(&["task", "add", "noop", "--json"]).expect(10).error();
    assert_eq!(refused["suggestion"], "mb queue restart io");
    world.mb(&["queue", "restart", "--all"]).expect(0);
    let bad = add(&world, &["sleep", "--payload", "{}"]);
    eventually("it has failed", || (state(&world, &bad) == "failed").then_some(()));
    let dead = world.mb(&["task", "dead", "--json"]).expect(0).json();
    assert_eq!(dead["items"][0]["id"], *bad);
    assert_eq!(world.mb(&["task", "requeue", "--all", "--dry-run", "--json"]).expect(0).json()["count"], 1);
    assert_eq!(world.mb(&["task", "requeue", &bad, "--json"]).expect(0).json()["count"], 1);
    world.mb(&["task", "cancel", "tsk_00000000000000000000000000"]).expect(3);
    world.mb(&["queue", "clear-stuck"]).expect(0);
    drop(worker);
}

#[test]
fn a_bad_number_is_an_error_with_its_range() {
    let world = World::new();
    let check = |env: &[(&str, &str)], args: &[&str], says: &str| {
        let mut command = world.command(args);
        command.envs(env.iter().copied());
        let ended = world.start(command).end().expect(2);
        assert!(ended.err.contains(says), "{args:?}: {}", ended.err);
    };
    check(&[], &["up", "--slots", "0"], "give a number from 1 to 256");
    check(&[], &["run", "--slots", "257", "--", "true"], "give a number from 1 to 256");
    check(&[("META_V4_IO_WORKERS", "0")], &["worker"], "0 is not in 1..=256");
    check(&[("META_V4_IO_QUEUE_SIZE", "0")], &["task", "add", "noop"], "META_V4_IO_QUEUE_SIZE");
    check(&[("WORKER_POLL_EVERY", "5h")], &["worker"], "must be from 10ms to 1m");
    std::fs::create_dir_all(&world.data).unwrap();
    std::fs::write(world.data.join("config.toml"), "io_workers = 0\n").unwrap();
    check(&[], &["worker"], "io_workers: 0 is not in 1..=256");
    std::fs::write(world.data.join("config.toml"), "oi_workers = 1\n").unwrap();
    check(&[], &["worker"], "oi_workers");
}

#[test]
fn settings_are_shown_with_their_source() {
    let mut world = World::new();
    world.set("META_V4_CPU_QUEUE_SIZE", "7");
    std::fs::create_dir_all(&world.data).unwrap();
    std::fs::write(world.data.join("config.toml"), "lease = \"20s\"\n").unwrap();
    let rows = world.mb(&["config", "server", "--json"]).expect(0).json();
    let row = |key: &str| rows.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap().clone();
    for (key, value, source) in [
        ("cpu_queue_size", "7", "environment META_V4_CPU_QUEUE_SIZE"),
        ("io_workers", "20", "default"),
        ("max_tasks_per_worker", "10", "default"),
        ("task_retention", "7d", "default"),
    ] {
        assert_eq!((&row(key)["value"], &row(key)["source"]), (&value.into(), &source.into()), "{key}");
    }
    assert_eq!(row("lease")["value"], "20s");
    assert!(row("lease")["source"].as_str().unwrap().ends_with("config.toml"));
}

#[test]
fn two_nodes_share_tasks_and_all_workers_end_when_they_are_asked_to() {
    let Some(scratch) = Scratch::new() else { return };
    let (mut first, mut second) = (World::new(), World::new());
    first.set("MB_STORE", &scratch.url);
    second.set("MB_STORE", &scratch.url);
    let up = first.up(&[]);
    let there = WorkerProcess::start(&second, &["--class", "io", "--class", "cpu", "--slots", "4"]);
    let ids: Vec<String> = (0..6).map(|_| add(&second, &["sleep", "--payload", "{\"ms\": 50}"])).collect();
    ids.iter().for_each(|id| done(&first, id));
    // A project that only the first machine has is never touched by the second.
    first.write("meta-builder.toml", "[steps.check]\nrun = \"true\"\n");
    for _ in 0..3 {
        first.ask(&up, &["run"]).expect(0);
    }
    let asked = first.ask(&up, &["worker", "drain", "--all", "--json"]).expect(0).json();
    assert_eq!(asked["asked"], 2);
    there.process.end().expect(0);
    eventually("all have signed off", || {
        let workers = second.mb(&["worker", "ls", "--json"]).expect(0).json();
        (workers.as_array().map(Vec::len) == Some(0)).then_some(())
    });
    assert_eq!(crate::support::http(&up, "GET", "/livez", "").0, 200, "the server goes on answering");
    let log: PathBuf = first.data.join("admin-token");
    assert!(log.exists() && up.process.err().contains("workers asked to end"), "{}", up.process.err());
}

#[test]
fn a_server_without_workers_leaves_its_runs_to_worker_processes() {
    let world = World::with_config("[steps.check]\nrun = \"true\"\n");
    let process = world.start(world.command(&["serve", "--role", "api", "--listen", "127.0.0.1:0"]));
    eventually("it serves", || process.err().contains("administrator's token: in ").then_some(()));
    assert!(!process.err().contains("welcome"), "it prints no link: {}", process.err());
    let said = process.err();
    let url = said.lines().find_map(|line| line.split_once("serves on ")).unwrap().1.to_owned();
    let token = std::fs::read_to_string(world.data.join("admin-token")).unwrap().trim().to_owned();
    let up = Up { process, url, token };
    let run = world.start(world.remote(&up, &["run"]));
    eventually("the run waits", || {
        (get(&up, "/api/v1/runs?state=pending")["items"].as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let health = get(&up, "/api/meta/v4/workers/health");
    assert_eq!(health["status"], "down");
    let worker = world.start(world.command(&["serve", "--role", "worker", "--ops-listen", "127.0.0.1:0"]));
    run.end().expect(0);
    for process in [up.process, worker] {
        process.signal("TERM");
        process.end().expect(0);
    }
}
