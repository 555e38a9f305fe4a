//! The command line against a running `up`: the same answers as from the data folder, and what only a server has.

use serde_json::Value;

use crate::cli::{repaired, shape};
use crate::support::{World, eventually, get, http};

#[test]
fn the_server_answers_as_the_data_folder_does() {
    let world = repaired();
    let up = world.up(&[]);
    let ended = world.ask(&up, &["run"]).expect(0);
    assert!(ended.err.contains("repaired"), "{}", ended.err);
    let list = world.ask(&up, &["run", "ls", "--json"]).expect(0).json();
    let id = list["items"][0]["id"].as_str().unwrap();
    for args in [&["run", "show", id, "--json"][..], &["run", "timeline", id, "--json"], &["run", "ls", "--json"]] {
        let (there, here) = (world.ask(&up, args).expect(0).json(), world.mb(args).expect(0).json());
        assert_eq!(shape(&there, 0), shape(&here, 0), "{args:?}");
    }
    for args in [&["run", "logs", id, "check#1"][..], &["run", "diff", id], &["run", "show", id, "--markdown"]] {
        assert_eq!(world.ask(&up, args).expect(0).out, world.mb(args).expect(0).out, "{args:?}");
    }
    for args in [&["run", "apply"][..], &["run", "resume"]] {
        let refused = world.ask(&up, args).expect(2);
        assert!(refused.err.contains("leave out --server"), "{}", refused.err);
    }
    world.mb(&["run", "apply", id]).expect(0);
    assert_eq!(world.read("state.txt"), "good\n");
}

#[test]
fn a_token_is_needed_and_its_scope_counts() {
    let world = repaired();
    let up = world.up(&[]);
    let with = |token: &str, args: &[&str]| {
        let mut command = world.remote(&up, args);
        command.env("MB_TOKEN", token);
        world.start(command).end()
    };
    with("", &["run", "ls"]).expect(4);
    with("mb_wrong", &["run", "ls"]).expect(4);
    let reader = world.ask(&up, &["token", "add", "reader", "--scope", "runs:read"]).expect(0).out;
    with(reader.trim(), &["run", "ls"]).expect(0);
    let refused = with(reader.trim(), &["run", "--json"]).expect(4).error();
    assert!(refused["error"].as_str().unwrap().contains("runs:operate"), "{refused}");
}

#[test]
fn a_run_on_the_server_is_canceled() {
    let world = World::with_config("[steps.wait]\nrun = \"sleep 300\"\n");
    let up = world.up(&[]);
    let following = world.start(world.remote(&up, &["run"]));
    let id = eventually("the run is running", || {
        let run = get(&up, "/api/v1/runs?state=running")["items"].get(0)?.clone();
        (run["cells"][0]["state"] == "running").then(|| run["id"].as_str().unwrap().to_owned())
    });
    world.ask(&up, &["run", "cancel", &id]).expect(0);
    following.end().expect(130);
}

#[test]
fn a_server_that_is_asked_to_stop_stops() {
    let world = World::new();
    let up = world.up(&[]);
    assert_eq!(http(&up, "GET", "/livez", "").0, 200);
    up.process.signal("TERM");
    up.process.end().expect(0);
}

#[test]
fn the_demo_ends_repaired() {
    let world = World::new();
    let ended = world.mb(&["up", "--demo", "--exit", "--listen", "127.0.0.1:0"]).expect(0);
    for words in ["is up", "/welcome?t=", "lint", "repaired", "$0.00"] {
        assert!(ended.err.contains(words), "{words:?} is missing: {}", ended.err);
    }
    let list: Value = world.mb(&["run", "ls", "--json"]).expect(0).json();
    assert_eq!(list["items"][0]["outcome"], "repaired");
}
