//! Reading the log of a task, a page at a time.

use std::io;

use mb_core::id::RunId;
use serde::{Deserialize, Serialize};

use crate::Engine;

/// Lines one page may hold.
pub(crate) const LINES_MAX: u64 = 5_000;

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// From 1.
    pub n: u64,
    /// Redacted text, without its line end.
    pub text: String,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPage {
    /// Its lines.
    pub lines: Vec<LogLine>,
    /// Where to go on.
    pub next: u64,
    /// Whether the file ended here (while its task runs, more may follow).
    pub complete: bool,
}

impl Engine {
    /// Lines of the log of a task (`test#1`, `test!1`) from line `from_line` (from 1) on.
    ///
    /// # Errors
    /// When the log exists but cannot be read. A log that does not exist is an empty, complete page.
    pub async fn log(&self, run: RunId, work: &str, from_line: u64, limit: u64) -> io::Result<LogPage> {
        let path = self.data().log(run, work);
        let from = from_line.max(1);
        let limit = limit.clamp(1, LINES_MAX);
        tokio::task::spawn_blocking(move || read(&path, from, limit)).await.map_err(io::Error::other)?
    }
}

fn read(path: &std::path::Path, from: u64, limit: u64) -> io::Result<LogPage> {
    use io::BufRead as _;
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(LogPage { lines: Vec::new(), next: from, complete: true });
        }
        Err(error) => return Err(error),
    };
    let mut reader = io::BufReader::with_capacity(1 << 16, file);
    let (mut lines, mut n, mut buffer) = (Vec::new(), 0, Vec::new());
    loop {
        buffer.clear();
        let read = reader.read_until(b'\n', &mut buffer)?;
        // A line without its end is still being written: it is given once it is whole.
        if read == 0 || buffer.last() != Some(&b'\n') {
            return Ok(LogPage { lines, next: n.max(from - 1) + 1, complete: true });
        }
        n += 1;
        if n < from {
            continue;
        }
        buffer.pop();
        lines.push(LogLine { n, text: String::from_utf8_lossy(&buffer).into_owned() });
        if lines.len() as u64 >= limit {
            return Ok(LogPage { lines, next: n + 1, complete: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_an_unfinished_line_waits() {
        let dir = std::env::temp_dir().join(format!("mb-logs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let path = dir.join("a.log");
        std::fs::write(&path, "one\ntwo\nthree\nfo").expect("written");
        let page = |from, limit| {
            let page = read(&path, from, limit).expect("readable");
            (page.lines.into_iter().map(|l| format!("{} {}", l.n, l.text)).collect::<Vec<_>>().join(","), page.next, page.complete)
        };
        assert_eq!(page(1, 2), ("1 one,2 two".into(), 3, false));
        assert_eq!(page(3, 2), ("3 three".into(), 4, true));
        assert_eq!(page(9, 2), (String::new(), 9, true));
        assert_eq!(read(&dir.join("none"), 1, 1).expect("no log yet").lines, []);
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
