//! Writing the result of a repaired run: a branch (where the project is a repository) and a patch file.
//!
//! Doing it twice does the same: the branch is named after the run and made from the same commits.

use mb_core::error::chain;
use mb_core::run::Published;
use mb_core::task::Work;
use mb_runner::Patch;

use crate::context::{Context, TaskError};

/// Prefix of every branch we make.
pub(crate) const BRANCH_PREFIX: &str = "meta-builder/";

/// What is said when nothing could be written at all.
pub(crate) fn failed(error: &TaskError) -> Published {
    Published { branch: None, patch_file: None, problem: Some(chain(error)) }
}

/// Publishes the result. What could not be written is said in the result; only a store that does not answer now is
/// an error.
pub(crate) async fn execute(context: &Context<'_>) -> Result<Published, TaskError> {
    debug_assert_eq!(*context.work, Work::Publish);
    let patches = match context.patches().await {
        Ok(patches) => patches,
        Err(error) if error.is_transient() => return Err(error),
        Err(error) => return Ok(failed(&error)),
    };
    let mut published = Published { branch: None, patch_file: None, problem: None };
    let file = context.engine.data().result(context.run.id);
    match write(&file, &patches).await {
        Ok(()) => published.patch_file = Some(file.to_string_lossy().into_owned()),
        Err(error) => published.problem = Some(format!("patch file {}: {error}", file.display())),
    }
    let (project, snapshot) = (context.project()?, context.snapshot()?);
    if project.is_git() {
        let name = format!("{BRANCH_PREFIX}{}", context.run.id);
        let commits: Vec<(Patch, String)> = patches
            .into_iter()
            .zip(&context.run.patches)
            .map(|(patch, applied)| {
                let message = format!(
                    "{}\n\nRepairs step {} (repair {}) of {}.\n",
                    applied.title, applied.step, applied.repair, context.run.id
                );
                (patch, message)
            })
            .collect();
        match project.publish_branch(snapshot, &name, &commits).await {
            Ok(commit) => published.branch = Some((name, commit)),
            Err(error) => published.problem = Some(format!("branch {name}: {}", chain(&error))),
        }
    }
    Ok(published)
}

async fn write(file: &std::path::Path, patches: &[Patch]) -> std::io::Result<()> {
    if let Some(parent) = file.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let text: String = patches.iter().map(|patch| patch.diff.as_str()).collect();
    // Written aside and renamed, so that a crash never leaves half a patch under the final name.
    let aside = file.with_extension("patch.new");
    tokio::fs::write(&aside, text).await?;
    tokio::fs::rename(&aside, file).await
}
