//! Server-sent events, reading side: bytes in, messages out.
//!
//! Follows the HTML standard's parsing rules (<https://html.spec.whatwg.org/multipage/server-sent-events.html>),
//! with a bound on one message so that a broken server cannot fill our memory.

/// Bytes one message may have.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Its name; empty means `message`.
    pub event: String,
    /// Its data, lines joined by a line feed.
    pub data: String,
    /// The stream's last id, to resume after.
    pub id: Option<String>,
}

/// A message was larger than [`MESSAGE_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of the stream is larger than {MESSAGE_BYTES_MAX} bytes")]
pub struct TooLarge;

/// The parser: give it bytes, take messages.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: Vec<u8>,
    pending: Message,
    has_data: bool,
    last_id: Option<String>,
}

impl Parser {
    /// A parser that resumes after an id.
    pub fn resuming(last_id: Option<String>) -> Parser {
        Parser { last_id, ..Parser::default() }
    }

    /// The id to resume after.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes bytes and gives the messages they complete.
    ///
    /// # Errors
    /// [`TooLarge`] when a message passes the bound; the stream must then be dropped.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Message>, TooLarge> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        while let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            messages.extend(self.line(&line));
            if self.pending.data.len() > MESSAGE_BYTES_MAX {
                return Err(TooLarge);
            }
        }
        if self.buffer.len() > MESSAGE_BYTES_MAX { Err(TooLarge) } else { Ok(messages) }
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.pending.data.push('\n');
                }
                self.pending.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.pending.event),
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Message> {
        let mut message = std::mem::take(&mut self.pending);
        let has_data = std::mem::take(&mut self.has_data);
        message.id.clone_from(&self.last_id);
        has_data.then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&str], expected: &[(&str, &str, Option<&str>)]) {
        let mut parser = Parser::default();
        let mut got = Vec::new();
        for chunk in chunks {
            got.extend(parser.feed(chunk.as_bytes()).expect("small"));
        }
        let got: Vec<_> = got.iter().map(|m| (m.event.as_str(), m.data.as_str(), m.id.as_deref())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn messages_are_found_wherever_the_bytes_are_cut() {
        let text = ": hello\nid: 7\nevent: step.failed\ndata: {\"a\":1}\ndata: b\n\ndata: x\r\n\r\n";
        let expected = [("step.failed", "{\"a\":1}\nb", Some("7")), ("", "x", Some("7"))];
        check(&[text], &expected);
        for cut in 1..text.len() {
            check(&[&text[..cut], &text[cut..]], &expected);
        }
    }

    #[test]
    fn comments_and_messages_without_data_are_not_messages() {
        check(&[": heartbeat\n\n", "event: x\n\n", "id: 3\n\n", "data: y\n\n"], &[("", "y", Some("3"))]);
    }

    #[test]
    fn a_message_without_end_is_refused() {
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1 << 16));
        let refused = (0..64).any(|_| parser.feed(line.as_bytes()).is_err());
        assert!(refused, "4 MiB in one message were taken");
    }
}
