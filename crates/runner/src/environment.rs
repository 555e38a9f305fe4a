//! The environment a command sees: a short list, never the worker's own.
//!
//! Deliberately absent: proxies with credentials, tokens, database addresses; they are not on the list, so a new one
//! cannot leak by being forgotten. A step that needs a host variable names it, and its caller puts it into the job.

use std::collections::BTreeMap;
use std::path::Path;

use mb_core::workflow::Network;

use crate::tree::MARK;

/// Variables passed on when the host has them: language, certificates, and where tools live.
const PASSED: &[&str] = &[
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
    "CARGO_HTTP_CAINFO",
    "GIT_SSL_CAINFO",
    "PYENV_ROOT",
    "PYENV_VERSION",
    "NVM_DIR",
    "VOLTA_HOME",
    "JAVA_HOME",
    "GOROOT",
    "SDKMAN_DIR",
    "ASDF_DIR",
    "ASDF_DATA_DIR",
    "RBENV_ROOT",
    "DOTNET_ROOT",
    "VIRTUAL_ENV",
    "RUSTUP_AUTO_INSTALL",
    "PYTHONDONTWRITEBYTECODE",
];
/// Passed on to commands that may use the network, unless a value carries credentials.
const PROXIES: &[&str] =
    &["http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"];
/// A PATH for hosts that have none.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the environment depends on.
pub(crate) struct Setting<'a> {
    /// The command's home as it sees it.
    pub(crate) home: &'a Path,
    /// Its temporary folder as it sees it.
    pub(crate) tmp: &'a Path,
    /// Where cargo keeps its registry, when not where the host has it.
    pub(crate) cargo_home: Option<&'a Path>,
    /// The user's home on the host.
    pub(crate) host_home: &'a Path,
    /// Whether proxies are of use.
    pub(crate) network: Network,
    /// Marks the processes of this command.
    pub(crate) mark: &'a str,
}

/// The whole environment; `extra` wins over the list.
pub(crate) fn build(setting: &Setting<'_>, extra: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let host = |name: &str| std::env::var(name).ok();
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: String| env.insert(name.to_owned(), value);
    set("PATH", host("PATH").unwrap_or_else(|| PATH_DEFAULT.to_owned()));
    set("HOME", setting.home.display().to_string());
    set("TMPDIR", setting.tmp.display().to_string());
    for (name, value) in [("TERM", "dumb"), ("CI", "true"), ("NO_COLOR", "1"), ("LANG", "C.UTF-8"), ("USER", "builder")]
    {
        set(name, value.to_owned());
    }
    for name in PASSED {
        host(name).map(|value| set(name, value));
    }
    if setting.network == Network::Full {
        for name in PROXIES {
            host(name).filter(|value| !value.contains('@')).map(|value| set(name, value));
        }
    }
    // Both tools look below HOME otherwise, which is not the user's any more.
    for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
        let usual = Some(setting.host_home.join(folder)).filter(|path| path.is_dir());
        if let Some(value) = host(name).or_else(|| usual.map(|path| path.display().to_string())) {
            set(name, value);
        }
    }
    if let Some(cargo_home) = setting.cargo_home {
        set("CARGO_HOME", cargo_home.display().to_string());
    }
    env.extend(extra.iter().map(|(name, value)| (name.clone(), value.clone())));
    env.insert(MARK.to_owned(), setting.mark.to_owned());
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_the_list_and_the_job_gets_in() {
        let path = Path::new("/h");
        let setting =
            Setting { home: path, tmp: path, cargo_home: None, host_home: path, network: Network::None, mark: "m" };
        let extra = BTreeMap::from([("TERM".to_owned(), "vt100".to_owned()), ("X".to_owned(), "1".to_owned())]);
        let env = build(&setting, &extra);
        assert_eq!((env["TERM"].as_str(), env["X"].as_str(), env["HOME"].as_str()), ("vt100", "1", "/h"));
        let known = |name: &str| {
            PASSED.contains(&name)
                || ["PATH", "HOME", "TMPDIR", "TERM", "CI", "NO_COLOR", "USER", "X", MARK].contains(&name)
                || ["CARGO_HOME", "RUSTUP_HOME"].contains(&name)
        };
        assert!(env.keys().all(|name| known(name)), "{env:?}");
    }
}
