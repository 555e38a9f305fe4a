//! The settings of a server: file < environment < flags, each value with its source.
//!
//! Flags and environment are read by the command line's own definitions ([`crate::args`]); this module adds the
//! file below them and says, for every setting, where its value came from.

pub(crate) mod fleet;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Deserialize;

use crate::args::{Global, ServerArgs, WorkArgs};
use crate::exit::{Exit, Failure};

/// Largest settings file read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file may say. Every key is also an environment variable and a flag of `mb up`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// `sqlite:PATH` or `postgres://…`
    pub(crate) store: Option<String>,
    /// Addresses of the public listener.
    pub(crate) listen: Vec<SocketAddr>,
    /// Address of the probes' own listener.
    pub(crate) ops_listen: Option<SocketAddr>,
    /// Where the first administrator's token is.
    pub(crate) admin_token_file: Option<PathBuf>,
    /// Whether addresses other machines can reach are allowed.
    pub(crate) allow_public: Option<bool>,
    /// Tasks at once.
    pub(crate) slots: Option<usize>,
    /// Sandbox level.
    pub(crate) sandbox: Option<String>,
    /// Queues and workers. (Not `deny_unknown_fields` there: what neither part knows is refused here.)
    #[serde(flatten)]
    pub(crate) fleet: fleet::FleetFile,
}

/// The file's path: `--config`, else `config.toml` in the data folder.
pub(crate) fn path(global: &Global, data: &Path) -> PathBuf {
    global.config.clone().unwrap_or_else(|| data.join("config.toml"))
}

/// Reads the settings file. A file that was not asked for by name may be missing.
pub(crate) fn load(global: &Global, data: &Path) -> Result<Settings, Failure> {
    let path = path(global, data);
    let usage = |error: anyhow::Error| {
        Failure::new(Exit::Usage, error.context(format!("the settings file {}", path.display())))
    };
    let size = match std::fs::metadata(&path) {
        Ok(meta) => meta.len(),
        // A data folder that cannot be one is said to be that when it is opened.
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
                && global.config.is_none() =>
        {
            return Ok(Settings::default());
        }
        Err(error) => return Err(usage(error.into())),
    };
    if size > FILE_BYTES_MAX {
        return Err(usage(anyhow::anyhow!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(&path).context("cannot be read").map_err(usage)?;
    toml::from_str(&text).map_err(|error| usage(anyhow::anyhow!("{error}")))
}

/// One line of `mb config server`.
pub(crate) struct Row {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) source: String,
}

/// Every setting with its value and source. Secrets are never shown.
pub(crate) fn explain(global: &Global, data: &Path) -> Result<Vec<Row>, Failure> {
    let file = load(global, data)?;
    let from_file = format!("{}", path(global, data).display());
    let row = |key, env: &str, flag: Option<String>, file: Option<String>, default: &str| {
        // A flag that clap filled from the environment has the environment's value.
        let in_env = std::env::var(env).ok();
        let (value, source) = match (flag, in_env, file) {
            (Some(value), Some(from), _) if value == from => (value, format!("environment {env}")),
            (Some(value), _, _) => (value, "flag".to_owned()),
            (None, Some(value), _) => (value, format!("environment {env}")),
            (None, None, Some(value)) => (value, from_file.clone()),
            (None, None, None) => (default.to_owned(), "default".to_owned()),
        };
        Row { key, value, source }
    };
    let store = |text: &str| text.parse::<mb_store::StoreUrl>().map_or_else(|_| text.to_owned(), |url| url.to_string());
    let list = |addresses: &[SocketAddr]| {
        (!addresses.is_empty()).then(|| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    let shown = |path: &Path| path.display().to_string();
    let mut rows = vec![
        row("data_dir", "MB_DATA_DIR", global.data_dir.as_deref().map(shown), None, &shown(data)),
        row("store", "MB_STORE", global.store.clone(), file.store.clone(), "sqlite:DATA_DIR/meta-builder.db"),
        row("listen", "MB_LISTEN", None, list(&file.listen), "127.0.0.1:8000"),
        row("ops_listen", "MB_OPS_LISTEN", None, file.ops_listen.map(|a| a.to_string()), "none"),
        row(
            "admin_token_file",
            "MB_ADMIN_TOKEN_FILE",
            None,
            file.admin_token_file.as_deref().map(shown),
            "DATA_DIR/admin-token",
        ),
        row("allow_public", "MB_ALLOW_PUBLIC", None, file.allow_public.map(|b| b.to_string()), "false"),
        row("slots", "MB_SLOTS", None, file.slots.map(|n| n.to_string()), "cpu_workers"),
        row("sandbox", "MB_SANDBOX", None, file.sandbox.clone(), "auto"),
    ];
    let in_force = fleet::resolve(&fleet::environment()?, None, &file)?;
    for (key, env, in_file, value) in fleet::rows(&in_force, &file.fleet) {
        rows.push(row(key, env, None, in_file, &value));
    }
    for row in &mut rows {
        if row.key == "store" {
            row.value = store(&row.value);
        }
    }
    Ok(rows)
}

/// Puts the file below the flags of a server.
pub(crate) fn under(up: &mut ServerArgs, file: &Settings) {
    up.work.sandbox = up.work.sandbox.take().or_else(|| file.sandbox.clone());
    if up.listen.is_empty() {
        up.listen.clone_from(&file.listen);
    }
    if up.listen.is_empty() {
        up.listen.push(SocketAddr::from(([127, 0, 0, 1], 8000)));
    }
    up.ops_listen = up.ops_listen.or(file.ops_listen);
    up.admin_token_file = up.admin_token_file.take().or_else(|| file.admin_token_file.clone());
    up.allow_public |= file.allow_public.unwrap_or(false);
}

/// Puts the file below the flags that say how commands are executed.
pub(crate) fn work(flags: &WorkArgs, file: &Settings) -> WorkArgs {
    WorkArgs { slots: flags.slots.or(file.slots), sandbox: flags.sandbox.clone().or_else(|| file.sandbox.clone()) }
}
