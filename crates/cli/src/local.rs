//! The embedded engine: data folder, store and sandbox of this machine, opened for one command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use anyhow::Context as _;
use mb_core::task::QueueClass;
use mb_engine::{DataDir, Engine, EngineOptions, Env, Outbound};
use mb_runner::{Sandbox, SandboxLevel};
use mb_store::{SchemaState, Store, StoreOptions, StoreUrl};

use crate::args::{Global, WorkArgs};
use crate::exit::{Exit, Failure};
use crate::settings::{self, fleet, fleet::Fleet};

/// Requests, and questions about other runs, at once.
const IO_SLOTS: usize = 16;
/// Questions to a model at once.
const LLM_SLOTS: usize = 4;

/// The data folder: what was asked for, else `$XDG_DATA_HOME/meta-builder`, else `~/.local/share/meta-builder`.
pub(crate) fn data_dir(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(dir) = &global.data_dir {
        return Ok(dir.clone());
    }
    let home = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    home("XDG_DATA_HOME")
        .or_else(|| Some(home("HOME")?.join(".local/share")))
        .map(|base| base.join("meta-builder"))
        .ok_or_else(|| {
            Failure::new(Exit::Usage, anyhow::anyhow!("there is no home folder to keep data in"))
                .mend("set MB_DATA_DIR")
        })
}

/// A folder that was named on the command line, in full.
pub(crate) fn folder(dir: &Path) -> Result<PathBuf, Failure> {
    let found = dir.canonicalize().with_context(|| format!("the folder {} cannot be used", dir.display()));
    found.map_err(|e| Failure::new(Exit::Usage, e))
}

/// Opens the data folder and the store, bringing a new or older schema up to date.
pub(crate) async fn open(global: &Global) -> Result<(DataDir, Store, Env), Failure> {
    open_with(global, StoreOptions::default()).await
}

async fn open_with(global: &Global, options: StoreOptions) -> Result<(DataDir, Store, Env), Failure> {
    let env = Env::system().context("no randomness from the operating system")?;
    let data = DataDir::open(&data_dir(global)?).map_err(|e| Failure::new(Exit::Usage, e))?;
    let settings = settings::load(global, data.root())?;
    let url = match global.store.as_deref().or(settings.store.as_deref()) {
        Some(text) => StoreUrl::from_str(text).map_err(|e| {
            // The address itself may hold a password.
            let error =
                anyhow::Error::new(e).context("the store (--store, MB_STORE or the settings file) cannot be used");
            Failure::new(Exit::Usage, error).mend("leave it out to use a SQLite file in the data folder")
        })?,
        None => StoreUrl::Sqlite(data.database()),
    };
    let store = Store::open(&url, options).await.map_err(|e| {
        Failure::new(Exit::Unreachable, anyhow::Error::new(e).context(format!("the store {url} cannot be opened")))
            .mend("mb doctor")
    })?;
    match store.schema().await.context("the schema cannot be read")? {
        SchemaState::Current => {}
        SchemaState::Pending(_) => {
            store.migrate(env.now()).await.context("the schema cannot be brought up to date")?;
        }
        SchemaState::Ahead(_) => {
            let error = anyhow::anyhow!("the store {url} was written by a newer release of meta-builder");
            return Err(Failure::new(Exit::Conflict, error)
                .mend("install the newer release, or choose another store with --store"));
        }
    }
    Ok((data, store, env))
}

/// The engine over all that, with the sandbox that was asked for or set.
pub(crate) async fn engine(global: &Global, work: &WorkArgs) -> Result<Engine, Failure> {
    let probing = Probing::start(global, work)?;
    let (data, store, env) = open(global).await?;
    Ok(over(env, store, data, probing.sandbox().await?, EngineOptions::default()))
}

/// The engine over its parts, with what the environment says workflows may reach.
pub(crate) fn over(env: Env, store: Store, data: DataDir, sandbox: Sandbox, options: EngineOptions) -> Engine {
    let engine = Engine::with_options(env, store, data, sandbox, options);
    engine.set_outbound(Outbound::from_env());
    engine
}

/// The engine of a server or worker, with queues as they are set.
pub(crate) async fn serving(global: &Global, work: &WorkArgs, fleet: &Fleet) -> Result<Engine, Failure> {
    let probing = Probing::start(global, work)?;
    let (data, store, env) = open_with(global, store_options(fleet)).await?;
    Ok(over(env, store, data, probing.sandbox().await?, fleet.engine.clone()))
}

fn store_options(fleet: &Fleet) -> StoreOptions {
    StoreOptions { weights: fleet.weights.clone(), ..StoreOptions::default() }
}

/// The sandbox being looked for. That starts processes and waits for them, so it is begun first and asked for last.
pub(crate) struct Probing(tokio::task::JoinHandle<Result<Sandbox, Failure>>);

impl Probing {
    /// Begins to look for the sandbox that was asked for or set.
    pub(crate) fn start(global: &Global, work: &WorkArgs) -> Result<Probing, Failure> {
        let root = data_dir(global)?;
        let word = settings::work(work, &settings::load(global, &root)?).sandbox.unwrap_or_else(|| "auto".to_owned());
        Ok(Probing(tokio::task::spawn_blocking(move || sandbox_of(&word, &root))))
    }

    /// What was found.
    pub(crate) async fn sandbox(self) -> Result<Sandbox, Failure> {
        self.0.await.context("looking for a sandbox ended badly")?
    }
}

/// An engine that only looks: no command is run with it.
pub(crate) async fn looking(global: &Global) -> Result<Engine, Failure> {
    let fleet = fleet::resolve(&fleet::environment()?, None, &settings::load(global, &data_dir(global)?)?)?;
    let (data, store, env) = open_with(global, store_options(&fleet)).await?;
    let sandbox = sandbox_of("none", data.root())?;
    Ok(over(env, store, data, sandbox, fleet.engine))
}

/// The sandbox by its word; `auto` is the best this host offers and never none.
fn sandbox_of(word: &str, data: &Path) -> Result<Sandbox, Failure> {
    let mend = "apt-get install bubblewrap, or accept no sandbox with --sandbox none";
    if word == "auto" {
        let sandbox = Sandbox::detect_in(data);
        let report = sandbox.report();
        if report.level == SandboxLevel::Bubblewrap || report.landlock_abi > 0 {
            return Ok(sandbox);
        }
        let error = anyhow::anyhow!("this host offers no sandbox: {}", report.notes.join("; "));
        return Err(Failure::new(Exit::Refused, error).mend(mend));
    }
    let level = SandboxLevel::from_word(word).ok_or_else(|| {
        Failure::new(Exit::Usage, anyhow::anyhow!("{word:?} is not a sandbox: auto, bubblewrap, landlock or none"))
    })?;
    Sandbox::with_level(level).map_err(|error| Failure::new(Exit::Refused, error).mend(mend))
}

/// The environment's readable part. A variable that is not UTF-8 is none of ours, and no reason to panic.
pub(crate) fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Slots of every class: commands as asked for, and room for what only waits on others.
pub(crate) fn slots_by_class(asked: Option<usize>) -> BTreeMap<QueueClass, usize> {
    let mut all = mb_engine::WorkerOptions::default().slots;
    all.extend([(QueueClass::Cpu, slots(asked)), (QueueClass::Io, IO_SLOTS), (QueueClass::Llm, LLM_SLOTS)]);
    all
}

/// Slots for commands: what was asked for, else one per processor.
pub(crate) fn slots(asked: Option<usize>) -> usize {
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)).clamp(1, 256)
}
