//! `headframe keys`: the keys by which miners know the pool.

use headframe_config::{Flag, Loaded, Sources, load};
use headframe_server::{KeyError, KeyPlace, Keys};

use crate::pool::environment;
use crate::{cli, say};

pub(crate) fn run(command: cli::Keys) -> anyhow::Result<()> {
    let loaded = configuration(&command)?;
    let directory = &loaded.config.data_dir;
    let place = KeyPlace::new(directory, Keys::FILE_NAME);
    if !directory.is_dir() {
        return Err(no_keys(&place));
    }
    match command.action {
        cli::KeysAction::Show => show(&place),
        cli::KeysAction::Rotate => rotate(&place),
    }
}

/// The pool may run meanwhile, and most often does: this only reads.
fn show(place: &KeyPlace) -> anyhow::Result<()> {
    match place.look()? {
        Some(facts) => say(&facts.authority.to_string()),
        None => return Err(no_keys(place)),
    }
    Ok(())
}

/// A pool that runs takes it up by itself.
fn rotate(place: &KeyPlace) -> anyhow::Result<()> {
    let facts = place.rotate()?;
    say("the static key and its certificate are new; miners keep the authority key:");
    say(&facts.authority.to_string());
    Ok(())
}

fn no_keys(place: &KeyPlace) -> anyhow::Error {
    let path = place.path().to_owned();
    KeyError::NoKeys { path }.into()
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
