//! The demo's project: a small Rust library that fails on purpose, compiled into the binary so that it needs
//! nothing but Rust.

use std::io;
use std::path::{Path, PathBuf};

/// The files of `examples/rust-demo`.
const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../examples/rust-demo/Cargo.toml")),
    ("Cargo.lock", include_str!("../../../examples/rust-demo/Cargo.lock")),
    ("CHANGELOG.md", include_str!("../../../examples/rust-demo/CHANGELOG.md")),
    ("src/lib.rs", include_str!("../../../examples/rust-demo/src/lib.rs")),
    ("tests/spans.rs", include_str!("../../../examples/rust-demo/tests/spans.rs")),
    ("meta-builder.toml", include_str!("../../../examples/rust-demo/meta-builder.toml")),
];

/// Writes the project below the data folder, as it is shipped, and gives its path.
pub(crate) fn write(data: &Path) -> io::Result<PathBuf> {
    let root = data.join("demo");
    for (path, text) in FILES {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(root)
}
