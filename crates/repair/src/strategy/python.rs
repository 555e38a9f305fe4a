//! Edits that a Python diagnostic describes: an unused import goes, a missing import comes, a misspelt name is set right.

use std::collections::BTreeMap;

use mb_core::failure::{Diagnostic, Failure};

use super::Files;
use super::source::{Change, LineChange, did_you_mean, line_of, replace_word};
use crate::pattern::pattern;

/// Modules of the standard library that are used under their own name.
const MODULES: &[&str] = &[
    "abc",
    "argparse",
    "ast",
    "asyncio",
    "base64",
    "bisect",
    "collections",
    "configparser",
    "contextlib",
    "copy",
    "csv",
    "ctypes",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "enum",
    "fnmatch",
    "fractions",
    "functools",
    "gc",
    "getpass",
    "glob",
    "gzip",
    "hashlib",
    "heapq",
    "hmac",
    "html",
    "http",
    "importlib",
    "inspect",
    "io",
    "itertools",
    "json",
    "logging",
    "math",
    "mimetypes",
    "multiprocessing",
    "operator",
    "os",
    "pathlib",
    "pickle",
    "platform",
    "pprint",
    "queue",
    "random",
    "re",
    "secrets",
    "select",
    "shlex",
    "shutil",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "stat",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "sys",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "timeit",
    "traceback",
    "types",
    "typing",
    "unicodedata",
    "unittest",
    "urllib",
    "uuid",
    "warnings",
    "weakref",
    "xml",
    "zipfile",
    "zlib",
];

/// Other modules of the standard library; they are not dependencies.
const RARER_MODULES: &[&str] = &[
    "__future__",
    "array",
    "atexit",
    "binascii",
    "builtins",
    "bz2",
    "calendar",
    "cmath",
    "cmd",
    "code",
    "codecs",
    "colorsys",
    "concurrent",
    "contextvars",
    "cProfile",
    "curses",
    "dbm",
    "dis",
    "distutils",
    "doctest",
    "email",
    "errno",
    "faulthandler",
    "fcntl",
    "fileinput",
    "filecmp",
    "ftplib",
    "gettext",
    "graphlib",
    "grp",
    "imaplib",
    "imp",
    "ipaddress",
    "keyword",
    "linecache",
    "locale",
    "lzma",
    "mailbox",
    "marshal",
    "mmap",
    "netrc",
    "numbers",
    "pdb",
    "pkgutil",
    "poplib",
    "posixpath",
    "profile",
    "pstats",
    "pty",
    "pwd",
    "readline",
    "reprlib",
    "resource",
    "runpy",
    "sched",
    "selectors",
    "shelve",
    "site",
    "smtplib",
    "socketserver",
    "symtable",
    "sysconfig",
    "syslog",
    "tarfile",
    "termios",
    "tkinter",
    "token",
    "tokenize",
    "tomllib",
    "trace",
    "tty",
    "turtle",
    "venv",
    "wave",
    "webbrowser",
    "winreg",
    "wsgiref",
    "zipapp",
    "zipimport",
    "zoneinfo",
];

/// Names that are nearly always imported from one place.
const NAMES: &[(&str, &str)] = &[
    ("Any", "typing"),
    ("Callable", "collections.abc"),
    ("ClassVar", "typing"),
    ("Counter", "collections"),
    ("Decimal", "decimal"),
    ("Dict", "typing"),
    ("Enum", "enum"),
    ("Fraction", "fractions"),
    ("Iterable", "collections.abc"),
    ("Iterator", "collections.abc"),
    ("List", "typing"),
    ("Mapping", "collections.abc"),
    ("Optional", "typing"),
    ("OrderedDict", "collections"),
    ("Path", "pathlib"),
    ("Sequence", "collections.abc"),
    ("Set", "typing"),
    ("Tuple", "typing"),
    ("Union", "typing"),
    ("contextmanager", "contextlib"),
    ("dataclass", "dataclasses"),
    ("deepcopy", "copy"),
    ("defaultdict", "collections"),
    ("deque", "collections"),
    ("lru_cache", "functools"),
    ("namedtuple", "collections"),
    ("partial", "functools"),
    ("reduce", "functools"),
    ("timedelta", "datetime"),
    ("wraps", "functools"),
];

/// Whether a top-level module belongs to the standard library (as far as this table knows).
pub(crate) fn is_standard(module: &str) -> bool {
    MODULES.contains(&module) || RARER_MODULES.contains(&module)
}

pub(crate) fn changes(failure: &Failure, files: &dyn Files) -> Vec<Change> {
    let python = |d: &&Diagnostic| d.position.as_ref().is_some_and(|p| p.file.ends_with(".py"));
    let diagnostics = || failure.diagnostics.iter().filter(python);
    // Names that leave one line leave it together: the line is rewritten once.
    let mut unused: BTreeMap<(&str, u32), Vec<String>> = BTreeMap::new();
    for diagnostic in diagnostics() {
        let (Some(position), Some(name)) = (&diagnostic.position, unused_import(diagnostic)) else { continue };
        unused.entry((position.file.as_str(), position.line)).or_default().push(name);
    }
    let removed = unused.iter().filter_map(|((file, line), names)| {
        let change = without_imports(&files.read(file)?, *line, names)?;
        let noun = if names.len() == 1 { "import" } else { "imports" };
        Some(Change::new(format!("remove the unused {noun} {}", names.join(", ")), file, change))
    });
    removed.chain(diagnostics().filter_map(|d| change(d, files))).collect()
}

fn change(diagnostic: &Diagnostic, files: &dyn Files) -> Option<Change> {
    let position = diagnostic.position.as_ref()?;
    let text = files.read(&position.file)?;
    if let Some((old, new)) = did_you_mean(&diagnostic.message) {
        let line = replace_word(line_of(&text, position.line)?, position.column, &old, &new)?;
        let change = LineChange::Replace { line: position.line as usize, text: line };
        return Some(Change::new(format!("write {new} for {old}"), &position.file, change));
    }
    let undefined =
        pattern!(r#"(?i)(?:undefined name |name |undefined variable )['"`](\w+)['"`]|["'](\w+)["'] is not defined"#);
    let found = undefined.captures(&diagnostic.message)?;
    let name = found.get(1).or(found.get(2))?.as_str();
    let import = import_for(name)?;
    let change = LineChange::InsertBefore { line: import_line(&text), text: import.clone() };
    Some(Change::new(format!("add `{import}`"), &position.file, change))
}

/// The name an unused-import message is about, as it is written (`a.b as c`).
fn unused_import(diagnostic: &Diagnostic) -> Option<String> {
    let message = &diagnostic.message;
    let forms = pattern!(
        r"^['`](.+?)['`] imported but unused|^Unused (?:import )?(\S+(?: as \w+)?)(?: imported from \S+)?(?: \(|$)"
    );
    let found = forms.captures(message)?;
    Some(found.get(1).or(found.get(2))?.as_str().to_owned())
}

/// The line without imported names; only single lines, what spans several is left to better tools.
fn without_imports(text: &str, line: u32, unused: &[String]) -> Option<LineChange> {
    let number = line as usize;
    let source = line_of(text, line)?;
    let code = source.trim();
    let gone = |item: &str| unused.iter().any(|name| names(name, item));
    if gone(code.trim_end_matches(',').trim()) && (code.ends_with(',') || !code.contains(' ')) {
        return Some(LineChange::Remove { line: number }); // a line of its own inside parentheses
    }
    let clause = pattern!(r"^(\s*(?:from\s+\S+\s+)?import\s+)\(?([\w.\s,]+?)\)?\s*(#.*)?$").captures(source)?;
    let items: Vec<&str> = clause[2].split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let kept: Vec<&str> = items.iter().copied().filter(|item| !gone(item)).collect();
    if kept.len() == items.len() {
        return None;
    }
    if kept.is_empty() {
        let indent = &source[..source.len() - source.trim_start().len()];
        let pass = LineChange::Replace { line: number, text: format!("{indent}pass") };
        return Some(if alone_in_block(text, number) { pass } else { LineChange::Remove { line: number } });
    }
    let comment = clause.get(3).map_or(String::new(), |m| format!("  {}", m.as_str()));
    Some(LineChange::Replace { line: number, text: format!("{}{}{comment}", &clause[1], kept.join(", ")) })
}

/// Whether what a message names is this item of an import: `collections.OrderedDict` names `OrderedDict`.
fn names(message: &str, item: &str) -> bool {
    let same = |a: &str, b: &str| a == b || a.ends_with(&format!(".{b}"));
    match (message.split_once(" as "), item.split_once(" as ")) {
        (Some((a, x)), Some((b, y))) => same(a, b) && x == y,
        (None, Some((_, alias))) => message == alias,
        (None, None) => same(message, item),
        (Some(_), None) => false,
    }
}

/// Whether removing the line would leave a block without a statement.
fn alone_in_block(text: &str, number: usize) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let lines: Vec<&str> = text.lines().collect();
    let own = indent(lines[number - 1]);
    let solid = |line: &&&str| !line.trim().is_empty();
    let before = lines[..number - 1].iter().rev().find(solid);
    let after = lines[number..].iter().find(solid);
    before.is_some_and(|line| line.trim_end().ends_with(':') && indent(line) < own)
        && after.is_none_or(|line| indent(line) < own)
}

fn import_for(name: &str) -> Option<String> {
    if MODULES.contains(&name) {
        return Some(format!("import {name}"));
    }
    NAMES.iter().find(|(known, _)| *known == name).map(|(name, module)| format!("from {module} import {name}"))
}

/// Where a new import goes: before the first import, else after comments and the docstring at the top.
fn import_line(text: &str) -> usize {
    let plain =
        |line: &str| (line.starts_with("import ") || line.starts_with("from ")) && !line.starts_with("from __future__");
    if let Some(at) = text.lines().position(plain) {
        return at + 1;
    }
    let mut docstring: Option<&str> = None;
    for (i, line) in text.lines().enumerate() {
        let code = line.trim();
        match docstring {
            Some(quote) if code.ends_with(quote) => docstring = None,
            Some(_) => {}
            None if code.is_empty() || code.starts_with('#') || code.starts_with("from __future__") => {}
            None => match ["\"\"\"", "'''"].into_iter().find(|quote| code.starts_with(quote)) {
                Some(quote) if code.len() >= 6 && code.ends_with(quote) => {}
                Some(quote) => docstring = Some(quote),
                None => return i + 1,
            },
        }
    }
    text.lines().count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_leaves_an_import_and_the_rest_stays() {
        let check = |text: &str, line, name: &str, expected: Option<&str>| {
            let got = without_imports(text, line, &[name.to_owned()]).map(|change| match change {
                LineChange::Replace { text, .. } => text,
                other => format!("{other:?}"),
            });
            assert_eq!(got.as_deref(), expected, "{text}");
        };
        check("import os\n", 1, "os", Some("Remove { line: 1 }"));
        check("import os, sys  # why\n", 1, "os", Some("import sys  # why"));
        check("import os.path\n", 1, "os.path", Some("Remove { line: 1 }"));
        check("from a import b, c\n", 1, "a.c", Some("from a import b"));
        check("from a import b as c, d\n", 1, "a.b as c", Some("from a import d"));
        check("from a import (b, c)\n", 1, "a.b", Some("from a import c"));
        check("from a import (\n    b,\n    c,\n)\n", 2, "a.b", Some("Remove { line: 2 }"));
        check("from a import (\n    b,\n)\n", 1, "a.b", None);
        check("try:\n    import os\nexcept E:\n    pass\n", 2, "os", Some("    pass"));
        check("import os; x()\n", 1, "os", None);
        check("x = 1\n", 1, "os", None);
    }

    #[test]
    fn a_new_import_goes_where_imports_are() {
        let check = |text: &str, expected| assert_eq!(import_line(text), expected, "{text}");
        check("import a\n", 1);
        check("#!/bin/python\n\"\"\"Doc.\"\"\"\nfrom __future__ import x\nimport a\n", 4);
        check("\"\"\"Doc\nmore\n\"\"\"\n\nx = 1\n", 5);
        check("# only\n", 2);
        check("", 1);
    }
}
