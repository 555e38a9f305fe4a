//! What one reader found in the output.

use std::collections::BTreeSet;

use mb_core::failure::{Diagnostic, FailureKind, Hint, Position, Signal};

use super::view::cut;

/// Findings kept of one reader; what comes after is only counted by the tool itself.
const FINDINGS_MAX: usize = 1_000;
/// Bytes kept of a message.
const MESSAGE_BYTES_MAX: usize = 500;

/// One thing a tool said, and which lines of the view show it.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) diagnostic: Diagnostic,
    /// First and last line shown, as indices into the view; none for findings of files and machine output.
    pub(crate) shown: Option<(usize, usize)>,
}

/// All that one reader found.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The tool.
    pub(crate) tool: String,
    /// How strong it is.
    pub(crate) signal: Signal,
    /// Its findings, in the order of the output.
    pub(crate) findings: Vec<Finding>,
    /// What it suggests.
    pub(crate) hints: BTreeSet<Hint>,
}

impl Reading {
    pub(crate) fn new(tool: &str, signal: Signal) -> Self {
        Self { tool: tool.to_owned(), signal, findings: Vec::new(), hints: BTreeSet::new() }
    }

    /// Adds a finding unless the same was said before or there are too many.
    pub(crate) fn push(
        &mut self,
        kind: FailureKind,
        rule: &str,
        message: &str,
        position: Option<Position>,
        shown: Option<(usize, usize)>,
    ) {
        if self.findings.len() >= FINDINGS_MAX {
            return;
        }
        let message = cut(message.trim().lines().next().unwrap_or(""), MESSAGE_BYTES_MAX).trim_end().to_owned();
        let tool = self.tool.clone();
        let diagnostic = Diagnostic { tool, rule: cut(rule, MESSAGE_BYTES_MAX).to_owned(), kind, message, position };
        // Only neighbours are compared: tools repeat themselves at once (one crate built twice), and looking at all
        // earlier findings would make a long list quadratic. `classify` drops distant repetitions from what it keeps.
        if self.findings.last().is_none_or(|last| last.diagnostic != diagnostic) {
            self.findings.push(Finding { diagnostic, shown });
        }
    }

    /// The reading, unless it found nothing.
    pub(crate) fn some(self) -> Option<Self> {
        (!self.findings.is_empty()).then_some(self)
    }

    /// The kind of the whole: the gravest of its findings, because what does not compile explains what does not pass.
    pub(crate) fn kind(&self) -> FailureKind {
        self.findings
            .iter()
            .map(|f| f.diagnostic.kind)
            .min_by_key(|kind| gravity(*kind))
            .unwrap_or(FailureKind::Unknown)
    }
}

/// Lower explains higher: a missing module explains a failing import, an assertion is more telling than an error beside it.
pub(crate) fn gravity(kind: FailureKind) -> u8 {
    match kind {
        FailureKind::ToolchainMissing => 0,
        FailureKind::Dependency => 1,
        FailureKind::Compile => 2,
        FailureKind::TestAssert => 3,
        FailureKind::TestError => 4,
        FailureKind::Typecheck => 5,
        FailureKind::Lint => 6,
        FailureKind::Format => 7,
        _ => 3,
    }
}
