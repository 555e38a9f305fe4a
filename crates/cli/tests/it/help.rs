//! Help texts are part of the interface: a change of them is seen in review.

use expect_test::expect_file;

use crate::support::World;

#[test]
fn every_help_text() {
    let world = World::new();
    let commands: &[&[&str]] = &[
        &[],
        &["up"],
        &["run"],
        &["run", "ls"],
        &["run", "show"],
        &["run", "timeline"],
        &["run", "logs"],
        &["run", "diff"],
        &["run", "watch"],
        &["run", "cancel"],
        &["run", "resume"],
        &["run", "apply"],
        &["workflow"],
        &["workflow", "apply"],
        &["workflow", "run"],
        &["workflow", "rollback"],
        &["schedule"],
        &["schedule", "add"],
        &["schedule", "next"],
        &["trigger"],
        &["trigger", "add"],
        &["event", "send"],
        &["init"],
        &["config"],
        &["config", "explain"],
        &["config", "check"],
        &["doctor"],
        &["serve"],
        &["worker"],
        &["worker", "ls"],
        &["worker", "drain"],
        &["queue", "ls"],
        &["queue", "pause"],
        &["queue", "clear-stuck"],
        &["task", "add"],
        &["task", "show"],
        &["task", "dead"],
        &["task", "requeue"],
        &["token", "add"],
        &["token", "revoke"],
        &["migrate"],
        &["completion"],
    ];
    let mut text = String::new();
    for command in commands {
        let ended = world.mb(&[command, &["--help"][..]].concat()).expect(0);
        text.push_str(&format!("$ mb {}\n{}\n", [command, &["--help"][..]].concat().join(" "), ended.out));
    }
    // The data folder of this test is shown as the variable's value.
    expect_file!["snapshots/help.txt"].assert_eq(&text.replace(&*world.data.to_string_lossy(), "DATA_DIR"));
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let world = World::new();
    let page = world.mb(&["help", "exit-codes"]).expect(0).out;
    let readme = include_str!("../../../../README.md");
    for line in page.lines().filter(|line| line.starts_with("  ")) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(readme.contains(&format!("| {code} | ")), "README.md lacks exit code {code}: {meaning}");
    }
}

#[test]
fn scripts_and_pages_render() {
    let world = World::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = world.mb(&["completion", shell]).expect(0).out;
        assert!(script.contains("exit-codes") || script.contains("timeline"), "{shell}: {script}");
    }
    assert!(world.mb(&["man"]).expect(0).out.starts_with(".ie"));
    let version = world.mb(&["version", "--json"]).expect(0).json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    let document = world.mb(&["openapi"]).expect(0).json();
    assert!(document["paths"]["/api/v1/runs"].is_object());
}

#[test]
fn mistakes_on_the_command_line_end_with_2() {
    let world = World::new();
    for args in
        [&["rnu"][..], &["run", "--no-such-flag"], &["up", "--exit"], &["help", "nothing"], &["run", "show", "x"]]
    {
        let ended = world.mb(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.err);
        assert_eq!(ended.out, "", "{args:?}");
    }
    assert!(world.mb(&["confg"]).err.contains("similar subcommand"), "the nearest command is named");
}
