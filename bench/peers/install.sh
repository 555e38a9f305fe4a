#!/usr/bin/env bash
# Installs the engines that `cargo xtask bench queue` measures us beside, each in a folder of its own below $PEERS.
# Usage: PEERS=~/peers bench/peers/install.sh [NAME ...]; without a name all of them. Run again to bring one up to date.
set -euo pipefail

: "${PEERS:?set PEERS to a folder outside the repository}"
here="$(cd "$(dirname "$0")" && pwd)"
jobs="${JOBS:-2}"

# The folder of a peer with its manifest in it; the driver itself is copied by each measurement, so it is never stale.
folder() {
    mkdir -p "$PEERS/$1"
    cp -R "$here/$1/." "$PEERS/$1/"
    cd "$PEERS/$1"
}

node_peer() {
    folder "$1"
    npm install --no-audit --no-fund --loglevel=error
}

python_peer() {
    folder "$1"
    [ -x venv/bin/python ] || python3 -m venv venv
    venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.txt
}

# One target folder for all, since they share most of their dependencies.
rust_peer() {
    folder "$1"
    cp "$here/harness/harness.rs" .
    CARGO_TARGET_DIR="$PEERS/target" cargo build --release --jobs "$jobs"
    mkdir -p bin
    cp "$PEERS/target/release/$1" bin/
}

# The extension's SQL comes with the crate; nothing of the crate is built.
pgmq_sql() {
    local from="$PEERS/pgmq/crate"
    mkdir -p "$from/src"
    : >"$from/src/lib.rs"
    printf '[package]\nname = "fetch"\nedition = "2024"\n[dependencies]\npgmq = "=0.33.7"\n[workspace]\n' >"$from/Cargo.toml"
    cargo fetch --quiet --manifest-path "$from/Cargo.toml"
    local manifest
    manifest="$(cargo metadata --format-version 1 --manifest-path "$from/Cargo.toml" |
        python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "pgmq"))')"
    cp "$(dirname "$manifest")/src/install/embedded/sql/pgmq.sql" "$PEERS/pgmq/pgmq.sql"
}

install() {
    case "$1" in
        graphile-worker | pg-boss | plainjob) node_peer "$1" ;;
        huey) python_peer huey ;;
        pgmq) python_peer pgmq && pgmq_sql ;;
        graphile-worker-rs | apalis) rust_peer "$1" ;;
        *) echo "no such peer: $1" >&2 && return 2 ;;
    esac
}

[ $# -gt 0 ] || set -- graphile-worker graphile-worker-rs pg-boss pgmq apalis plainjob huey
failed=()
for name in "$@"; do
    echo "installing $name"
    (install "$name") || failed+=("$name")
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "not installed: ${failed[*]}" >&2
    exit 1
fi
