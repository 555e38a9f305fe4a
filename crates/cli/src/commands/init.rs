//! `mb init`: writes a commented meta-builder.toml for the repository it finds.

use std::fs::File;
use std::io::Write as _;

use anyhow::{Context as _, anyhow};

use crate::args::{Global, InitArgs};
use crate::exit::{Exit, Failure};
use crate::local;

pub(crate) fn run(global: &Global, args: &InitArgs) -> Result<Exit, Failure> {
    let root = local::folder(&args.dir)?;
    let detection = mb_project::detect(&root);
    let text = mb_project::init_toml(&detection);
    if args.print {
        print!("{text}");
        return Ok(Exit::Ok);
    }
    let path = root.join(mb_project::CONFIG_FILE);
    let mut options = File::options();
    options.write(true);
    if args.force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    let mut file = match options.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Failure::new(Exit::Conflict, anyhow!("{} exists already", path.display()))
                .mend("mb init --print, or mb init --force"));
        }
        Err(error) => {
            return Err(Failure::new(
                Exit::Failed,
                anyhow::Error::new(error).context(format!("{} cannot be written", path.display())),
            ));
        }
    };
    file.write_all(text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    if global.json {
        println!("{}", serde_json::json!({ "path": path, "units": detection.units.len() }));
        return Ok(Exit::Ok);
    }
    anstream::eprintln!("wrote {}", path.display());
    for unit in &detection.units {
        let dir = if unit.dir.is_empty() { "." } else { &unit.dir };
        let steps: Vec<&str> = unit.stages.iter().map(|step| step.name.as_str()).collect();
        anstream::eprintln!("  {} in {dir} ({}): {}", unit.toolchain, unit.evidence.join(", "), steps.join(", "));
    }
    for note in &detection.notes {
        anstream::eprintln!("  note: {note}");
    }
    if detection.units.is_empty() {
        anstream::eprintln!("  no known toolchain was found; add a step by hand, then: mb run");
    } else {
        anstream::eprintln!("next: mb run");
    }
    Ok(Exit::Ok)
}
