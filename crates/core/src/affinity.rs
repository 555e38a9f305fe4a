//! Affinity: which workers may claim a task, as a text that a claim compares.
//!
//! A run of a project needs files that are on one machine, so its tasks are kept for that **node**; a run embedded in
//! a command is kept for its **process** until that is gone. A task without affinity is anybody's.
//!
//! Deliberately absent: rules and expressions. A claim names one affinity and gets tasks of exactly that one.

use crate::id::WorkerId;

const NODE: &str = "node:";
const PROCESS: &str = "embedded:";

/// Tasks for the workers of one node: those that have its files.
pub fn of_node(node: &str) -> String {
    format!("{NODE}{node}")
}

/// Tasks for one process of a node.
pub fn of_process(node: &str, worker: WorkerId) -> String {
    format!("{PROCESS}{node}/{worker}")
}

/// Whether it keeps tasks for one process, which does nothing else.
pub fn is_of_process(affinity: &str) -> bool {
    affinity.starts_with(PROCESS)
}

/// Who may go on with a task whose process is gone: the node it ran on, or anybody when that is not known.
pub fn after_loss(affinity: &str) -> Option<String> {
    let (node, _) = affinity.strip_prefix(PROCESS)?.rsplit_once('/')?;
    Some(of_node(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dead_process_leaves_stays_on_its_node() {
        let process = of_process("host/a-1", WorkerId::from_bytes([1; 16]));
        assert_eq!(after_loss(&process), Some(of_node("host/a-1")));
        for other in ["", "node:a", "embedded:wrk_1", "x/y"] {
            assert_eq!(after_loss(other), None, "{other}");
        }
        assert!(is_of_process(&process) && !is_of_process(&of_node("a")) && !is_of_process(""));
    }
}
