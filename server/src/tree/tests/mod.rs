//! Tests of the tree: `walk` of snapshots taken while the tree changes.

mod walk;
mod workload;
