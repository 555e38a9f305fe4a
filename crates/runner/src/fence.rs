//! The Landlock rules of a command that runs without namespaces.
//!
//! Reading is allowed for the system, the toolchains and the repository's objects; writing for the attempt's own
//! folders. Deliberately absent: UDP and Unix sockets, which the kernel cannot refuse here. "No network" therefore
//! means "no TCP" at this level, and the notes of an outcome say so.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use mb_core::workflow::Network;

/// Folders every program may read, where they exist.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc",
    "/opt",
    "/nix",
    "/snap",
    "/proc",
    "/sys",
    "/dev",
    "/var/lib",
    "/run/systemd/resolve",
];
/// Devices that may be written to.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/ptmx", "/dev/pts", "/dev/shm"];

/// The first interface that can refuse TCP.
pub(crate) const ABI_TCP: u32 = 4;

/// Prepares the rules; the child enters them. Kernels that know fewer kinds of access get fewer.
pub(crate) fn rules(
    readable: &[PathBuf],
    writable: &[PathBuf],
    network: Network,
) -> Result<RulesetCreated, RulesetError> {
    let abi = ABI::V6;
    let mut ruleset =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(AccessFs::from_all(abi))?;
    if network == Network::None {
        ruleset = ruleset.handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)?;
    }
    let system = SYSTEM.iter().map(Path::new).chain(readable.iter().map(PathBuf::as_path));
    let written = DEVICES.iter().map(Path::new).chain(writable.iter().map(PathBuf::as_path));
    ruleset
        .scope(Scope::Signal | Scope::AbstractUnixSocket)?
        .create()?
        .add_rules(path_beneath_rules(system, AccessFs::from_read(abi)))?
        .add_rules(path_beneath_rules(written, AccessFs::from_all(abi)))
}
