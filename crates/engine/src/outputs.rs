//! What a command gives: the JSON it writes into the file that `$MB_OUTPUT` names.
//!
//! The folder is the only thing outside its worktree that a command may write to, so nothing in it is believed: a
//! link is not followed, and no more is read than an output may have.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use mb_core::run::OUTPUT_BYTES_MAX;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use serde_json::Value;

/// The variable that names the file.
pub(crate) const VARIABLE: &str = "MB_OUTPUT";

/// The folder of one command's output, removed with this value.
#[derive(Debug)]
pub(crate) struct Outputs {
    folder: PathBuf,
}

/// Why a command's output is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadOutput {
    #[error("the output file cannot be read")]
    Read(#[source] std::io::Error),
    #[error("the output file has more than {OUTPUT_BYTES_MAX} bytes")]
    TooLarge,
    #[error("the output file is not JSON")]
    Json(#[source] serde_json::Error),
}

impl Outputs {
    /// An empty folder: what an earlier command of this grant has left is no output of the next.
    pub(crate) async fn make(folder: PathBuf) -> std::io::Result<Outputs> {
        match tokio::fs::remove_dir_all(&folder).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        tokio::fs::create_dir_all(&folder).await?;
        Ok(Outputs { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("output.json")
    }
}

impl Drop for Outputs {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::debug!(%error, folder = %self.folder.display(), "the folder of an output could not be removed");
        }
    }
}

/// What a command wrote; none when it wrote nothing.
pub(crate) fn read(file: &Path) -> Result<Option<Value>, BadOutput> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let opened = match open(file, flags, Mode::empty()) {
        Ok(opened) => std::fs::File::from(opened),
        Err(nix::errno::Errno::ENOENT) => return Ok(None),
        Err(error) => return Err(BadOutput::Read(error.into())),
    };
    if !opened.metadata().map_err(BadOutput::Read)?.is_file() {
        return Err(BadOutput::Read(std::io::Error::other("it is no regular file")));
    }
    let mut text = Vec::new();
    opened.take(OUTPUT_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(BadOutput::Read)?;
    if text.len() > OUTPUT_BYTES_MAX {
        return Err(BadOutput::TooLarge);
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    serde_json::from_slice(&text).map(Some).map_err(BadOutput::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_with_a_little_json_is_an_output() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("output.json");
        let said = || read(&file).map_or_else(|error| error.to_string(), |value| format!("{value:?}"));
        assert_eq!(said(), "None");
        std::fs::write(&file, " {\"a\": 1}\n").expect("written");
        assert_eq!(said(), "Some(Object {\"a\": Number(1)})");
        std::fs::write(&file, "{").expect("written");
        assert_eq!(said(), "the output file is not JSON");
        std::fs::write(&file, " \n").expect("written");
        assert_eq!(said(), "None");
        let padded = |bytes| format!("1{}", " ".repeat(bytes - 1));
        std::fs::write(&file, padded(OUTPUT_BYTES_MAX)).expect("written");
        assert_eq!(said(), "Some(Number(1))");
        std::fs::write(&file, padded(OUTPUT_BYTES_MAX + 1)).expect("written");
        assert_eq!(said(), "the output file has more than 262144 bytes");
        std::fs::remove_file(&file).expect("removed");
        std::os::unix::fs::symlink("/etc/hostname", &file).expect("linked");
        assert_eq!(said(), "the output file cannot be read");
    }
}
