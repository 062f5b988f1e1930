//! Tests of the watches: `rules` by example, `model` against a plain map, `size` of what one costs.

mod model;
mod rules;
mod size;
