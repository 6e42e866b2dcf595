//! `headframe keys`: the keys by which miners know the pool.

use std::path::Path;

use headframe_config::{Flag, Loaded, Sources, load};
use headframe_server::Keys;

use crate::pool::environment;
use crate::{cli, data, say};

pub(crate) fn run(command: cli::Keys) -> anyhow::Result<()> {
    let loaded = configuration(&command)?;
    match command.action {
        cli::KeysAction::Show => show(&loaded.config.data_dir),
        cli::KeysAction::Rotate => rotate(&loaded),
    }
}

/// The pool may run meanwhile, and most often does: this only reads.
fn show(directory: &Path) -> anyhow::Result<()> {
    if !directory.join(Keys::FILE_NAME).exists() {
        anyhow::bail!(
            "there are no keys in {} yet; the pool makes them when it is started, or choose another \
             place with --data-dir",
            directory.display()
        );
    }
    say(&Keys::authority_in(directory)?.to_string());
    Ok(())
}

fn rotate(loaded: &Loaded) -> anyhow::Result<()> {
    // Held while the keys are changed; a pool that runs has it.
    let data = data::open(loaded)?;
    let mut keys = Keys::open(data.path())?;
    keys.rotate()?;
    say("the static key and its certificate are new; miners keep the authority key:");
    say(&keys.authority().to_string());
    Ok(())
}

/// The configuration of the pool whose keys are meant.
fn configuration(command: &cli::Keys) -> anyhow::Result<Loaded> {
    let flag = |value: &String| Flag {
        flag: "--data-dir",
        key: ("pool", "data_dir"),
        value: value.clone(),
    };
    Ok(load(&Sources {
        file: command.config.as_deref(),
        environment: environment(),
        flags: command.data_dir.iter().map(flag).collect(),
    })?)
}
