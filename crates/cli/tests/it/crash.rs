//! The crash proof: `up` is ended by SIGKILL at random moments of runs and started again, and every run ends as if
//! nothing had happened.
//!
//! A run without any kill says what must come out. Every other must have the same outcome, steps, attempts, repairs,
//! logs and change, each recorded once; nothing may be left running, no worktree left behind, no file of the project
//! touched. `cargo xtask crash` runs this with more kills and a seed of one's own and shows the table.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::postgres::Scratch;
use crate::support::{Up, World, eventually, files, get, http, strays, within};

/// Kills in one proof, unless `MB_CRASH_KILLS` says otherwise.
const KILLS: u32 = 3;
/// Runs begun for each kill before the proof gives up: a late moment may miss its run.
const RUNS_PER_KILL: u32 = 5;

const CONFIG: &str = r#"
version = 1
name = "crash"

[steps.fetch]
run = "sh step.sh fetch"

[steps.format]
run = "sh step.sh format"
needs = ["fetch"]

[[steps.format.fix]]
name = "tidy"
run = "sh tidy.sh"

[steps.build]
run = "sh step.sh build"
needs = ["format"]

[steps.test]
run = "sh step.sh test"
needs = ["build"]

[[steps.test.fix]]
name = "count"
run = "sh count.sh"

[steps.docs]
run = "sh step.sh docs"
needs = ["fetch"]
"#;

/// Each step leaves a process behind that has left its session, as daemons do.
const STEP: &str = r#"
setsid sleep 300 </dev/null >/dev/null 2>&1 &
echo "begin $1"
sleep 0.2
case $1 in
format) if grep -n ' $' notes.txt; then echo "notes.txt would be reformatted"; exit 1; fi ;;
test) grep -q '^3 lines$' total.txt || { echo "total.txt is out of date"; exit 1; } ;;
esac
echo "end $1"
"#;

/// Pseudo-random numbers of a seed (SplitMix64): the same seed kills at the same moments.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// One kill: when, what was going on, and when the server that came after did something for the run.
struct Kill {
    run: String,
    moment_ms: u64,
    going_on: String,
    restarted: jiff::Timestamp,
    healthy_ms: u128,
    resumed_ms: Option<i64>,
}

struct Proof {
    world: World,
    mark: String,
    up: Up,
    kills: Vec<Kill>,
}

fn setting(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn killed_servers_lose_nothing_and_record_nothing_twice() {
    prove(None);
}

#[test]
fn killed_servers_on_postgres_lose_nothing_and_record_nothing_twice() {
    if let Some(scratch) = Scratch::new() {
        prove(Some(&scratch.url));
    }
}

fn prove(store: Option<&str>) {
    let wanted = u32::try_from(setting("MB_CRASH_KILLS").unwrap_or(u64::from(KILLS))).unwrap();
    let mut random = Random(setting("MB_CRASH_SEED").unwrap_or(1));
    let mut proof = Proof::begin(store);
    let before = files(&proof.world.project);
    let reference = proof.start();
    let began = Instant::now();
    proof.wait(&reference);
    let whole_ms = u64::try_from(began.elapsed().as_millis()).unwrap();
    let expected = proof.essence(&reference);
    assert!(expected.contains("outcome repaired"), "{expected}");
    let mut runs = 1;
    while proof.kills.len() < wanted as usize {
        assert!(runs < wanted * RUNS_PER_KILL, "too few of {runs} runs could be killed");
        let run = proof.start();
        runs += 1;
        // Some runs lose their server twice.
        for _ in 0..=random.below(2).min(u64::from(wanted) - proof.kills.len() as u64 - 1) {
            if !proof.kill(&run, random.below(whole_ms)) {
                break;
            }
        }
        proof.wait(&run);
        proof.resumed(&run);
        assert_eq!(proof.essence(&run), expected, "{run} differs after:\n{}", proof.table());
        eventually("no process of a run is left", || strays(&proof.mark).is_empty().then_some(()));
    }
    let worktrees = proof.world.data.join("worktrees");
    // Tool caches are shared by all runs and stay.
    let left = || {
        let names = std::fs::read_dir(&worktrees).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != ".tools").collect::<Vec<_>>()
    };
    assert!(within(Duration::from_secs(10), || left().is_empty()), "worktrees are left: {:?}", left());
    assert_eq!(files(&proof.world.project), before, "the project's files were touched");
    assert_eq!(proof.world.git(&["status", "--porcelain"]), "");
    assert_eq!(proof.world.git(&["worktree", "list"]).lines().count(), 1);
    let branches = proof.world.git(&["for-each-ref", "refs/heads/meta-builder"]);
    assert_eq!(branches.lines().count(), runs as usize, "one branch for each run");
    eprintln!("{}\n{} kills in {runs} runs of {whole_ms} ms: no difference", proof.table(), proof.kills.len());
}

impl Proof {
    fn begin(store: Option<&str>) -> Proof {
        let mut world = World::new();
        let mark = format!("CRASH_MARK={}", world.dir.path().file_name().unwrap().to_string_lossy());
        let value = mark.split_once('=').unwrap().1;
        world.write(
            "meta-builder.toml",
            &CONFIG.replace("needs", &format!("env = {{ CRASH_MARK = \"{value}\" }}\nneeds")),
        );
        world.write("step.sh", STEP);
        world.write("tidy.sh", "sleep 0.1\nsed -i 's/ *$//' notes.txt\n");
        world.write("count.sh", "echo \"$(wc -l <notes.txt) lines\" >total.txt\n");
        world.write("notes.txt", "one \ntwo\nthree  \n");
        world.write("total.txt", "2 lines\n");
        world.git_init();
        if let Some(url) = store {
            world.set("MB_STORE", url);
        }
        let up = world.up(&[]);
        Proof { world, mark, up, kills: Vec::new() }
    }

    /// Starts a run over the API.
    fn start(&self) -> String {
        let wish = json!({ "root": self.world.project });
        let (status, body) = http(&self.up, "POST", "/api/v1/runs", &wish.to_string());
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["id"].as_str().unwrap().to_owned()
    }

    fn run(&self, id: &str) -> Value {
        get(&self.up, &format!("/api/v1/runs/{id}"))
    }

    fn wait(&self, id: &str) {
        eventually("the run ends", || {
            let over = self.run(id)["outcome"].is_string();
            if !over {
                std::thread::sleep(Duration::from_millis(20));
            }
            over.then_some(())
        });
    }

    /// Kills the server after this time and starts it again. Says whether the run was still going on.
    fn kill(&mut self, run: &str, moment_ms: u64) -> bool {
        // A random moment is the point, so this does wait for time to pass.
        std::thread::sleep(Duration::from_millis(moment_ms));
        let before = self.run(run);
        if before["outcome"].is_string() {
            return false;
        }
        self.up.process.kill();
        let restarted = jiff::Timestamp::now();
        let began = Instant::now();
        self.up = self.world.up(&[]);
        self.kills.push(Kill {
            run: run.to_owned(),
            moment_ms,
            going_on: going_on(&before),
            restarted,
            healthy_ms: began.elapsed().as_millis(),
            resumed_ms: None,
        });
        true
    }

    fn events(&self, run: &str) -> Vec<Value> {
        let page = get(&self.up, &format!("/api/v1/runs/{run}/timeline?limit=200"));
        assert_eq!(page["next"], Value::Null, "one page holds all events of such a run");
        page["items"].as_array().unwrap().clone()
    }

    /// Writes down when each killed server's successor first did something for the run.
    fn resumed(&mut self, run: &str) {
        let at = |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let times: Vec<jiff::Timestamp> = self.events(run).iter().map(at).collect();
        for kill in self.kills.iter_mut().filter(|kill| kill.run == run) {
            let first = times.iter().find(|at| **at > kill.restarted);
            kill.resumed_ms = first.map(|at| at.duration_since(kill.restarted).as_millis() as i64);
        }
    }

    /// Everything about a run that a crash must not change, as text.
    fn essence(&self, id: &str) -> String {
        let run = self.run(id);
        let mut text = format!("outcome {}\n", run["outcome"].as_str().unwrap());
        for step in run["steps"].as_array().unwrap() {
            let _ = writeln!(text, "step {} {} {}", step["name"], step["state"], step["how"]);
            for attempt in step["attempts"].as_array().unwrap() {
                let keys = ["number", "purpose", "tree", "state", "success", "exit"];
                let _ = writeln!(text, "  attempt {}", pick(attempt, &keys));
                let _ = writeln!(text, "    {}", self.log(id, attempt["work"].as_str().unwrap()));
            }
            for repair in step["repairs"].as_array().unwrap() {
                let _ =
                    writeln!(text, "  repair {}", pick(repair, &["number", "strategy", "state", "verdict", "title"]));
                let _ = writeln!(text, "    {}", repair["patch"]);
            }
        }
        text.push_str(&decisions(&self.events(id)));
        text.push_str(&http(&self.up, "GET", &format!("/api/v1/runs/{id}/diff"), "").1);
        text
    }

    /// What the step itself printed. Steps it needs may have run before it, in files that are new after a crash.
    fn log(&self, run: &str, work: &str) -> String {
        let page = get(&self.up, &format!("/api/v1/runs/{run}/logs?work={}", work.replace('#', "%23")));
        let lines: Vec<&str> = page["lines"].as_array().unwrap().iter().map(|l| l["text"].as_str().unwrap()).collect();
        let begin = format!("begin {}", work.split('#').next().unwrap());
        let begun: Vec<usize> = (0..lines.len()).filter(|n| lines[*n] == begin).collect();
        assert_eq!(begun.len(), 1, "{work} is in its log once: {lines:?}");
        lines[begun[0]..].join(" | ")
    }

    fn table(&self) -> String {
        let mut text = String::from("kill  after ms  healthy ms  resumed ms  going on\n");
        for (n, kill) in self.kills.iter().enumerate() {
            let resumed = kill.resumed_ms.map_or_else(|| "-".to_owned(), |ms| ms.to_string());
            let _ = writeln!(
                text,
                "{:>4}  {:>8}  {:>10}  {resumed:>10}  {}",
                n + 1,
                kill.moment_ms,
                kill.healthy_ms,
                kill.going_on
            );
        }
        text
    }
}

/// These keys of an object, in this order.
fn pick(object: &Value, keys: &[&str]) -> String {
    keys.iter().map(|key| format!("{key}={} ", object[*key])).collect()
}

/// What was recorded, each with its place, sorted: steps without needs between them may end in any order.
fn decisions(events: &[Value]) -> String {
    let seqs: Vec<i64> = events.iter().map(|event| event["seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|a, b| a < b), "the order of events is not that of their numbers");
    let final_words =
        ["step.attempted", "step.succeeded", "step.failed", "repair.finished", "run.published", "run.finished"];
    let told = events.iter().filter(|event| final_words.contains(&event["event"].as_str().unwrap()));
    let mut lines: Vec<String> =
        told.map(|event| pick(event, &["event", "step", "attempt", "repair", "verdict"])).collect();
    lines.sort();
    lines.join("\n") + "\n"
}

/// What the tasks of a run are doing, as `format#1 running`.
fn going_on(run: &Value) -> String {
    let tasks = run["steps"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|step| step["attempts"].as_array().unwrap().iter().chain(step["repairs"].as_array().unwrap()));
    let active = tasks.filter(|task| ["queued", "running"].contains(&task["state"].as_str().unwrap_or("")));
    let words: Vec<String> =
        active.map(|task| format!("{} {}", task["work"].as_str().unwrap(), task["state"].as_str().unwrap())).collect();
    if words.is_empty() { run["state"].as_str().unwrap().to_owned() } else { words.join(", ") }
}
