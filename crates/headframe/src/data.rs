//! The data directory, and where another one is chosen.

use std::path::Path;

use headframe_config::{Flag, Loaded, Origin, Sources, load};
use headframe_ledger::DataDir;

/// The configuration of the pool that a command is about, by its file, if it has one, the environment and the
/// command's flags.
pub(crate) fn configuration<'a>(
    file: Option<&Path>,
    flags: impl IntoIterator<Item = Flag<'a>>,
) -> anyhow::Result<Loaded> {
    Ok(load(&Sources {
        file,
        environment: environment(),
        flags: flags.into_iter().collect(),
    })?)
}

/// What names the data directory on a command line.
pub(crate) fn data_dir_flag(value: Option<&String>) -> Option<Flag<'static>> {
    value.map(|value| Flag {
        flag: "--data-dir",
        key: ("pool", "data_dir"),
        value: value.clone(),
    })
}

/// The environment, as far as it is text.
fn environment() -> Vec<(String, String)> {
    let variables = std::env::vars_os();
    let text = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.collect()
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
