//! Where the state lives, as an operator writes it: `sqlite:PATH` or `postgres://…`.
//!
//! Deliberately absent: a way to print the password. `Display` and `Debug` both show `***` in its place.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the state lives.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// A file of this machine.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database, password included.
    Postgres(String),
}

/// Why a text is not a store URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadStoreUrl {
    /// Neither known scheme.
    #[error("a store is sqlite:PATH or postgres://USER@HOST/DATABASE")]
    Scheme,
    /// `sqlite:` with nothing behind it, or a database in memory.
    #[error("sqlite: needs the path of a file")]
    Path,
}

impl FromStr for StoreUrl {
    type Err = BadStoreUrl;

    fn from_str(text: &str) -> Result<Self, BadStoreUrl> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").ok_or(BadStoreUrl::Scheme)?;
        // `sqlite:///abs` is the same file as `sqlite:/abs`.
        let path = path.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(path);
        // Memory is not durable, and its readers would each see a database of their own.
        if path.is_empty() || path == ":memory:" {
            return Err(BadStoreUrl::Path);
        }
        Ok(Self::Sqlite(path.into()))
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (main, query) = rest.split_once('?').map_or((rest, None), |(main, query)| (main, Some(query)));
    // The last @ ends the user part, even when the password holds an unescaped / or @.
    let main = match main.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@{host}"),
            None => format!("{user}@{host}"),
        },
        None => main.to_owned(),
    };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((key, _)) if key.to_ascii_lowercase().contains("password") => format!("{key}=***"),
        _ => pair.to_owned(),
    };
    let query = query.map(|query| format!("?{}", query.split('&').map(hidden).collect::<Vec<_>>().join("&")));
    format!("{scheme}://{main}{}", query.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_and_shown_without_its_password() {
        let check = |text: &str, expected: &str| {
            let url = text.parse::<StoreUrl>();
            assert_eq!(url.map_or_else(|e| e.to_string(), |u| format!("{u}|{u:?}")), expected);
        };
        check("sqlite:a/b.db", "sqlite:a/b.db|StoreUrl(sqlite:a/b.db)");
        check("sqlite:///a.db", "sqlite:/a.db|StoreUrl(sqlite:/a.db)");
        check("sqlite:", "sqlite: needs the path of a file");
        check("sqlite::memory:", "sqlite: needs the path of a file");
        check("mysql://x", "a store is sqlite:PATH or postgres://USER@HOST/DATABASE");
        check("postgres://u@h/d", "postgres://u@h/d|StoreUrl(postgres://u@h/d)");
        let hidden = "postgres://u:***@h:5/d?a=b&password=***";
        check("postgres://u:p@ss/w@h:5/d?a=b&password=x", &format!("{hidden}|StoreUrl({hidden})"));
    }
}
