//! The package `work` beside the crate under trial: what its programs at src/bin/NAME.rs have in common.
pub mod trial;
