//! Frozen files without git: contents under their own digest, and lists of which path has which content.
//!
//! The shape is git's (blobs and one flat tree), so a snapshot costs only what is new in it, the same files have the same
//! name, and the beginning that a difference is taken from is a list, not a second copy of the files.
//!
//! Deliberately absent: compression, packing and removal. This serves folders without a repository and machines
//! without git.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mb_core::workflow::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::walk;

/// What a file is, with git's numbers.
#[derive(Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 100644
    File,
    /// 100755
    Program,
    /// 120000; its content is the path it leads to.
    Link,
}

impl Mode {
    /// As git writes it.
    pub(crate) const fn octal(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Program => "100755",
            Self::Link => "120000",
        }
    }

    /// Reads git's number; none for what is no file (submodules).
    pub(crate) fn from_octal(text: &str) -> Option<Mode> {
        [Self::File, Self::Program, Self::Link].into_iter().find(|mode| mode.octal() == text)
    }

    /// What the entry at `path` is; none when there is no file or link.
    pub(crate) fn of(path: &Path) -> Option<Mode> {
        let meta = fs::symlink_metadata(path).ok()?;
        match meta.file_type() {
            kind if kind.is_symlink() => Some(Self::Link),
            kind if kind.is_file() && meta.permissions().mode() & 0o100 != 0 => Some(Self::Program),
            kind if kind.is_file() => Some(Self::File),
            _ => None,
        }
    }
}

/// One file of a list.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) mode: Mode,
    /// SHA-256 of the content, in hex.
    pub(crate) digest: String,
}

/// A list of files by their path relative to the top, with `/`.
pub(crate) type Tree = BTreeMap<String, Entry>;

/// A folder that holds contents under their digests.
#[derive(Debug, Clone)]
pub(crate) struct Copies {
    folder: PathBuf,
}

impl Copies {
    pub(crate) fn in_folder(folder: &Path) -> Copies {
        Copies { folder: folder.to_owned() }
    }

    fn place(&self, digest: &str) -> PathBuf {
        let (shelf, name) = digest.split_at_checked(2).unwrap_or(("", digest));
        self.folder.join(shelf).join(name)
    }

    /// Keeps the content of the file or link at `path` as it is now.
    fn take(&self, path: &Path, mode: Mode) -> io::Result<String> {
        if mode == Mode::Link {
            return self.keep(fs::read_link(path)?.as_os_str().as_bytes());
        }
        let digest = digest_of(path)?;
        if self.place(&digest).exists() {
            return Ok(digest);
        }
        // The file may change between being read and being copied: the copy's own digest is its name. Extents are
        // shared where the file system can (the kernel's `copy_file_range` does it).
        let aside = self.aside()?;
        let taken = fs::copy(path, &aside).and_then(|_| digest_of(&aside));
        self.settle(&aside, taken)
    }

    /// Keeps these bytes.
    fn keep(&self, bytes: &[u8]) -> io::Result<String> {
        let digest = hex(&Sha256::digest(bytes));
        if self.place(&digest).exists() {
            return Ok(digest);
        }
        let aside = self.aside()?;
        let written = fs::write(&aside, bytes).map(|()| digest);
        self.settle(&aside, written)
    }

    fn aside(&self) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.folder)?;
        Ok(self.folder.join(format!("new-{}", crate::sys::unique())))
    }

    /// Gives a complete file its name, or removes it.
    fn settle(&self, aside: &Path, digest: io::Result<String>) -> io::Result<String> {
        let named = digest.and_then(|digest| {
            let place = self.place(&digest);
            fs::create_dir_all(place.parent().unwrap_or(&self.folder))?;
            // Like the files of git's database: a copy of one must not be a program by accident.
            fs::set_permissions(aside, fs::Permissions::from_mode(0o644))?;
            fs::rename(aside, place).map(|()| digest)
        });
        named.inspect_err(|_| drop(fs::remove_file(aside)))
    }

    /// The content under a digest.
    pub(crate) fn read(&self, digest: &str) -> io::Result<Vec<u8>> {
        fs::read(self.place(digest))
    }

    /// Keeps a list and gives its name.
    pub(crate) fn keep_tree(&self, tree: &Tree) -> io::Result<String> {
        self.keep(&serde_json::to_vec(tree).map_err(io::Error::other)?)
    }

    /// The list with this name.
    pub(crate) fn tree(&self, name: &str) -> io::Result<Tree> {
        serde_json::from_slice(&self.read(name)?).map_err(io::Error::other)
    }

    /// Keeps all files of `root` that `files` names. What vanishes meanwhile is not there; what cannot be read is said.
    pub(crate) fn freeze(&self, root: &Path, files: &[String], notes: &mut Vec<String>) -> io::Result<Tree> {
        let mut tree = Tree::new();
        for path in files {
            let at = root.join(path);
            let Some(mode) = Mode::of(&at) else { continue };
            match self.take(&at, mode) {
                Ok(digest) => drop(tree.insert(path.clone(), Entry { mode, digest })),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    notes.push(format!("{path} is left out: it cannot be read"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(tree)
    }

    /// Writes the files of a list into `root`, which holds none of them.
    pub(crate) fn unpack(&self, tree: &Tree, root: &Path) -> io::Result<()> {
        for (path, entry) in tree {
            let at = root.join(path);
            if let Some(folder) = at.parent() {
                fs::create_dir_all(folder)?;
            }
            match entry.mode {
                Mode::Link => {
                    let leads_to = self.read(&entry.digest)?;
                    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&leads_to), &at)?;
                }
                Mode::File | Mode::Program => {
                    fs::copy(self.place(&entry.digest), &at)?;
                    if entry.mode == Mode::Program {
                        fs::set_permissions(&at, fs::Permissions::from_mode(0o755))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The present files of `root`, given what they were: files that were there count even if they are ignored now.
    pub(crate) fn present(&self, root: &Path, was: &Tree, rules: &str) -> io::Result<Tree> {
        let mut files = walk::files(root, rules)?.files;
        files.extend(was.keys().cloned());
        files.sort_unstable();
        files.dedup();
        let mut tree = Tree::new();
        for path in files {
            let at = root.join(&path);
            // A path that leads through a link names a file of elsewhere.
            let Some(mode) = Mode::of(&at).filter(|_| !through_link(root, &path)) else { continue };
            let digest = match mode {
                Mode::Link => hex(&Sha256::digest(fs::read_link(&at)?.as_os_str().as_bytes())),
                Mode::File | Mode::Program => match (digest_of(&at), was.get(&path)) {
                    (Ok(digest), _) => digest,
                    // As git does: a file that cannot be read stays as it was.
                    (Err(_), Some(entry)) => entry.digest.clone(),
                    (Err(_), None) => continue,
                },
            };
            tree.insert(path, Entry { mode, digest });
        }
        Ok(tree)
    }
}

/// Whether a folder of a path is a link.
pub(crate) fn through_link(root: &Path, path: &str) -> bool {
    let folders = path.match_indices('/').map(|(at, _)| &path[..at]);
    folders.into_iter().any(|folder| root.join(folder).is_symlink())
}

/// SHA-256 of a file, in hex, in bounded memory.
fn digest_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..got]);
    }
}
