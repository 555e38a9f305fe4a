//! C and C++ with CMake, and the `clang-format` check any C project may have.
//!
//! The build folder is not a cache: CMake writes absolute paths into it, and in another worktree it would build,
//! or worse test, the old one.

use mb_core::failure::FailureKind;
use mb_core::workflow::StageKind;

use super::draft::{Draft, Step, fixer};
use super::{Toolchain, is_below, project_dirs};
use crate::survey::Survey;

const LISTS: &str = "CMakeLists.txt";
const SOURCES: &str = "git ls-files -z '*.c' '*.h' '*.cc' '*.hh' '*.cpp' '*.hpp' '*.cxx' '*.hxx'";

pub(super) fn find(survey: &Survey) -> Vec<Draft> {
    let mut roots: Vec<String> = Vec::new();
    for dir in project_dirs(survey, LISTS) {
        if !roots.iter().any(|root| is_below(&dir, root)) && survey.text(&dir, LISTS).contains("project") {
            roots.push(dir);
        }
    }
    roots.iter().map(|dir| draft(survey, dir)).collect()
}

fn draft(survey: &Survey, dir: &str) -> Draft {
    // A tracked folder called `build` holds scripts; products go beside it.
    let tracked = survey.below(dir).any(|file| file.starts_with("build/"));
    let out = if tracked { "cmake-build" } else { "build" };
    let mut steps: Vec<Step> = format_step(survey, dir).into_iter().collect();
    steps.push(Step::new("configure", StageKind::Custom, format!("cmake -S . -B {out}")));
    steps.push(Step::new("build", StageKind::Build, format!("cmake --build {out}")).needs(&["configure"]));
    if has_tests(survey, dir) {
        let run = format!("ctest --test-dir {out} --output-on-failure");
        steps.push(Step::new("test", StageKind::Test, run).needs(&["build"]));
    }
    Draft { dir: dir.to_owned(), toolchain: Toolchain::CMake, evidence: vec![LISTS.into()], steps }
}

fn has_tests(survey: &Survey, dir: &str) -> bool {
    let lists = survey.below(dir).filter(|file| file.ends_with(LISTS) || file.ends_with(".cmake")).take(200);
    lists.into_iter().any(|file| {
        let text = survey.text(dir, file).to_lowercase();
        text.contains("enable_testing") || text.contains("include(ctest)")
    })
}

/// The `clang-format` check of a folder that has its style file.
pub(super) fn format_step(survey: &Survey, dir: &str) -> Option<Step> {
    survey.first(dir, &[".clang-format", "_clang-format"])?;
    let check = format!("{SOURCES} | xargs -0 -r clang-format --dry-run -Werror");
    let fix = format!("{SOURCES} | xargs -0 -r clang-format -i");
    Some(Step::new("format", StageKind::Format, check).fix([fixer(fix, &[FailureKind::Format])]))
}
