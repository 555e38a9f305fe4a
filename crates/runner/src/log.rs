//! The log of one attempt: a file of redacted lines, written as they come, and its reader.
//!
//! Each line of the file is the stream (`o` or `e`), a space, and the text. Both streams share the file in the order
//! their bytes arrived. Beyond the output limit the file keeps the head and the last 64 KiB, with a line between
//! them that says how much is missing, so printing five gigabytes costs no disk.
//!
//! Deliberately absent: time stamps (they would make equal logs differ) and raw bytes (what is not UTF-8 is replaced).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::redact::Redactor;

/// Bytes kept of what came last, once the limit is passed.
const TAIL_BYTES_MAX: usize = 64 << 10;

/// Which stream a line was printed to.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    const fn letter(self) -> char {
        match self {
            Self::Stdout => 'o',
            Self::Stderr => 'e',
        }
    }
}

/// One line of a log.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number in the log, from 1.
    pub n: u64,
    /// Where it was printed.
    pub stream: Stream,
    /// The text, redacted, without its line break.
    pub text: String,
}

/// What went through a log.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSummary {
    /// Lines in the file.
    pub lines: u64,
    /// Bytes the command printed.
    pub bytes: u64,
    /// Bytes of text that are not in the file, because the limit was passed or the disk refused.
    pub truncated_bytes: u64,
}

/// Where a command's output goes.
#[derive(Debug)]
pub struct LogSink {
    file: BufWriter<File>,
    redactor: Redactor,
    tee: Option<mpsc::Sender<LogLine>>,
    lines: u64,
    /// Bytes of text in the file.
    written: u64,
    lost: u64,
    tail: VecDeque<(Stream, String)>,
    tail_bytes: usize,
}

impl LogSink {
    /// Makes (or empties) the file at `path`. Lines are also offered to `tee`; a reader that is too slow for its
    /// channel misses lines there, never in the file, and never slows the command.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, redactor: Redactor, tee: Option<mpsc::Sender<LogLine>>) -> io::Result<LogSink> {
        let file = BufWriter::new(File::create(path)?);
        let tail = VecDeque::new();
        Ok(LogSink { file, redactor, tee, lines: 0, written: 0, lost: 0, tail, tail_bytes: 0 })
    }

    /// Goes on with a log of several commands (it is made when it is missing). Numbers go on too.
    ///
    /// # Errors
    /// The file cannot be read or opened.
    pub fn append(path: &Path, redactor: Redactor, tee: Option<mpsc::Sender<LogLine>>) -> io::Result<LogSink> {
        let lines = count_log_lines(path)?;
        let file = BufWriter::new(File::options().create(true).append(true).open(path)?);
        Ok(LogSink { file, redactor, tee, lines, written: 0, lost: 0, tail: VecDeque::new(), tail_bytes: 0 })
    }

    /// Writes a line of our own, between commands.
    pub fn note(&mut self, text: &str) {
        let text = self.redactor.redact(text).into_owned();
        self.put(Stream::Stderr, &format!("[meta-builder] {text}"));
        self.flush();
    }

    pub(crate) fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Takes one redacted line; beyond `limit` bytes it goes to the tail.
    pub(crate) fn line(&mut self, stream: Stream, text: &str, limit: u64) {
        if self.tail.is_empty() && self.written + text.len() as u64 <= limit {
            self.put(stream, text);
        } else {
            self.keep(stream, text);
        }
    }

    fn put(&mut self, stream: Stream, text: &str) {
        if writeln!(self.file, "{} {text}", stream.letter()).is_err() {
            // The disk is full or gone. The command's fate must not hang on its log.
            self.lost += text.len() as u64;
            return;
        }
        self.lines += 1;
        self.written += text.len() as u64;
        if let Some(tee) = &self.tee {
            let _ = tee.try_send(LogLine { n: self.lines, stream, text: text.to_owned() });
        }
    }

    fn keep(&mut self, stream: Stream, text: &str) {
        self.tail_bytes += text.len();
        self.tail.push_back((stream, text.to_owned()));
        while self.tail_bytes > TAIL_BYTES_MAX {
            let Some((_, gone)) = self.tail.pop_front() else { break };
            self.tail_bytes -= gone.len();
            self.lost += gone.len() as u64;
        }
    }

    /// Hands everything to the operating system, so that a reader sees it.
    pub(crate) fn flush(&mut self) {
        // A failure is counted when the next line is written.
        let _ = self.file.flush();
    }

    /// Writes the tail and ends the log. `bytes` is what the command printed.
    pub(crate) fn finish(mut self, bytes: u64) -> LogSummary {
        let tail = std::mem::take(&mut self.tail);
        if self.lost > 0 && !tail.is_empty() {
            let left_out = self.lost;
            self.put(Stream::Stderr, &format!("[{left_out} bytes left out here: output limit]"));
        }
        for (stream, text) in &tail {
            self.put(*stream, text);
        }
        self.flush();
        LogSummary { lines: self.lines, bytes, truncated_bytes: self.lost }
    }
}

/// How many lines a log has; none when it does not exist.
///
/// # Errors
/// The file exists and cannot be read.
pub fn count_log_lines(path: &Path) -> io::Result<u64> {
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::with_capacity(64 << 10, file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut lines = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(lines);
        }
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        let taken = chunk.len();
        reader.consume(taken);
    }
}

/// Reads at most `limit` lines of a log, beginning with number `from_line` (from 1; 0 means 1 too). A log that is
/// still being written can be read; a last line without its break is left for the next call.
///
/// # Errors
/// The file cannot be read, or is not a log.
pub fn read_log(path: &Path, from_line: u64, limit: usize) -> io::Result<Vec<LogLine>> {
    let mut reader = BufReader::with_capacity(64 << 10, File::open(path)?);
    let mut lines = Vec::new();
    let mut raw = Vec::new();
    let mut n = 0;
    while lines.len() < limit {
        raw.clear();
        if reader.read_until(b'\n', &mut raw)? == 0 || raw.last() != Some(&b'\n') {
            break;
        }
        n += 1;
        if n >= from_line {
            lines.push(parse(n, &raw)?);
        }
    }
    Ok(lines)
}

fn parse(n: u64, raw: &[u8]) -> io::Result<LogLine> {
    let stream = match raw {
        [b'o', b' ', ..] => Stream::Stdout,
        [b'e', b' ', ..] => Stream::Stderr,
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, format!("line {n} is not a log line"))),
    };
    let text = String::from_utf8_lossy(&raw[2..raw.len() - 1]).into_owned();
    Ok(LogLine { n, stream, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink(path: &Path) -> LogSink {
        LogSink::create(path, Redactor::new([], &[]).unwrap(), None).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_from_any_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sink = sink(&path);
        sink.line(Stream::Stdout, "one", 100);
        sink.line(Stream::Stderr, "", 100);
        sink.line(Stream::Stdout, "three", 100);
        assert_eq!(sink.finish(11), LogSummary { lines: 3, bytes: 11, truncated_bytes: 0 });
        let got = read_log(&path, 2, 10).unwrap();
        let expected = [(2, Stream::Stderr, ""), (3, Stream::Stdout, "three")];
        assert_eq!(got.iter().map(|l| (l.n, l.stream, l.text.as_str())).collect::<Vec<_>>(), expected);
        assert_eq!(read_log(&path, 0, 1).unwrap()[0].text, "one");
    }

    #[test]
    fn beyond_the_limit_head_and_tail_remain() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sink = sink(&path);
        for n in 0..100_000 {
            sink.line(Stream::Stdout, &format!("line {n:05}"), 1000);
        }
        let summary = sink.finish(1_000_000);
        assert!(summary.truncated_bytes > 900_000, "{summary:?}");
        let lines = read_log(&path, 1, usize::MAX).unwrap();
        assert_eq!(lines.len() as u64, summary.lines);
        assert_eq!(lines[0].text, "line 00000");
        assert_eq!(lines[lines.len() - 1].text, "line 99999");
        assert!(lines.iter().any(|line| line.text.ends_with("bytes left out here: output limit]")));
        assert!(std::fs::metadata(&path).unwrap().len() < 100_000);
    }
}
