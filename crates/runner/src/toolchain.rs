//! Where the tools of a user live, and which of it a command may see.
//!
//! The home folder is hidden as a whole (keys, tokens, mail, other projects); what is listed here is shown again.
//! Caches are shown copy-on-write where the host can, so that a build can fill them without touching the user's.
//! Deliberately absent: credentials files inside those folders, which are covered.

use std::path::{Path, PathBuf};

/// Below the home: only read.
const READ_ONLY: &[&str] = &[
    ".rustup",
    ".pyenv",
    ".nvm",
    ".volta",
    ".fnm",
    ".asdf",
    ".rbenv",
    ".rye",
    ".sdkman",
    ".ghcup",
    ".dotnet",
    ".gem",
    ".local/bin",
    ".local/lib",
    ".local/pipx",
    ".local/share/uv",
    ".local/share/fnm",
    ".local/share/mise",
    ".local/share/pipx",
    ".config/pip",
];
/// Below the home: copy-on-write.
const CACHES: &[&str] = &[
    ".cargo",
    ".npm",
    ".bun",
    ".deno",
    "go",
    ".cache/pip",
    ".cache/uv",
    ".cache/go-build",
    ".cache/pypoetry",
    ".cache/yarn",
    ".cache/pnpm",
    ".cache/pre-commit",
    ".cache/ms-playwright",
    ".local/share/pnpm",
    ".m2/repository",
    ".gradle/caches",
    ".gradle/wrapper",
];
/// Below the home, inside the above: never shown.
const SECRETS: &[&str] =
    &[".cargo/credentials", ".cargo/credentials.toml", ".gem/credentials", ".config/pip/pip.conf", ".deno/credentials"];
/// Elsewhere: never shown.
const SYSTEM_SECRETS: &[&str] = &["/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/ssh"];

/// The user's tools.
#[derive(Debug, Clone, Default)]
pub(crate) struct Toolchain {
    /// The user's home.
    pub(crate) home: PathBuf,
    /// Folders to show for reading.
    pub(crate) read_only: Vec<PathBuf>,
    /// Folders to show copy-on-write.
    pub(crate) caches: Vec<PathBuf>,
    /// Files and folders to cover.
    pub(crate) secrets: Vec<PathBuf>,
}

impl Toolchain {
    /// Looks at the host.
    pub(crate) fn of_host() -> Toolchain {
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let home = home.unwrap_or_else(|| PathBuf::from("/nonexistent"));
        let home = home.canonicalize().unwrap_or(home);
        let mut found = Toolchain {
            read_only: below(&home, READ_ONLY),
            caches: below(&home, CACHES),
            secrets: below(&home, SECRETS),
            home,
        };
        found.secrets.extend(SYSTEM_SECRETS.iter().map(PathBuf::from).filter(|path| path.exists()));
        found.add_elsewhere();
        found
    }

    /// Tools named by variables or the PATH that are not in the usual places.
    fn add_elsewhere(&mut self) {
        let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from).filter(|path| path.is_dir());
        if let Some(cargo) = cargo.filter(|path| !self.shown(path)) {
            self.secrets.extend(
                ["credentials", "credentials.toml"].map(|name| cargo.join(name)).into_iter().filter(|p| p.exists()),
            );
            self.caches.push(cargo);
        }
        let named = ["RUSTUP_HOME", "PYENV_ROOT", "NVM_DIR", "VOLTA_HOME", "JAVA_HOME", "GOROOT", "VIRTUAL_ENV"];
        let certificates = ["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE"];
        for path in named.iter().chain(&certificates).filter_map(std::env::var_os).map(PathBuf::from) {
            if path.is_absolute() && path.exists() && !self.shown(&path) {
                self.read_only.push(path);
            }
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        for folder in std::env::split_paths(&path).filter(|folder| folder.is_absolute() && folder.is_dir()) {
            let folder = self.distribution(folder);
            if !self.shown(&folder) {
                self.read_only.push(folder);
            }
        }
    }

    /// A `bin` folder alone is of no use: the libraries are beside it. A home's own `bin` is shown alone.
    fn distribution(&self, bin: PathBuf) -> PathBuf {
        match bin.parent() {
            Some(parent)
                if bin.ends_with("bin") && parent.components().count() > 2 && !self.home.starts_with(parent) =>
            {
                parent.to_owned()
            }
            _ => bin,
        }
    }

    fn shown(&self, path: &Path) -> bool {
        self.read_only.iter().chain(&self.caches).any(|known| path.starts_with(known))
    }
}

fn below(home: &Path, names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| home.join(name)).filter(|path| path.exists()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_the_folder_above_bin_but_never_the_home() {
        let tools = Toolchain { home: "/home/ann".into(), ..Toolchain::default() };
        let check = |bin: &str, expected: &str| assert_eq!(tools.distribution(bin.into()), Path::new(expected));
        check("/home/ann/miniconda/bin", "/home/ann/miniconda");
        check("/home/ann/bin", "/home/ann/bin");
        check("/home/ann/tools", "/home/ann/tools");
        check("/usr/bin", "/usr/bin");
    }
}
