//! The data directory, and where another one is chosen.

use std::path::Path;

use headframe_config::{Loaded, Origin};
use headframe_ledger::DataDir;

/// Opens the data directory of a configuration.
pub(crate) fn open(loaded: &Loaded) -> anyhow::Result<DataDir> {
    let mut set = loaded.set.iter();
    let origin = set.find(|(key, _)| key == "pool.data_dir");
    open_from(&loaded.config.data_dir, origin.map(|(_, origin)| origin))
}

/// Opens a data directory that was named there; `None` for the command line's flag.
pub(crate) fn open_from(path: &Path, named: Option<&Origin>) -> anyhow::Result<DataDir> {
    DataDir::open(path).map_err(|error| match named {
        None | Some(Origin::Default | Origin::Flag(_)) => {
            anyhow::anyhow!("{error} with --data-dir")
        }
        Some(Origin::Variable(name)) => anyhow::anyhow!("{error} with {name}"),
        Some(line @ Origin::Line { .. }) => anyhow::anyhow!("{error} in {line}"),
    })
}
