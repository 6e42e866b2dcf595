//! `cargo xtask bench`: every bench of the workspace, one after another so that none disturbs another.

use std::path::Path;

use crate::Result;
use crate::run::{self, cargo};

pub(crate) fn run(root: &Path) -> Result {
    run::run(cargo(&["bench", "--workspace", "--bench", "*"]).current_dir(root))
}
