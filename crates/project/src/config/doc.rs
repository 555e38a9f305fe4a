//! The text of a configuration file as tables that know where everything stands.
//!
//! Deliberately absent: serde. Its derived readers stop at the first mistake and lose the position of keys; a
//! person wants all mistakes with their lines.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, ConfigErrors, Place, Problem};
use crate::values::Value;

/// Bytes a configuration file may have.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The text of a configuration file, without a byte order mark.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigErrors> {
    let whole = |problem| {
        ConfigErrors::from(ConfigError { at: Place::File { path: path.to_owned(), line: 0, column: 0 }, problem })
    };
    let unreadable = |error| whole(Problem::Unreadable(error));
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(whole(Problem::NotAFile));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(whole(Problem::TooLarge { limit_bytes: FILE_BYTES_MAX }));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let before = String::from_utf8_lossy(valid);
        ConfigError { at: place(path, &before, before.len()), problem: Problem::NotUtf8 }
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn place(path: &Path, text: &str, offset: usize) -> Place {
    let before = &text[..text.floor_char_boundary(offset)];
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place::File { path: path.to_owned(), line: number(line), column: number(column) }
}

/// A parsed file; an empty one stands for no file at all.
pub(crate) struct Doc<'t> {
    path: PathBuf,
    text: &'t str,
    root: DeTable<'t>,
    /// Everything wrong that was found so far.
    pub(crate) errors: Vec<ConfigError>,
}

/// A table, or the place where one could be.
#[derive(Clone)]
pub(crate) struct Tab<'d> {
    /// Its full key; empty for the file itself.
    pub(crate) name: String,
    /// Where it begins, in bytes.
    pub(crate) offset: usize,
    map: Option<&'d DeTable<'d>>,
}

/// A value with its place.
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl Tab<'_> {
    /// The full key of one of its keys.
    pub(crate) fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// As it is called in messages.
    pub(crate) fn title(&self) -> String {
        if self.name.is_empty() { "the file".into() } else { format!("[{}]", self.name) }
    }

    /// Its keys in the order of the file.
    pub(crate) fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<_> = self.map.into_iter().flat_map(DeTable::keys).collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().as_ref()).collect()
    }

    /// Whether it is written in the file with at least one key.
    pub(crate) fn is_filled(&self) -> bool {
        self.map.is_some_and(|map| !map.is_empty())
    }
}

impl<'t> Doc<'t> {
    /// Parses a text. What is not TOML is an error, and the rest is still read.
    pub(crate) fn parse(path: &Path, text: &'t str) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        let errors = errors
            .iter()
            .take(20)
            .map(|error| ConfigError {
                at: place(path, text, error.span().map_or(0, |span| span.start)),
                problem: Problem::Syntax { message: error.message().replace('\n', ", ") },
            })
            .collect();
        Self { path: path.to_owned(), text, root: root.into_inner(), errors }
    }

    /// Separates the errors from the tables, so that both can be used at once.
    pub(crate) fn split(&mut self) -> (Tab<'_>, Reader<'_>) {
        let root = Tab { name: String::new(), offset: 0, map: Some(&self.root) };
        (root, Reader { path: &self.path, text: self.text, errors: &mut self.errors })
    }
}

/// Reads tables and collects what is wrong with them.
pub(crate) struct Reader<'d> {
    path: &'d Path,
    text: &'d str,
    errors: &'d mut Vec<ConfigError>,
}

impl Reader<'_> {
    /// The place of an offset.
    pub(crate) fn place(&self, offset: usize) -> Place {
        place(self.path, self.text, offset)
    }

    /// Notes a problem.
    pub(crate) fn fail(&mut self, at: Place, problem: Problem) {
        self.errors.push(ConfigError { at, problem });
    }

    /// Notes every key that is not one of `known`.
    pub(crate) fn only(&mut self, table: &Tab<'_>, known: &[&str]) {
        for key in table.map.into_iter().flat_map(DeTable::keys) {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let nearest = super::nearest(name, known.iter().copied());
                let at = self.place(key.span().start);
                self.fail(at, Problem::UnknownKey { key: name.to_owned(), table: table.title(), nearest });
            }
        }
    }

    /// A value, when the key is there; a value of the wrong form is noted and absent.
    pub(crate) fn value<T: Value>(&mut self, table: &Tab<'_>, key: &str) -> Option<At<T>> {
        let found = table.map?.get(key)?;
        let place = self.place(found.span().start);
        if let Some(value) = T::read(found.get_ref()) {
            return Some(At { value, place });
        }
        self.wrong_type(place, table.full(key), T::EXPECTED, found.get_ref());
        None
    }

    fn wrong_type(&mut self, at: Place, key: String, expected: &str, found: &DeValue<'_>) {
        self.fail(at, Problem::WrongType { key, expected: expected.to_owned(), found: shown(found) });
    }

    /// The table under a key, empty when it is absent or something else (which is noted).
    pub(crate) fn table<'d>(&mut self, table: &Tab<'d>, key: &str) -> Tab<'d> {
        let name = table.full(key);
        let Some((written, found)) = table.map.and_then(|map| map.get_key_value(key)) else {
            return Tab { name, offset: table.offset, map: None };
        };
        let map = found.get_ref().as_table();
        if map.is_none() {
            let at = self.place(found.span().start);
            self.wrong_type(at, name.clone(), "a table", found.get_ref());
        }
        Tab { name, offset: written.span().start, map }
    }

    /// The tables of an array of tables under a key.
    pub(crate) fn tables<'d>(&mut self, table: &Tab<'d>, key: &str) -> Vec<Tab<'d>> {
        let name = table.full(key);
        let Some(found) = table.map.and_then(|map| map.get(key)) else { return Vec::new() };
        let items = found.get_ref().as_array();
        let all: Option<Vec<_>> = items.map(|items| {
            items.iter().filter_map(|item| Some((item.span().start, item.get_ref().as_table()?))).collect()
        });
        match all {
            Some(tables) if items.is_some_and(|items| items.len() == tables.len()) => {
                tables.into_iter().map(|(offset, map)| Tab { name: name.clone(), offset, map: Some(map) }).collect()
            }
            _ => {
                let at = self.place(found.span().start);
                self.wrong_type(
                    at,
                    name.clone(),
                    &format!("a list of tables, each begun by [[{name}]]"),
                    found.get_ref(),
                );
                Vec::new()
            }
        }
    }
}

/// A TOML value in a message: its text when that is short, else its type.
fn shown(value: &DeValue<'_>) -> String {
    let kind = match value {
        DeValue::String(text) if text.len() <= 40 => return format!("{text:?}"),
        DeValue::Integer(number) => return number.to_string(),
        DeValue::Float(number) => return number.to_string(),
        DeValue::Boolean(flag) => return flag.to_string(),
        DeValue::Datetime(date) => return format!("the date {date}"),
        DeValue::Array(items) if items.len() <= 3 => {
            return format!("[{}]", items.iter().map(|item| shown(item.get_ref())).collect::<Vec<_>>().join(", "));
        }
        DeValue::String(_) => "text",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    kind.to_owned()
}
