//! Tools whose diagnostics are one line each: linters, type checkers and compilers of the `file:line:col: message`
//! family, and the two that put the file on a line of its own (eslint, pyright).

use mb_core::failure::{FailureKind, Hint, Signal};
use regex::Regex;

use super::reading::Reading;
use super::view::View;
use crate::pattern::pattern;

/// One form of line. Groups: `file`, `line`, and where they exist `col`, `rule`, `msg`.
struct Form {
    tool: &'static str,
    kind: FailureKind,
    /// A word every such line has; asked first because it is cheap.
    word: &'static str,
    pattern: fn() -> &'static Regex,
}

/// Most specific first: the first form that fits a line takes it.
const FORMS: &[Form] = &[
    Form {
        tool: "tsc",
        kind: FailureKind::Typecheck,
        word: "error",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s(:][^(:]*)[(:](?P<line>\d+)[,:](?P<col>\d+)\)?(?: -|:) error (?P<rule>TS\d+): (?P<msg>.+)$"
            )
        },
    },
    Form {
        tool: "ruff",
        kind: FailureKind::Lint,
        word: ":",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s:][^:]*\.pyi?):(?P<line>\d+):(?P<col>\d+): (?P<rule>[A-Z]{1,4}\d{3,4}|invalid-syntax:?)(?P<fix> \[\*\])?:? (?P<msg>.+)$"
            )
        },
    },
    Form {
        tool: "pylint",
        kind: FailureKind::Lint,
        word: "(",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s:][^:]*\.py):(?P<line>\d+):(?P<col>\d+): [CRWEF]\d{4}: (?P<msg>.+) \((?P<rule>[\w-]+)\)$"
            )
        },
    },
    Form {
        tool: "standard",
        kind: FailureKind::Lint,
        word: "(",
        pattern: || {
            pattern!(
                r"^\s*(?P<file>[^\s:][^:]*\.[cm]?[jt]sx?):(?P<line>\d+):(?P<col>\d+): (?P<msg>.+?)\.? \((?P<rule>[@\w/-]+)\)$"
            )
        },
    },
    Form {
        tool: "mypy",
        kind: FailureKind::Typecheck,
        word: ": error: ",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s:][^:]*\.pyi?):(?P<line>\d+)(?::(?P<col>\d+))?: error: (?P<msg>.+?)(?:  \[(?P<rule>[\w-]+)\])?$"
            )
        },
    },
    Form {
        tool: "pyflakes",
        kind: FailureKind::Lint,
        word: ".py:",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s:][^:]*\.py):(?P<line>\d+):(?P<col>\d+):? (?P<msg>(?:'.+' imported but unused|undefined name '.+'|local variable '.+' is assigned to but never used).*)$"
            )
        },
    },
    Form {
        tool: "cc",
        kind: FailureKind::Compile,
        word: "error: ",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s:][^:]*\.(?:c|cc|cpp|cxx|h|hh|hpp|hxx|m|mm|cu|inl|ipp|S|l|y)):(?P<line>\d+)(?::(?P<col>\d+))?: (?:fatal )?error: (?P<msg>.+?)(?: \[(?P<rule>-W[\w=+-]+|[a-z]+-[a-z0-9.,-]+)\])?$"
            )
        },
    },
    Form {
        tool: "golangci-lint",
        kind: FailureKind::Lint,
        word: ".go:",
        pattern: || {
            pattern!(r"^(?P<file>[^\s:][^:]*\.go):(?P<line>\d+):(?P<col>\d+): (?P<msg>.+) \((?P<rule>[a-z][\w]+)\)$")
        },
    },
    Form {
        tool: "go",
        kind: FailureKind::Compile,
        word: ".go:",
        pattern: || pattern!(r"^(?:vet: )?(?P<file>[^\s:][^:]*\.go):(?P<line>\d+):(?P<col>\d+): (?P<msg>.+)$"),
    },
    Form {
        tool: "javac",
        kind: FailureKind::Compile,
        word: "java:",
        pattern: || {
            pattern!(
                r"^(?:\[ERROR\] |e: |\[javac\] )?(?:\s*)(?P<file>[^\s:][^:]*\.(?:java|kt|scala)):\[?(?P<line>\d+)(?:,(?P<col>\d+))?\]?:? (?:error: |\[error\] )?(?P<msg>.+)$"
            )
        },
    },
    Form {
        tool: "msbuild",
        kind: FailureKind::Compile,
        word: ": error ",
        pattern: || {
            pattern!(
                r"^\s*(?P<file>[^\s(][^(]*)\((?P<line>\d+),(?P<col>\d+)[^)]*\): error (?P<rule>[A-Z]+\d+): (?P<msg>.+?)(?: \[.*\])?$"
            )
        },
    },
    Form {
        tool: "php",
        kind: FailureKind::Compile,
        word: " on line ",
        pattern: || pattern!(r"^(?:PHP )?(?:Parse|Fatal) error: +(?P<msg>.+) in (?P<file>\S+) on line (?P<line>\d+)$"),
    },
    Form {
        tool: "shellcheck",
        kind: FailureKind::Lint,
        word: "[SC",
        pattern: || {
            pattern!(
                r"^(?P<file>[^\s:][^:]*):(?P<line>\d+):(?P<col>\d+): (?:error|warning|note): (?P<msg>.+) \[(?P<rule>SC\d+)\]$"
            )
        },
    },
];

/// Reads every form; the result is one reading per tool, in the order of [`FORMS`].
pub(crate) fn forms(view: &View<'_>) -> Vec<Reading> {
    let mut readings: Vec<Reading> = FORMS.iter().map(|form| Reading::new(form.tool, Signal::ToolLine)).collect();
    for (i, text) in view.all() {
        if text.len() > 1_000 || !text.contains(':') || text.starts_with("warning") {
            continue;
        }
        let fit = |form: &Form| text.contains(form.word).then(|| (form.pattern)().captures(text)).flatten();
        let Some((n, found)) = FORMS.iter().enumerate().find_map(|(n, form)| fit(form).map(|found| (n, found))) else {
            continue;
        };
        let group = |name| found.name(name).map_or("", |m| m.as_str());
        if group("file").contains("://") {
            continue;
        }
        let kind = kind_of_line(&FORMS[n], view, group("rule"), group("msg"));
        let position = view.position(group("file"), group("line"), group("col"));
        if found.name("fix").is_some() {
            readings[n].hints.insert(Hint::MachineApplicable { tool: FORMS[n].tool.into() });
        }
        readings[n].hints.extend(missing_module(FORMS[n].tool, group("msg")));
        readings[n].push(kind, group("rule"), group("msg"), position, Some((i, block_end(view, i))));
    }
    readings.retain(|reading| !reading.findings.is_empty());
    for reading in &mut readings {
        name_the_tool(reading, &view.command);
    }
    readings
}

/// The same line is printed by several tools; the command says which it was.
fn name_the_tool(reading: &mut Reading, command: &str) {
    let names: &[&str] = match reading.tool.as_str() {
        "ruff" => &["flake8", "pycodestyle", "pyflakes"],
        "cc" => &["clang-tidy", "clang", "gcc"],
        "go" => &["staticcheck"],
        _ => &[],
    };
    if let Some(name) = names.iter().find(|name| command.contains(**name)) {
        reading.tool = (*name).to_owned();
        reading.findings.iter_mut().for_each(|finding| finding.diagnostic.tool = (*name).to_owned());
    }
}

/// Warnings about what is no C at all; newer compilers refuse it without being asked to.
const NOT_C: &[&str] =
    &["implicit-function-declaration", "implicit-int", "int-conversion", "incompatible-pointer-types"];

fn kind_of_line(form: &Form, view: &View<'_>, rule: &str, message: &str) -> FailureKind {
    match form.tool {
        "ruff" if rule.starts_with("E9") || rule.starts_with("invalid-syntax") => FailureKind::Compile,
        "ruff" if rule.starts_with("S") && message.contains("hardcoded password") => FailureKind::Security,
        "mypy" if rule == "syntax" => FailureKind::Compile,
        "tsc" if (rule == "TS2307" && missing_module("tsc", message).is_some()) => FailureKind::Dependency,
        "tsc" if rule.starts_with("TS1") && rule.len() == 6 => FailureKind::Compile,
        "cc" if NOT_C.iter().any(|option| rule.ends_with(option)) => FailureKind::Compile,
        "cc" if rule.starts_with('-') || rule.contains('-') => FailureKind::Lint,
        "go" if missing_module("go", message).is_some() => FailureKind::Dependency,
        "go" if view.command.contains("vet") && !message.contains("undefined") => FailureKind::Lint,
        _ => form.kind,
    }
}

fn missing_module(tool: &str, message: &str) -> Option<Hint> {
    let (ecosystem, module) = match tool {
        "tsc" => {
            let found = pattern!(r"Cannot find module '([^'./][^']*)'").captures(message)?;
            ("node", node_package(&found[1]))
        }
        "mypy" => {
            let found = pattern!(r#"Cannot find implementation or library stub for module named "([\w.]+)""#)
                .captures(message)?;
            ("python", found[1].split('.').next().unwrap_or_default().to_owned())
        }
        "go" => {
            let found = pattern!(r"no required module provides package ([^\s;:]+)|cannot find package .([^\s;:]+). ")
                .captures(message)?;
            ("go", found.get(1).or(found.get(2))?.as_str().to_owned())
        }
        _ => return None,
    };
    Some(Hint::MissingModule { ecosystem: ecosystem.into(), module })
}

/// The package of an import path: `@scope/name/x` is `@scope/name`, `name/x` is `name`.
pub(crate) fn node_package(import: &str) -> String {
    let parts = if import.starts_with('@') { 2 } else { 1 };
    import.split('/').take(parts).collect::<Vec<_>>().join("/")
}

/// Lines below a diagnostic that belong to it: the source and its marks, indented, and notes.
fn block_end(view: &View<'_>, start: usize) -> usize {
    let belongs = |text: &str| text.starts_with([' ', '\t']) || text.contains(": note: ");
    view.from(start + 1, 8).take_while(|(_, text)| belongs(text)).last().map_or(start, |(i, _)| i)
}

/// ruff's full form: `F401 [*] message` and, on the next line, ` --> file:1:8`.
pub(crate) fn ruff_full(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("ruff", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.trim_start().starts_with("--> ") && text.contains(".py")) {
        let Some(at) = pattern!(r"^\s*--> (.+\.pyi?):(\d+):(\d+)$").captures(text) else { continue };
        let head = view.text(i.wrapping_sub(1));
        let Some(head) = pattern!(r"^([A-Z]{1,4}\d{3,4}|invalid-syntax):?( \[\*\])? (.+)$").captures(head) else {
            continue;
        };
        if head.get(2).is_some() {
            reading.hints.insert(Hint::MachineApplicable { tool: "ruff".into() });
        }
        let kind = if head[1].starts_with("invalid") || head[1].starts_with("E9") {
            FailureKind::Compile
        } else {
            FailureKind::Lint
        };
        let end = view.from(i, 8).take_while(|(_, t)| !t.is_empty()).last().map_or(i, |(e, _)| e);
        reading.push(kind, &head[1], &head[3], view.position(&at[1], &at[2], &at[3]), Some((i - 1, end)));
    }
    reading.some()
}

/// eslint (and stylelint) in the stylish form: the file, then `  1:7  error  message  rule`.
pub(crate) fn eslint(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("eslint", Signal::ToolLine);
    let mut file = "";
    for (i, text) in view.all() {
        if !text.starts_with(' ') {
            file = text;
        } else if let Some(found) = text
            .contains("error")
            .then(|| pattern!(r"^\s+(\d+):(\d+)\s+error\s+(.+?)(?:\s{2,}(\S+))?$").captures(text))
            .flatten()
        {
            let rule = found.get(4).map_or("", |m| m.as_str());
            let kind = match rule {
                "" if found[3].starts_with("Parsing error") => FailureKind::Compile,
                "prettier/prettier" => FailureKind::Format,
                _ => FailureKind::Lint,
            };
            reading.push(kind, rule, &found[3], view.position(file, &found[1], &found[2]), Some((i, i)));
        } else if text.contains("potentially fixable with the `--fix` option") {
            reading.hints.insert(Hint::MachineApplicable { tool: "eslint".into() });
        }
    }
    reading.some()
}

/// pyright: `  /path/file.py:5:12 - error: message (rule)`.
pub(crate) fn pyright(view: &View<'_>) -> Option<Reading> {
    let mut reading = Reading::new("pyright", Signal::ToolLine);
    for (i, text) in view.all().filter(|(_, text)| text.contains(" - error: ")) {
        let Some(found) = pattern!(r"^\s*(\S+\.pyi?):(\d+):(\d+) - error: (.+?)(?: \((report\w+)\))?$").captures(text)
        else {
            continue;
        };
        let next = view.text(i + 1);
        let rule = found.get(5).map(|m| m.as_str().to_owned()).or_else(|| {
            pattern!(r"\((report\w+)\)$").captures(next).filter(|_| next.starts_with("    ")).map(|c| c[1].to_owned())
        });
        let position = view.position(&found[1], &found[2], &found[3]);
        reading.push(FailureKind::Typecheck, rule.as_deref().unwrap_or(""), &found[4], position, Some((i, i)));
    }
    reading.some()
}
