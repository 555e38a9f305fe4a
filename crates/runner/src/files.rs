//! File trees: remove one whatever its permissions, measure one, copy one.
//!
//! Every walk has a bound and follows no symbolic link, as the trees were written by untrusted commands.

use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Entries one walk looks at.
const ENTRIES_MAX: u64 = 1_000_000;

/// Removes a tree. Folders without write permission (module caches, overlay work folders) are opened first.
pub(crate) fn remove_tree(root: &Path) -> io::Result<()> {
    match fs::remove_dir_all(root) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => {
            open_folders(root)?;
            fs::remove_dir_all(root)
        }
    }
}

fn open_folders(root: &Path) -> io::Result<()> {
    let mut left = vec![root.to_owned()];
    let mut budget = ENTRIES_MAX;
    while let Some(folder) = left.pop() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)?.filter_map(Result::ok) {
            budget = budget.checked_sub(1).ok_or_else(too_many)?;
            if entry.file_type()?.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Ok(())
}

/// Visits every entry below `root` that is not a folder. Folders that vanish or cannot be read are passed over.
fn visit(root: &Path, mut each: impl FnMut(&DirEntry) -> bool) {
    let mut left = vec![root.to_owned()];
    let mut budget = ENTRIES_MAX;
    while let Some(folder) = left.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            if budget == 0 {
                return;
            }
            budget -= 1;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            } else if !each(&entry) {
                return;
            }
        }
    }
}

/// Bytes allocated to files below `root` that changed at or after `since` (a change time in nanoseconds), stopping
/// once it is more than `enough`.
///
/// The change time cannot be set back by the one who writes, so a checked out tree does not count and what a
/// command wrote does.
pub(crate) fn bytes_written(root: &Path, since: i128, enough: u64) -> u64 {
    let mut sum = 0_u64;
    visit(root, |entry| {
        if let Ok(meta) = entry.metadata()
            && changed(&meta) >= since
        {
            sum = sum.saturating_add(meta.blocks() * 512);
        }
        sum <= enough
    });
    sum
}

/// A file's change time, in nanoseconds since the epoch.
pub(crate) fn changed(meta: &fs::Metadata) -> i128 {
    i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec())
}

/// Sum of the sizes of the files below `root`, in bytes, stopping once it is more than `enough`.
pub(crate) fn size(root: &Path, enough: u64) -> u64 {
    let mut sum = 0_u64;
    visit(root, |entry| {
        sum = sum.saturating_add(entry.metadata().map_or(0, |meta| meta.len()));
        sum <= enough
    });
    sum
}

/// Copies a tree with permissions, modification times and symbolic links. Extents are shared where the file
/// system can (the kernel's `copy_file_range` does it); nothing is hard-linked, so the original cannot be written to.
pub(crate) fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    let mut left: Vec<(PathBuf, PathBuf)> = vec![(from.to_owned(), to.to_owned())];
    let mut budget = ENTRIES_MAX;
    while let Some((from, to)) = left.pop() {
        fs::create_dir_all(&to)?;
        for entry in fs::read_dir(&from)? {
            budget = budget.checked_sub(1).ok_or_else(too_many)?;
            let entry = entry?;
            let target = to.join(entry.file_name());
            let kind = entry.file_type()?;
            if kind.is_dir() {
                left.push((entry.path(), target));
            } else if kind.is_symlink() {
                std::os::unix::fs::symlink(fs::read_link(entry.path())?, target)?;
            } else if kind.is_file() {
                copy_file(&entry.path(), &target)?;
            }
        }
    }
    Ok(())
}

/// Copies a file with its modification time: build tools compare times, and so does git's index.
pub(crate) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let modified = fs::metadata(from)?.modified()?;
    fs::File::open(to)?.set_times(fs::FileTimes::new().set_modified(modified))
}

/// Joins without leaving a slash at the end when there is nothing to add: `pwd` would show it.
pub(crate) fn below(folder: &Path, path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { folder.to_owned() } else { folder.join(path) }
}

fn too_many() -> io::Error {
    io::Error::other(format!("the folder has more than {ENTRIES_MAX} entries"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_permissions_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let shut = dir.path().join("tree/shut");
        fs::create_dir_all(&shut).unwrap();
        fs::write(shut.join("f"), "x").unwrap();
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o000)).unwrap();
        remove_tree(&dir.path().join("tree")).unwrap();
        assert!(!dir.path().join("tree").exists());
    }

    #[test]
    fn only_what_changed_since_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old"), vec![0; 8192]).unwrap();
        let mark = changed(&fs::metadata(dir.path().join("old")).unwrap()) + 1;
        assert_eq!(bytes_written(dir.path(), mark, u64::MAX), 0);
        assert_eq!(bytes_written(dir.path(), 0, u64::MAX), 8192);
        assert_eq!(size(dir.path(), u64::MAX), 8192);
    }

    #[test]
    fn a_copy_keeps_times_and_links() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/f"), "x").unwrap();
        std::os::unix::fs::symlink("f", from.join("sub/l")).unwrap();
        copy_tree(&from, &to).unwrap();
        assert_eq!(fs::read_link(to.join("sub/l")).unwrap(), PathBuf::from("f"));
        let time = |root: &Path| fs::metadata(root.join("sub/f")).unwrap().modified().unwrap();
        assert_eq!(time(&from), time(&to));
    }
}
