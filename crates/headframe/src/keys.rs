//! `headframe keys`: the keys by which miners know the pool.

use std::path::PathBuf;

use headframe_config::{Flag, Sources, load};
use headframe_ledger::DataDir;
use headframe_server::Keys;

use crate::cli;
use crate::pool::environment;

pub(crate) fn run(command: cli::Keys) -> anyhow::Result<()> {
    let directory = data_directory(&command)?;
    if matches!(command.action, cli::KeysAction::Show) && !directory.join(Keys::FILE_NAME).exists()
    {
        anyhow::bail!(
            "there are no keys in {} yet; the pool makes them when it is started, or choose another \
             place with --data-dir",
            directory.display()
        );
    }
    // Held while the keys are in use here; a pool that runs has it.
    let data = DataDir::open(&directory)?;
    let mut keys = Keys::open(data.path())?;
    if matches!(command.action, cli::KeysAction::Rotate) {
        keys.rotate()?;
        println!("the static key and its certificate are new; miners keep the authority key:");
    }
    println!("{}", keys.authority());
    Ok(())
}

/// Where the pool of the same configuration has its keys.
fn data_directory(command: &cli::Keys) -> anyhow::Result<PathBuf> {
    let flag = |value: &String| Flag {
        flag: "--data-dir",
        key: ("pool", "data_dir"),
        value: value.clone(),
    };
    let loaded = load(&Sources {
        file: command.config.as_deref(),
        environment: environment(),
        flags: command.data_dir.iter().map(flag).collect(),
    })?;
    Ok(loaded.config.data_dir)
}
