//! The data directory, and where another one is chosen.

use std::path::Path;

use headframe_config::{Flag, Loaded, Origin, Sources, load};
use headframe_ledger::DataDir;

use crate::pool::environment;

/// The configuration of the pool that a command is about: its file, if it has one, and its data directory, if
/// that is named.
pub(crate) fn configuration(
    file: Option<&Path>,
    data_dir: Option<&String>,
) -> anyhow::Result<Loaded> {
    let flag = |value: &String| Flag {
        flag: "--data-dir",
        key: ("pool", "data_dir"),
        value: value.clone(),
    };
    Ok(load(&Sources {
        file,
        environment: environment(),
        flags: data_dir.into_iter().map(flag).collect(),
    })?)
}

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
