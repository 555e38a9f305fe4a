//! Go: one unit per module. `go.work` joins modules for the compiler, but `./...` stops at each `go.mod`, so
//! every module keeps its own steps.

use mb_core::failure::FailureKind;
use mb_core::workflow::StageKind;

use super::draft::{Draft, Step, fixer, online_fixer};
use super::{Toolchain, project_dirs};
use crate::survey::Survey;

pub(super) fn find(survey: &Survey) -> Vec<Draft> {
    project_dirs(survey, "go.mod").iter().map(|dir| draft(survey, dir)).collect()
}

fn draft(survey: &Survey, dir: &str) -> Draft {
    let vendored = survey.has(dir, "vendor/modules.txt");
    let requires = survey.has(dir, "go.sum") || survey.text(dir, "go.mod").contains("require");
    let tidy = || online_fixer("go mod tidy", &[FailureKind::Dependency]);
    let golangci = [".golangci.yml", ".golangci.yaml", ".golangci.toml", ".golangci.json"];

    let mut steps = Vec::new();
    if requires && !vendored {
        steps.push(Step::new("fetch", StageKind::Custom, "go mod download").online().fix([tidy()]));
    }
    steps.push(format_step(survey, dir, vendored));
    steps.push(Step::new("lint", StageKind::Lint, "go vet ./...").needs(&["fetch"]));
    if survey.first(dir, &golangci).is_some() {
        steps.push(
            Step::new("golangci", StageKind::Lint, "golangci-lint run ./...")
                .needs(&["fetch"])
                .fix([fixer("golangci-lint run --fix ./...", &[FailureKind::Lint])]),
        );
    }
    steps.push(Step::new("build", StageKind::Build, "go build ./...").needs(&["fetch"]).fix([tidy()]));
    steps.push(Step::new("test", StageKind::Test, "go test ./...").needs(&["build"]).fix([tidy()]));
    let evidence = ["go.mod", "go.sum"].into_iter().filter(|name| survey.has(dir, name)).map(str::to_owned);
    Draft { dir: dir.to_owned(), toolchain: Toolchain::Go, evidence: evidence.collect(), steps }
}

/// `gofmt -l` succeeds whatever it finds, so its list is printed and must be empty. The list is kept in a variable
/// because in a pipe a missing or failing gofmt would look like a clean tree.
fn format_step(survey: &Survey, dir: &str, vendored: bool) -> Step {
    let testdata = survey.below(dir).any(|file| file.contains("testdata/") && file.ends_with(".go"));
    let files = if vendored || testdata {
        "$(find . -name '*.go' -not -path './vendor/*' -not -path '*/testdata/*')"
    } else {
        "."
    };
    Step::new(
        "format",
        StageKind::Format,
        format!(r#"unformatted=$(gofmt -l {files}) && printf '%s\n' "$unformatted" && test -z "$unformatted""#),
    )
    .fix([fixer(format!("gofmt -w {files}"), &[FailureKind::Format])])
}
