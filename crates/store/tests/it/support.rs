//! What every test needs: a fresh migrated store, a clock that is moved by hand, runs and outcomes in few words.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mb_core::attempt::AttemptOutcome;
use mb_core::budget::{Budget, MicroUsd};
use mb_core::failure::{Diagnostic, ExitCause, Failure, FailureKind, Fingerprint, Position, Signal};
use mb_core::id::{RunId, TenantId, WorkerId};
use mb_core::queue::Claim;
use mb_core::repair::{PatchRef, RepairOutcome, Verdict};
use mb_core::run::{Run, Source};
use mb_core::task::QueueClass;
use mb_core::time::Timestamp;
use mb_core::workflow::{CommandLine, Fixer, Limits, Network, RepairPolicy, StageKind, StepSpec, Workflow};
use mb_store::{NewRun, Store, StoreOptions, StoreUrl};

pub(crate) const TENANT: TenantId = TenantId::DEFAULT;
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Runs each function once per backend, as tests of their own.
macro_rules! suite {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let home = $crate::support::Home::sqlite().await;
                super::$name(home).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(home) = $crate::support::Home::postgres().await else { return };
                let test = tokio::spawn(super::$name(home.clone()));
                let result = test.await;
                home.drop_schema().await;
                result.expect("the test passes");
            })*
        }
    };
}
pub(crate) use suite;

/// Where one test's state lives.
#[derive(Clone)]
pub(crate) struct Home {
    pub(crate) store: Store,
    pub(crate) url: StoreUrl,
    pub(crate) options: StoreOptions,
    _folder: Option<std::sync::Arc<tempfile::TempDir>>,
}

impl Home {
    pub(crate) async fn sqlite() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let url = StoreUrl::Sqlite(folder.path().join("state/mb.db"));
        let options = StoreOptions { acquire_timeout: Duration::from_secs(30), ..StoreOptions::default() };
        Self::open(url, options, Some(std::sync::Arc::new(folder))).await
    }

    /// None when no PostgreSQL is given.
    pub(crate) async fn postgres() -> Option<Home> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var("MB_TEST_POSTGRES").ok()?;
        let schema = format!("mb_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let options = StoreOptions {
            connections_max: 4,
            acquire_timeout: Duration::from_secs(30),
            pg_schema: Some(schema),
            ..StoreOptions::default()
        };
        Some(Self::open(url.parse().unwrap(), options, None).await)
    }

    async fn open(url: StoreUrl, options: StoreOptions, folder: Option<std::sync::Arc<tempfile::TempDir>>) -> Home {
        let store = Store::open(&url, options.clone()).await.unwrap();
        store.migrate(at(0)).await.unwrap();
        Home { store, url, options, _folder: folder }
    }

    /// A second store on the same state, as another process would have it.
    pub(crate) async fn again(&self) -> Store {
        Store::open(&self.url, self.options.clone()).await.unwrap()
    }

    /// Runs SQL behind the store's back.
    pub(crate) async fn raw(&self, sql: &'static str) {
        use sqlx::Connection;
        match &self.url {
            StoreUrl::Sqlite(path) => {
                let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
                let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
            StoreUrl::Postgres(url) => {
                let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
                let options = options.options([("search_path", self.options.pg_schema.clone().unwrap())]);
                let mut connection = sqlx::PgConnection::connect_with(&options).await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
            }
        }
    }

    pub(crate) async fn drop_schema(&self) {
        use sqlx::Connection;
        self.store.close().await;
        if let (StoreUrl::Postgres(url), Some(schema)) = (&self.url, &self.options.pg_schema) {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            let sql = format!("SET client_min_messages TO warning; DROP SCHEMA {schema} CASCADE");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    }
}

/// Seconds after the beginning of the test's time.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000) + Duration::from_secs(seconds)
}

pub(crate) fn run_id(n: u64) -> RunId {
    RunId::from_bytes(u128::from(n).to_be_bytes())
}

pub(crate) fn worker(n: u64) -> WorkerId {
    WorkerId::from_bytes(u128::from(n).to_be_bytes())
}

/// Steps from `name` or `name<need`, each with one fixer.
pub(crate) fn workflow(steps: &[&str]) -> Workflow {
    let step = |text: &&str| {
        let (name, need) = text.split_once('<').map_or((*text, None), |(name, need)| (name, Some(need)));
        StepSpec {
            name: name.into(),
            stage: StageKind::Lint,
            command: CommandLine::Shell("true".into()),
            dir: String::new(),
            needs: need.into_iter().map(str::to_owned).collect(),
            env: BTreeMap::new(),
            env_pass: BTreeSet::new(),
            network: Network::None,
            limits: Limits::DEFAULT,
            fixers: vec![Fixer {
                name: "fix".into(),
                command: CommandLine::Shell("fix".into()),
                kinds: BTreeSet::new(),
                network: Network::None,
            }],
            caches: BTreeSet::new(),
        }
    };
    let workflow = Workflow {
        name: "build".into(),
        steps: steps.iter().map(step).collect(),
        budget: Budget { attempts: 50, ..Budget::DEFAULT },
        repair: RepairPolicy::default(),
        redact: Vec::new(),
    };
    workflow.validate().unwrap()
}

pub(crate) fn new_run(n: u64, created: Timestamp, steps: &[&str]) -> NewRun {
    let source = Source {
        root: "/home/ann/Project".into(),
        snapshot: serde_json::json!({"digest": "abc", "nul": "a\0b", "big": u64::MAX}),
        commit: Some("0123456789abcdef".into()),
    };
    let run = Run::new(created, run_id(n), TENANT, workflow(steps), source);
    NewRun { run, idempotency_key: None, affinity: None, actor: "ann".into() }
}

pub(crate) fn claim(n: u64, slots: usize) -> Claim {
    let slots = BTreeMap::from([(QueueClass::Cpu, slots)]);
    Claim { worker: worker(n), slots, affinity: None, lease: LEASE }
}

pub(crate) fn passed() -> AttemptOutcome {
    AttemptOutcome {
        exit: ExitCause::Code { code: 0 },
        duration_ms: 5,
        cpu_ms: 4,
        rss_bytes_max: 1 << 20,
        log_lines: 2,
        log_bytes: 80,
        sandbox: "none".into(),
        tests: None,
        failure: None,
        notes: vec!["a note with \0 in it".into()],
    }
}

pub(crate) fn failed(kind: FailureKind) -> AttemptOutcome {
    let exit = ExitCause::Code { code: 1 };
    let failure = Failure {
        kind,
        signal: Signal::ToolLine,
        exit,
        summary: "100% of Ünits broke".into(),
        tool: Some("ruff".into()),
        diagnostics: vec![Diagnostic {
            tool: "ruff".into(),
            rule: "F401".into(),
            kind,
            message: "unused import".into(),
            position: Some(Position { file: "a.py".into(), line: 1, column: 1 }),
        }],
        evidence: Vec::new(),
        hints: BTreeSet::new(),
        tests: None,
        fingerprint: Fingerprint("0123456789abcdef".into()),
    };
    AttemptOutcome { exit, failure: Some(failure), ..passed() }
}

pub(crate) const DIGEST: &str = "d1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ffd1ff";

pub(crate) fn repaired(verdict: Verdict) -> RepairOutcome {
    let patch = PatchRef { digest: DIGEST.into(), files: vec!["a.py".into()], added: 1, removed: 2 };
    RepairOutcome {
        title: "fixed it".into(),
        verdict,
        patch: Some(patch),
        verified: Vec::new(),
        candidates: 1,
        cost_microusd: MicroUsd(7),
        duration_ms: 9,
    }
}

/// The names of all migrations, in order, from their folder.
pub(crate) fn migrations() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut names: Vec<String> = files.map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
