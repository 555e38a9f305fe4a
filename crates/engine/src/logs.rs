//! Reading the log of a task, a page at a time.

use std::collections::VecDeque;
use std::io;
use std::path::Path;

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

fn read(path: &Path, from: u64, limit: u64) -> io::Result<LogPage> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let lines = match mb_runner::read_log(path, from, limit) {
        Ok(lines) => lines,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let next = lines.last().map_or(from, |line| line.n + 1);
    let complete = lines.len() < limit;
    let lines = lines.into_iter().map(|line| LogLine { n: line.n, text: line.text }).collect();
    Ok(LogPage { lines, next, complete })
}

/// What a log says from a line on, as one text: all of it up to 8 MiB, else its beginning and its end.
pub(crate) fn text(path: &Path, from: u64) -> String {
    const HALF: usize = 4 << 20;
    let (mut head, mut tail, mut tail_bytes) = (String::new(), VecDeque::new(), 0);
    let mut next = from;
    while let Ok(page) = read(path, next, LINES_MAX) {
        for line in page.lines {
            if head.len() < HALF && tail.is_empty() {
                head.push_str(&line.text);
                head.push('\n');
                continue;
            }
            tail_bytes += line.text.len() + 1;
            tail.push_back(line.text);
            while tail_bytes > HALF {
                let Some(gone) = tail.pop_front() else { break };
                tail_bytes -= gone.len() + 1;
            }
        }
        next = page.next;
        if page.complete {
            break;
        }
    }
    for line in tail {
        head.push_str(&line);
        head.push('\n');
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_an_unfinished_line_waits() {
        let dir = std::env::temp_dir().join(format!("mb-logs-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let path = dir.join("a.log");
        std::fs::write(&path, "o one\ne two\no three\no fo").expect("written");
        let page = |from, limit| {
            let page = read(&path, from, limit).expect("readable");
            (
                page.lines.into_iter().map(|l| format!("{} {}", l.n, l.text)).collect::<Vec<_>>().join(","),
                page.next,
                page.complete,
            )
        };
        assert_eq!(page(1, 2), ("1 one,2 two".into(), 3, false));
        assert_eq!(page(3, 2), ("3 three".into(), 4, true));
        assert_eq!(page(9, 2), (String::new(), 9, true));
        assert_eq!(read(&dir.join("none"), 1, 1).expect("no log yet").lines, []);
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
