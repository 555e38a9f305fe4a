//! Moves a command's output from its pipes to the log, on a thread of its own.
//!
//! A thread, not a task: the work is blocking file writes and pattern matching, and `poll` over two pipes is all the
//! concurrency it needs. Memory is bounded: one read buffer, one line of at most 64 KiB per stream, the captured
//! head of standard output. The thread ends when both pipes are closed or its owner lets go of the stop pipe,
//! so a background process that keeps a pipe open cannot hold anybody up.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::sync::Arc;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{Notify, oneshot};

use crate::log::{LogSink, LogSummary, Stream};
use crate::redact::KeyBlock;

/// Longest line; longer ones are split, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;
/// What is held back when a line is split, so that a secret across the split is seen whole, in bytes.
const OVERLAP_BYTES: usize = 4 << 10;
/// Standard output kept apart for tools that print machine-readable results, in bytes.
const CAPTURE_BYTES_MAX: usize = 8 << 20;

/// The head of standard output, redacted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// At most 8 MiB, whole lines, each with its line break.
    pub bytes: Vec<u8>,
    /// Whether more was printed.
    pub truncated: bool,
}

/// A running pump.
pub(crate) struct Pump {
    /// Told once when more than the limit was printed.
    pub(crate) over: Arc<Notify>,
    /// The result, when both pipes are closed.
    pub(crate) done: oneshot::Receiver<Drained>,
    /// Dropping it ends the thread after what has arrived.
    pub(crate) stop: PipeWriter,
}

/// What a pump moved.
#[derive(Debug, Default)]
pub(crate) struct Drained {
    /// What is in the log.
    pub(crate) summary: LogSummary,
    /// Standard output.
    pub(crate) stdout: Captured,
    /// The first line of standard error, for telling the sandbox's own complaints from the command's.
    pub(crate) first_error: String,
}

/// Starts pumping. `limit` is the output limit in bytes.
pub(crate) fn start(stdout: PipeReader, stderr: PipeReader, sink: LogSink, limit: u64) -> io::Result<Pump> {
    let (stopped, stop) = io::pipe()?;
    let (tell, done) = oneshot::channel();
    let over = Arc::new(Notify::new());
    let mut work = Work {
        sink,
        limit,
        bytes: 0,
        over: Arc::clone(&over),
        lines: [Lines::default(), Lines::default()],
        out: Drained::default(),
    };
    std::thread::Builder::new().name("mb-pump".into()).spawn(move || {
        work.drain([(stdout, Stream::Stdout), (stderr, Stream::Stderr)], &stopped);
        let _ = tell.send(work.finish());
    })?;
    Ok(Pump { over, done, stop })
}

struct Work {
    sink: LogSink,
    limit: u64,
    bytes: u64,
    over: Arc<Notify>,
    lines: [Lines; 2],
    out: Drained,
}

impl Work {
    fn drain(&mut self, pipes: [(PipeReader, Stream); 2], stopped: &PipeReader) {
        let mut pipes: Vec<_> = pipes.into_iter().collect();
        let mut chunk = vec![0; 64 << 10];
        while !pipes.is_empty() {
            let ready = wait(&pipes, stopped);
            let mut quiet = true;
            let mut at = 0;
            pipes.retain_mut(|(pipe, stream)| {
                let readable = ready[at];
                at += 1;
                if !readable {
                    return true;
                }
                quiet = false;
                match pipe.read(&mut chunk) {
                    Ok(0) => false,
                    Ok(count) => {
                        self.take(*stream, &chunk[..count]);
                        true
                    }
                    Err(error) => error.kind() == io::ErrorKind::Interrupted,
                }
            });
            self.sink.flush();
            // Only the stop pipe woke us: everything that had arrived is read.
            if quiet && ready[at] {
                return;
            }
        }
    }

    fn take(&mut self, stream: Stream, chunk: &[u8]) {
        let before = self.bytes;
        self.bytes += chunk.len() as u64;
        if before <= self.limit && self.bytes > self.limit {
            self.over.notify_one();
        }
        let (sink, out, limit) = (&mut self.sink, &mut self.out, self.limit);
        self.lines[stream as usize].feed(chunk, sink, &mut |sink, text| keep(sink, out, stream, text, limit));
    }

    fn finish(mut self) -> Drained {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let (sink, out, limit) = (&mut self.sink, &mut self.out, self.limit);
            self.lines[stream as usize].end(sink, &mut |sink, text| keep(sink, out, stream, text, limit));
        }
        self.out.summary = self.sink.finish(self.bytes);
        self.out
    }
}

/// Puts one redacted line where it belongs.
fn keep(sink: &mut LogSink, out: &mut Drained, stream: Stream, text: &str, limit: u64) {
    sink.line(stream, text, limit);
    match stream {
        Stream::Stdout if out.stdout.bytes.len() + text.len() < CAPTURE_BYTES_MAX => {
            out.stdout.bytes.extend_from_slice(text.as_bytes());
            out.stdout.bytes.push(b'\n');
        }
        Stream::Stdout => out.stdout.truncated = true,
        Stream::Stderr if out.first_error.is_empty() => out.first_error = text.chars().take(300).collect(),
        Stream::Stderr => {}
    }
}

/// Waits until a pipe has something (or closed), or the stop pipe is let go. The last flag is the stop pipe's.
fn wait(pipes: &[(PipeReader, Stream)], stopped: &PipeReader) -> Vec<bool> {
    let all = pipes.iter().map(|(pipe, _)| pipe.as_fd()).chain([stopped.as_fd()]);
    let mut fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    // A second at most, then the loop asks again; an interruption counts as "nothing yet".
    let _ = poll(&mut fds, PollTimeout::from(1000_u16));
    fds.iter().map(|fd| fd.any().unwrap_or(false)).collect()
}

/// Cuts one stream into lines.
#[derive(Default)]
struct Lines {
    partial: Vec<u8>,
    block: KeyBlock,
}

impl Lines {
    fn feed(&mut self, chunk: &[u8], sink: &mut LogSink, emit: &mut impl FnMut(&mut LogSink, &str)) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            let complete = piece.ends_with(b"\n");
            if !complete {
                self.drop_overwritten();
            }
            while self.partial.len() > LINE_BYTES_MAX {
                self.split(sink, emit);
            }
            if complete {
                self.end(sink, emit);
            }
        }
    }

    /// A lone carriage return goes back to the start of the line: what a terminal would overwrite is dropped.
    fn drop_overwritten(&mut self) {
        let body = &self.partial[..self.partial.len().saturating_sub(1)];
        if let Some(at) = body.iter().rposition(|byte| *byte == b'\r') {
            self.partial.drain(..=at);
        }
    }

    /// Emits the line that is complete, if there is one.
    fn end(&mut self, sink: &mut LogSink, emit: &mut impl FnMut(&mut LogSink, &str)) {
        if self.partial.is_empty() {
            return;
        }
        let line = std::mem::take(&mut self.partial);
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        let line = &line[..end];
        let start = line.iter().rposition(|byte| *byte == b'\r').map_or(0, |at| at + 1);
        self.emit(&String::from_utf8_lossy(&line[start..]), sink, emit);
    }

    /// Emits the beginning of a line that is too long, up to a place that is inside no secret and no character.
    fn split(&mut self, sink: &mut LogSink, emit: &mut impl FnMut(&mut LogSink, &str)) {
        let whole = whole_characters(&self.partial[..LINE_BYTES_MAX]);
        let text = String::from_utf8_lossy(&self.partial[..whole]).into_owned();
        let cut = sink.redactor().cut(&text, text.len() - OVERLAP_BYTES);
        let rest = [&text.as_bytes()[cut..], &self.partial[whole..]].concat();
        self.emit(&text[..cut], sink, emit);
        self.partial = rest;
    }

    fn emit(&mut self, text: &str, sink: &mut LogSink, emit: &mut impl FnMut(&mut LogSink, &str)) {
        let redactor = sink.redactor().clone();
        if let Some(text) = self.block.line(&redactor, text) {
            emit(sink, &text);
        }
    }
}

/// How many bytes there are before a character that has only begun.
fn whole_characters(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(4);
    let begun = (from..bytes.len()).rev().find(|at| bytes[*at] & 0b1100_0000 != 0b1000_0000);
    match begun {
        Some(at) if std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none()) => at,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::log::read_log;
    use crate::redact::Redactor;

    /// Feeds the chunks through a real pump and returns the log's texts.
    fn pumped(chunks: &[&[u8]]) -> (Vec<String>, Drained) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let redactor = Redactor::new(["s3cret-value".to_owned()], &[]).unwrap();
        let sink = LogSink::create(&path, redactor, None).unwrap();
        let (out, mut out_end) = io::pipe().unwrap();
        let (err, err_end) = io::pipe().unwrap();
        drop(err_end);
        let pump = start(out, err, sink, 64 << 20).unwrap();
        for chunk in chunks {
            out_end.write_all(chunk).unwrap();
        }
        drop(out_end);
        let drained = pump.done.blocking_recv().unwrap();
        (read_log(&path, 1, 1000).unwrap().into_iter().map(|line| line.text).collect(), drained)
    }

    #[test]
    fn lines_are_whole_and_progress_keeps_its_last_state() {
        let (lines, drained) = pumped(&[b"on", b"e\r\n10%\r20%", b"\r100%\n", b"\n", b"last"]);
        assert_eq!(lines, ["one", "100%", "", "last"]);
        assert_eq!(drained.stdout.bytes, b"one\n100%\n\nlast\n");
    }

    #[test]
    fn a_secret_is_found_across_chunks_and_across_the_split_of_a_long_line() {
        let (lines, _) = pumped(&[b"a s3cret", b"-value b\n"]);
        assert_eq!(lines, ["a [redacted:env] b"]);
        for before in (LINE_BYTES_MAX - OVERLAP_BYTES - 20)..(LINE_BYTES_MAX - OVERLAP_BYTES + 4) {
            let long = ["x".repeat(before).as_bytes(), b"s3cret-value", "y".repeat(10_000).as_bytes(), b"\n"].concat();
            let (lines, drained) = pumped(&[&long]);
            let all = lines.concat();
            assert!(
                lines.len() == 2 && !all.contains("s3cret") && all.contains("[redacted:env]"),
                "at {before}: {:?}",
                lines.iter().map(String::len).collect::<Vec<_>>()
            );
            assert!(!String::from_utf8(drained.stdout.bytes).unwrap().contains("s3cret"));
        }
    }

    #[test]
    fn a_split_keeps_characters_whole() {
        let text = "é".repeat(100_000);
        let (lines, _) = pumped(&[text.as_bytes()]);
        assert!(lines.len() > 2 && lines.concat() == text);
        assert!(lines.iter().all(|line| line.len() <= 2 * LINE_BYTES_MAX));
    }

    #[test]
    fn an_open_pipe_does_not_hold_the_pump() {
        let dir = tempfile::tempdir().unwrap();
        let sink = LogSink::create(&dir.path().join("log"), Redactor::new([], &[]).unwrap(), None).unwrap();
        let (out, mut kept_open) = io::pipe().unwrap();
        let (err, _also_open) = io::pipe().unwrap();
        let pump = start(out, err, sink, 1 << 20).unwrap();
        kept_open.write_all(b"said\n").unwrap();
        drop(pump.stop);
        assert_eq!(pump.done.blocking_recv().unwrap().summary.lines, 1);
    }
}
