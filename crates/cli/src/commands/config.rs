//! `mb config`: what the project and the server are configured to, and where every value comes from.

use std::collections::BTreeMap;
use std::path::Path;

use crate::args::{ConfigCommand, Global};
use crate::commands::runs::table;
use crate::exit::{Exit, Failure};
use crate::{local, settings};

pub(crate) fn run(global: &Global, command: &ConfigCommand) -> Result<Exit, Failure> {
    match command {
        ConfigCommand::Explain { key, dir } => explain(global, dir, key.as_deref()),
        ConfigCommand::Check { dir } => check(dir),
        ConfigCommand::Server => server(global),
    }
}

fn explain(global: &Global, dir: &Path, key: Option<&str>) -> Result<Exit, Failure> {
    let env: BTreeMap<String, String> = local::environment();
    let values = mb_project::explain(&local::folder(dir)?, &env, key).map_err(|e| Failure::new(Exit::Usage, e))?;
    if values.is_empty() {
        let error = anyhow::anyhow!("no key begins with {:?}", key.unwrap_or_default());
        return Err(Failure::new(Exit::NotFound, error).mend("mb config explain"));
    }
    if global.json {
        let rows: Vec<_> = values
            .iter()
            .map(|v| serde_json::json!({ "key": v.key, "value": v.value, "source": v.source.to_string() }))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["KEY", "VALUE", "SOURCE"]);
    for value in values {
        table.add_row(vec![value.key, value.value, value.source.to_string()]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}

fn check(dir: &Path) -> Result<Exit, Failure> {
    let layers = mb_project::Layers { env: local::environment(), flags: Vec::new() };
    let loaded = mb_project::load_with(&local::folder(dir)?, &layers).map_err(|e| Failure::new(Exit::Usage, e))?;
    let from = match &loaded.source {
        mb_project::ConfigSource::File(path) => path.display().to_string(),
        mb_project::ConfigSource::Detected => "detected; there is no meta-builder.toml".to_owned(),
    };
    let steps = u32::try_from(loaded.workflow.steps.len()).unwrap_or(u32::MAX);
    anstream::eprintln!("valid: {} ({from})", mb_core::event::count(steps, "step"));
    Ok(Exit::Ok)
}

fn server(global: &Global) -> Result<Exit, Failure> {
    let rows = settings::explain(global, &local::data_dir(global)?)?;
    if global.json {
        let rows: Vec<_> =
            rows.iter().map(|r| serde_json::json!({ "key": r.key, "value": r.value, "source": r.source })).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(Exit::Ok);
    }
    let mut table = table(&["KEY", "VALUE", "SOURCE"]);
    for row in rows {
        table.add_row(vec![row.key.to_owned(), row.value, row.source]);
    }
    println!("{table}");
    Ok(Exit::Ok)
}
