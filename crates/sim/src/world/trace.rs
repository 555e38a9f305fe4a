//! What happened, as lines and as one number.

use mb_core::time::Timestamp;

use crate::model::Model;

/// The account of a history.
pub(super) struct Trace {
    pub(super) hash: u64,
    pub(super) lines: Vec<String>,
    is_kept: bool,
}

impl Trace {
    pub(super) fn new(is_kept: bool) -> Trace {
        // The offset basis of FNV-1a, 64 bits.
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: Vec::new(), is_kept }
    }

    pub(super) fn line(&mut self, now: Timestamp, text: impl FnOnce() -> String) {
        let text = text();
        self.mix(&now.as_micros().to_be_bytes());
        self.mix(text.as_bytes());
        if self.is_kept {
            self.lines.push(format!("{now} {text}"));
        }
    }

    /// What is left belongs to the history as well.
    pub(super) fn end(&mut self, model: &Model) {
        let left = format!("{:?} {:?}", model.finished(), model.runs());
        self.mix(left.as_bytes());
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
}
