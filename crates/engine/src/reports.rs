//! Report files a command has left: JUnit XML and SARIF, which say more exactly what failed than any log.
//!
//! Only files written since the command began count, so a report of an earlier run is never read as this one's.
//! Bounded in depth, number and size; what does not fit is left to the log.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use mb_core::time::Timestamp;

/// Folders below the project that are looked into.
const DEPTH_MAX: usize = 5;
/// Entries looked at.
const ENTRIES_MAX: usize = 20_000;
/// Reports read.
const REPORTS_MAX: usize = 20;
/// Largest report read, in bytes.
const BYTES_MAX: u64 = 4 << 20;
/// Folders that hold other people's files.
const SKIPPED: &[&str] = &[".git", "node_modules", ".venv", "venv", "vendor"];

/// The reports below `root` that were written at or after `since`: path and content, in order of path.
pub(crate) fn collect(root: &Path, since: Timestamp) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut entries = 0;
    let mut folders = vec![(root.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let Ok(listed) = fs::read_dir(&folder) else { continue };
        for entry in listed.filter_map(Result::ok) {
            entries += 1;
            if entries > ENTRIES_MAX || found.len() >= REPORTS_MAX {
                break;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            // The entry's own type: a link is neither a folder to walk nor a report.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEPTH_MAX && !SKIPPED.contains(&name.as_str()) {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() && is_report(&name) && is_fresh(&entry, since) {
                let path = entry.path();
                let shown = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                found.extend(fs::read_to_string(&path).ok().map(|text| (shown, text)));
            }
        }
    }
    found.sort();
    found
}

fn is_report(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let xml = name.ends_with(".xml");
    name.ends_with(".sarif")
        || name.ends_with(".sarif.json")
        || (xml && (name.contains("junit") || name.starts_with("test-") || name.contains("test-results")))
}

fn is_fresh(entry: &fs::DirEntry, since: Timestamp) -> bool {
    let Ok(meta) = entry.metadata() else { return false };
    let written = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let micros = written.and_then(|at| i64::try_from(at.as_micros()).ok()).unwrap_or(0);
    // File systems keep time more coarsely than the clock does.
    meta.len() <= BYTES_MAX && micros + 20_000 >= since.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fresh_reports_are_read() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir_all(dir.path().join("build/node_modules")).expect("made");
        for name in ["build/junit.xml", "build/TEST-a.xml", "lint.sarif", "pom.xml", "build/node_modules/junit.xml"] {
            fs::write(dir.path().join(name), "<x/>").expect("written");
        }
        let names = |since| collect(dir.path(), since).into_iter().map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(names(Timestamp::from_micros(0)), ["build/TEST-a.xml", "build/junit.xml", "lint.sarif"]);
        assert_eq!(names(Timestamp::from_micros(i64::MAX / 2)), Vec::<String>::new());
    }
}
