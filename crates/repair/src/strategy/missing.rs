//! Declaring a dependency that is used but not declared, or installing one that is.

use mb_core::failure::{Failure, Hint};
use mb_core::workflow::{Network, Shell};

use super::{Command, Edit, Files, Proposal, lock, manifest, python};
use crate::pattern::pattern;

/// Python modules whose distribution has another name.
const DISTRIBUTIONS: &[(&str, &str)] = &[
    ("Crypto", "pycryptodome"),
    ("MySQLdb", "mysqlclient"),
    ("OpenSSL", "pyOpenSSL"),
    ("PIL", "Pillow"),
    ("attr", "attrs"),
    ("bs4", "beautifulsoup4"),
    ("cv2", "opencv-python-headless"),
    ("dateutil", "python-dateutil"),
    ("docx", "python-docx"),
    ("dotenv", "python-dotenv"),
    ("fitz", "PyMuPDF"),
    ("git", "GitPython"),
    ("github", "PyGithub"),
    ("google", "protobuf"),
    ("jose", "python-jose"),
    ("jwt", "PyJWT"),
    ("ldap", "python-ldap"),
    ("magic", "python-magic"),
    ("multipart", "python-multipart"),
    ("nacl", "PyNaCl"),
    ("pkg_resources", "setuptools"),
    ("psycopg2", "psycopg2-binary"),
    ("pytest_asyncio", "pytest-asyncio"),
    ("pytest_cov", "pytest-cov"),
    ("redis", "redis"),
    ("requests_mock", "requests-mock"),
    ("serial", "pyserial"),
    ("skimage", "scikit-image"),
    ("sklearn", "scikit-learn"),
    ("socks", "PySocks"),
    ("usb", "pyusb"),
    ("yaml", "PyYAML"),
    ("zmq", "pyzmq"),
];

/// Source files looked into for an import.
const SOURCES_MAX: usize = 2_000;

pub(crate) fn propose(failure: &Failure, step: &Shell, files: &dyn Files) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    for hint in &failure.hints {
        let Hint::MissingModule { ecosystem, module } = hint else { continue };
        proposals.extend(match ecosystem.as_str() {
            "python" => python_module(module, failure, step, files),
            "node" => node_module(module, failure, step, files),
            "cargo" => crate_of(module, failure, step, files),
            "go" => go_module(module, step),
            _ => Vec::new(),
        });
    }
    proposals
}

/// The file in the step's folder, else in the root.
fn nearest(name: &str, step: &Shell, files: &dyn Files) -> Option<(String, String)> {
    let here = if step.dir.is_empty() { name.to_owned() } else { format!("{}/{name}", step.dir) };
    [here, name.to_owned()].into_iter().find_map(|path| files.read(&path).map(|text| (path, text)))
}

fn dir_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

/// Whether every place that misses the module, as far as the failure tells, is a test.
fn only_tests_want(module: &str, failure: &Failure) -> bool {
    let named = failure.diagnostics.iter().filter(|d| d.message.contains(module));
    let mut places = named.filter_map(|d| d.position.as_ref()).peekable();
    places.peek().is_some() && places.all(|place| crate::gate::is_test_file(&place.file))
}

fn python_module(module: &str, failure: &Failure, step: &Shell, files: &dyn Files) -> Vec<Proposal> {
    let own = |suffix: String| !files.list(&suffix).is_empty();
    if python::is_standard(module) || own(format!("{module}.py")) || own(format!("{module}/__init__.py")) {
        return Vec::new();
    }
    let known = DISTRIBUTIONS.iter().find(|(name, _)| *name == module).map(|(_, distribution)| *distribution);
    let name = known.map_or_else(|| module.replace('_', "-"), str::to_owned);
    // Where the step's own interpreter looks, and nowhere else.
    let line = step.command.display();
    let python =
        pattern!(r"(?:^|\s)(\S*python[\d.]*)\s").captures(&line).map_or("python3".to_owned(), |c| c[1].to_owned());
    let install = Command::new(&format!("{python} -m pip install {name}"), &step.dir, Network::Full);
    let for_tests = only_tests_want(module, failure);
    let normal = |text: &str| text.to_lowercase().replace(['_', '.'], "-");
    let declared = |text: &str| {
        let names = pattern!(r#"(?m)(?:^|["'])([A-Za-z][\w.-]*)"#);
        names.captures_iter(text).any(|found| normal(&found[1]) == normal(&name))
    };
    for file in ["pyproject.toml", "requirements.txt", "requirements-dev.txt", "requirements/base.txt"] {
        let Some((path, text)) = nearest(file, step, files) else { continue };
        if declared(&text) {
            let title = format!("install {name}, which {path} declares");
            return vec![Proposal { title, edits: Vec::new(), commands: vec![install] }];
        }
        let content = if file.ends_with(".toml") {
            manifest::pyproject(&text, &name, for_tests)
        } else {
            Some(manifest::requirements(&text, &name))
        };
        let Some(content) = content else { continue };
        let title = format!("declare {name} in {path}");
        return vec![Proposal { title, edits: vec![Edit::Write { path, content }], commands: vec![install] }];
    }
    vec![Proposal::command(install)]
}

fn node_module(module: &str, failure: &Failure, step: &Shell, files: &dyn Files) -> Vec<Proposal> {
    let Some((path, text)) = nearest("package.json", step, files) else { return Vec::new() };
    let dir = dir_of(&path).to_owned();
    let at = |name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let manager = [("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn")]
        .into_iter()
        .find(|(lock, _)| files.read(&at(lock)).is_some());
    let manager = manager.map_or("npm", |(_, manager)| manager);
    let run = |line: &str| Command::new(line, &dir, Network::Full);
    if text.contains(&format!("\"{module}\":")) {
        let restore = if manager == "npm" { "npm install --ignore-scripts --no-audit --no-fund" } else { "install" };
        let line = if manager == "npm" { restore.to_owned() } else { format!("{manager} {restore}") };
        return vec![Proposal::command(run(&line))];
    }
    let tool = Hint::MissingTool { tool: module.to_owned() };
    let from_script = failure.hints.contains(&tool);
    // A script names a command, not a package: anything may be published under that name.
    if from_script && !is_imported(module, files) {
        return Vec::new();
    }
    let section = if from_script || only_tests_want(module, failure) || module.starts_with("@types/") {
        "devDependencies"
    } else {
        "dependencies"
    };
    let installed = files.read(&at(&format!("node_modules/{module}/package.json"))).or_else(|| {
        let lock = files.read(&at("package-lock.json"))?;
        let entry = lock.split(&format!("\"node_modules/{module}\": {{")).nth(1)?.split('}').next()?.to_owned();
        Some(entry)
    });
    let version =
        installed.and_then(|text| pattern!(r#""version":\s*"([^"]+)""#).captures(&text).map(|c| c[1].to_owned()));
    if let Some(version) = version
        && let Some(content) = manifest::package_json(&text, section, module, &format!("^{version}"))
    {
        let commands = lock::refresh(manager, &dir, files).into_iter().next().map_or(Vec::new(), |p| p.commands);
        let title = format!("declare {module} {version} in {path}");
        return vec![Proposal { title, edits: vec![Edit::Write { path, content }], commands }];
    }
    let dev = section == "devDependencies";
    let line = match manager {
        "npm" => format!(
            "npm install --ignore-scripts --no-audit --no-fund {} {module}",
            if dev { "--save-dev" } else { "--save" }
        ),
        manager => format!("{manager} add {}{module}", if dev { "-D " } else { "" }),
    };
    vec![Proposal::command(run(&line))]
}

/// Whether a file of the project requires or imports the package by its name.
fn is_imported(module: &str, files: &dyn Files) -> bool {
    let forms = ['\'', '"'].map(|quote| format!("{quote}{module}{quote}"));
    let verbs = ["require(", "from ", "import ", "import("];
    let imports = |text: &str| {
        text.lines()
            .any(|line| forms.iter().any(|form| verbs.iter().any(|verb| line.contains(&format!("{verb}{form}")))))
    };
    let endings = [".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".mts"];
    let sources = endings.iter().flat_map(|ending| files.list(ending)).take(SOURCES_MAX);
    sources.filter_map(|path| files.read(&path)).any(|text| imports(&text))
}

fn crate_of(module: &str, failure: &Failure, step: &Shell, files: &dyn Files) -> Vec<Proposal> {
    let user = failure.diagnostics.iter().filter(|d| d.kind == failure.kind).find_map(|d| d.position.as_ref());
    let start = user.map_or(step.dir.as_str(), |position| dir_of(&position.file));
    let mut folders = std::iter::successors(Some(start), |dir| (!dir.is_empty()).then(|| dir_of(dir)));
    let found = folders.find_map(|dir| {
        let path = if dir.is_empty() { "Cargo.toml".to_owned() } else { format!("{dir}/Cargo.toml") };
        files.read(&path).filter(|text| text.contains("[package]")).map(|text| (path, text))
    });
    let Some((path, text)) = found else { return Vec::new() };
    let Some((name, entry)) = cargo_entry(module, dir_of(&path), files) else {
        let add = Command::new(&format!("cargo add {}", module.replace('_', "-")), dir_of(&path), Network::Full);
        let add_plain = Command::new(&format!("cargo add {module}"), dir_of(&path), Network::Full);
        let plain = (module.contains('_')).then(|| Proposal::command(add_plain));
        return plain.into_iter().chain([Proposal::command(add)]).collect();
    };
    let content = manifest::cargo(&text, &name, &entry);
    let title = format!("declare `{entry}` in {path}");
    let refresh = Command::new("cargo update --workspace --offline", dir_of(&path), Network::None);
    vec![Proposal { title, edits: vec![Edit::Write { path, content }], commands: vec![refresh] }]
}

/// Package name and manifest line: the workspace's own word for it, a member by path, or the version already locked.
fn cargo_entry(module: &str, dir: &str, files: &dyn Files) -> Option<(String, String)> {
    let same = |name: &str| name.replace('-', "_") == module;
    let root = files.read("Cargo.toml").unwrap_or_default();
    let shared = root.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let shared = shared.split("\n[").next().unwrap_or_default();
    let keys = pattern!(r#"(?m)^"?([\w-]+)"?\s*[=.]"#);
    if let Some(found) = keys.captures_iter(shared).find(|found| same(&found[1])) {
        return Some((found[1].to_owned(), format!("{}.workspace = true", &found[1])));
    }
    for member in files.list("Cargo.toml") {
        let text = files.read(&member).unwrap_or_default();
        let name = pattern!(r#"(?m)^\[package\][^\[]*?^name\s*=\s*"([\w-]+)""#).captures(&text);
        if let Some(name) = name.filter(|name| same(&name[1])) {
            let up = "../".repeat(dir.split('/').filter(|part| !part.is_empty()).count());
            let path = format!("{up}{}", dir_of(&member));
            return Some((
                name[1].to_owned(),
                format!("{} = {{ path = \"{}\" }}", &name[1], path.trim_end_matches('/')),
            ));
        }
    }
    let lock = files.read("Cargo.lock")?;
    let packages = pattern!(r#"name = "([\w-]+)"\r?\nversion = "([^"+]+)"#);
    let locked = packages.captures_iter(&lock).filter(|found| same(&found[1])).last()?;
    Some((locked[1].to_owned(), format!("{} = \"{}\"", &locked[1], &locked[2])))
}

fn go_module(module: &str, step: &Shell) -> Vec<Proposal> {
    ["go mod tidy".to_owned(), format!("go get {module}")]
        .map(|line| Proposal::command(Command::new(&line, &step.dir, Network::Full)))
        .into()
}
