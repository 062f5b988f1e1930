//! Tests of the tree: `rules` by example, `model` against a plain map, `walk` of snapshots taken
//! while the tree changes, `load` of hostile records, `size` of what a znode costs.

mod load;
mod model;
mod rules;
mod size;
mod walk;
mod workload;
