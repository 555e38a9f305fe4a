//! Workflows, schedules and triggers at the shell: over a data folder and through a server alike, and two servers on one
//! database of which one is killed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::postgres::Scratch;
use crate::support::{Up, World, eventually, get};

const GREET: &str = r#"
name = "greet"

[inputs.who]
default = "world"

[inputs.times]
type = "number"
default = 1

[[steps]]
name = "say"
kind = "transform"
value = "hello {{ inputs.who }}"

[[steps]]
name = "tell"
needs = ["say"]
command = "true"
"#;

const OUTER: &str = r#"
name = "outer"

[[steps]]
name = "call"
kind = "workflow"
workflow = "inner"
inputs = { who = "bob" }
"#;

fn world() -> World {
    let world = World::new();
    world.write("greet.toml", GREET);
    world
}

/// The same commands, with the same answers, of the data folder and of a server over it.
#[test]
fn workflows_and_schedules_are_the_same_here_and_through_a_server() {
    for through_server in [false, true] {
        let world = world();
        let up = through_server.then(|| world.up(&[]));
        let mb = |args: &[&str]| match &up {
            Some(up) => world.ask(up, args),
            None => world.mb(args),
        };
        let out = |args: &[&str]| mb(args).expect(0).out.trim().to_owned();
        assert_eq!(out(&["workflow", "apply", "greet.toml"]), "greet version 1 is new and runs from now on");
        assert_eq!(out(&["workflow", "apply", "greet.toml"]), "greet version 1 nothing changed");
        world.write("second.toml", &GREET.replace("hello", "hi"));
        assert_eq!(out(&["workflow", "apply", "second.toml"]), "greet version 2 is new and runs from now on");
        assert_eq!(out(&["workflow", "rollback", "greet"]), "greet version 1 runs from now on");
        let versions = mb(&["workflow", "versions", "greet", "--json"]).expect(0).json();
        let seen: Vec<_> = versions.as_array().unwrap().iter().map(|v| (&v["version"], &v["current"])).collect();
        assert_eq!(seen, [(&json!(2), &json!(false)), (&json!(1), &json!(true))]);
        assert!(out(&["workflow", "show", "greet"]).contains("input     times: number = 1"));

        let add = ["schedule", "add", "nightly", "greet", "--cron", "30 2 * * *", "--zone", "Asia/Kathmandu"];
        assert!(out(&add).starts_with("nightly: greet 30 2 * * * in Asia/Kathmandu, next at "));
        assert!(mb(&add).expect(5).err.contains("there is a schedule \"nightly\" already"));
        let replaced =
            [&add[..], &["--replace", "--jitter", "10m", "--overlap", "queue", "--input", "times=3"]].concat();
        out(&replaced);
        let shown = mb(&["schedule", "show", "nightly", "--json"]).expect(0).json();
        assert_eq!(
            (&shown["schedule"]["jitter_s"], &shown["schedule"]["overlap"], &shown["schedule"]["inputs"]),
            (&json!(600), &json!("queue"), &json!({ "times": 3 })),
        );
        assert!(out(&["schedule", "next", "nightly", "-n", "2"]).contains("02:30 +0545"));
        assert!(out(&["schedule", "pause", "nightly", "--reason", "release"]).ends_with(": release"));
        assert!(out(&["schedule", "resume", "nightly"]).contains("next at"));
        mb(&["schedule", "rm", "nightly"]).expect(0);
        mb(&["schedule", "show", "nightly"]).expect(3);

        let on = ["trigger", "add", "deployed", "greet", "--on-event", "deploy", "--input", "who={{ event.data.who }}"];
        assert_eq!(out(&on), "deployed: starts greet on event deploy");
        let event = ["event", "send", "deploy", "--data", r#"{"who":"ada"}"#, "--id", "e1"];
        assert!(mb(&event).expect(0).err.contains("1 trigger waited for it, 1 started"));
        assert!(mb(&event).expect(0).err.contains("1 trigger waited for it, 0 started"));
        out(&["trigger", "pause", "deployed"]);
        assert!(out(&["trigger", "ls"]).contains("paused"));
        mb(&["trigger", "rm", "deployed"]).expect(0);

        let run = mb(&["workflow", "run", "greet", "--input", "who=ann", "--watch"]).expect(0);
        assert!(run.err.contains("tell"), "{}", run.err);
        world.write("outer.toml", OUTER);
        world.write("inner.toml", &GREET.replace("\"greet\"", "\"inner\""));
        out(&["workflow", "apply", "inner.toml"]);
        out(&["workflow", "apply", "outer.toml"]);
        mb(&["workflow", "run", "outer", "--watch"]).expect(0);
        let children = mb(&["run", "ls", "--json"]).expect(0).json();
        let children = children["items"].as_array().unwrap().iter().filter(|run| run["workflow"] == "inner").count();
        assert_eq!(children, 1, "a step runs the published workflow");
        let keyed = || out(&["workflow", "run", "greet", "--key", "once"]);
        assert_eq!(keyed(), keyed(), "the same key is the same run");
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_code() {
    let world = world();
    let fails = |args: &[&str], code: i32, part: &str| {
        let ended = world.mb(args).expect(code);
        assert!(ended.err.contains(part), "{args:?}: {}", ended.err);
    };
    world.write("bad.toml", &GREET.replace("needs = [\"say\"]", "need = [\"say\"]"));
    fails(&["workflow", "apply", "bad.toml"], 2, "bad.toml is not a workflow: line ");
    fails(&["workflow", "apply", "bad.toml"], 2, "unknown field `need`");
    fails(&["workflow", "apply", "nothing.toml"], 2, "nothing.toml cannot be read");
    fails(&["workflow", "show", "nobody"], 3, "there is no workflow \"nobody\"");
    world.mb(&["workflow", "apply", "greet.toml", "--check"]).expect(0);
    fails(&["workflow", "show", "greet"], 3, "there is no workflow \"greet\"");
    world.mb(&["workflow", "apply", "greet.toml"]).expect(0);
    fails(&["workflow", "rollback", "greet"], 5, "no version before 1");
    fails(&["workflow", "run", "greet", "--input", "times=x"], 2, "input \"times\" must be a number");
    fails(&["workflow", "run", "greet", "--input", "who"], 2, "NAME=VALUE");
    fails(&["schedule", "add", "a", "greet"], 2, "either a cron pattern");
    fails(&["schedule", "add", "a", "greet", "--every", "5 minutes"], 2, "write 30s, 15m, 6h or 2d");
    fails(&["schedule", "add", "a", "greet", "--every", "1h", "--overlap", "maybe"], 2, "skip, queue, allow, cancel");
    fails(&["schedule", "next", "--cron", "0 0 30 2 *"], 2, "never comes");
    fails(&["trigger", "add", "a", "greet", "--on-run", "greet", "--outcome", "good"], 2, "is no outcome");
    fails(&["event", "send", "deploy", "--data", "{"], 2, "is not JSON");
    let next = world.mb(&["schedule", "next", "--cron", "@daily", "--zone", "Europe/Oslo", "-n", "3", "--json"]);
    assert_eq!(next.expect(0).json().as_array().map(Vec::len), Some(3));
}

/// The runs of a schedule that fires every second, by the time each was for.
fn starts(world: &World, up: &Up) -> Vec<(String, String)> {
    let shown = world.ask(up, &["schedule", "show", "tick", "--json"]).expect(0).json();
    let fires = shown["fires"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let started = fires.filter(|fire| fire["state"] == "started");
    started.map(|fire| (text(&fire["occasion"]), text(&fire["run"]))).collect()
}

#[test]
fn when_the_server_that_leads_is_killed_the_other_goes_on() {
    let Some(scratch) = Scratch::new() else { return };
    let (mut first, mut second) = (world(), World::new());
    first.set("MB_STORE", &scratch.url);
    second.set("MB_STORE", &scratch.url);
    let mut one = first.up(&[]);
    first.ask(&one, &["workflow", "apply", "greet.toml"]).expect(0);
    first.ask(&one, &["schedule", "add", "tick", "greet", "--every", "1s", "--overlap", "allow"]).expect(0);
    eventually("the first server starts a run", || (!starts(&first, &one).is_empty()).then_some(()));
    let mut two = second.up(&[]);
    two.token.clone_from(&one.token);
    one.process.kill();
    let killed = Instant::now();
    let before: Vec<String> = starts(&second, &two).into_iter().map(|(at, _)| at).collect();
    // What the first had decided is there; a time after that can only be the second's.
    let last = before.iter().max().cloned().unwrap_or_default();
    eventually("the second server goes on", || starts(&second, &two).iter().any(|(at, _)| *at > last).then_some(()));
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(20), "another leads after 10 seconds, and starts at once: {took:?}");
    let runs = get(&two, "/api/v1/runs?limit=200");
    let runs = runs["items"].as_array().unwrap();
    let fires = get(&two, "/api/v1/schedules/tick/fires?limit=200");
    let fires = fires["items"].as_array().unwrap();
    let made = fires.iter().filter(|fire| matches!(fire["state"].as_str(), Some("started" | "pending"))).count();
    // The runs were read first: each belongs to a start that was decided, and no start has two.
    assert!(runs.len() <= made, "{} runs of {made} starts", runs.len());
    let distinct: BTreeSet<&str> = fires.iter().filter_map(|fire| fire["run"].as_str()).collect();
    assert_eq!(distinct.len(), fires.iter().filter(|fire| fire["run"].is_string()).count());
}
