#!/usr/bin/env bash
# Builds rust_client/, on the crate zookeeper-client, and runs it against an ensemble of three, of which it kills one.
# Takes --kind conclave|zookeeper; other options are accepted and change nothing.
set -euo pipefail
source "$(dirname "$(realpath "$0")")/../lib/outside.sh"

need cargo Rust
target=$(realpath "${CARGO_TARGET_DIR:-$here/../../target}")
CARGO_TARGET_DIR=$target/rust_client cargo build --locked --quiet --manifest-path "$here/rust_client/Cargo.toml"
# What ZooKeeper has to be told to have nodes with a time to live.
export JAVA_TOOL_OPTIONS=-Dzookeeper.extendedTypesEnabled=true
against_ensemble "$target/rust_client/debug/rust_client"
