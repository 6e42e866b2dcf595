//! `cargo xtask bench`: every bench of the workspace, one after another so that none disturbs another.

use std::path::Path;

use crate::Result;
use crate::ci::ALL_FEATURES;
use crate::run::{self, cargo};

pub(crate) fn run(root: &Path) -> Result {
    let mut bench = cargo(&["bench", "--workspace", "--bench", "*"]);
    run::run(bench.args(ALL_FEATURES).current_dir(root))
}
