//! `headframe keys`: the keys by which miners know the pool.
//!
//! Results go to standard output, so that they can be written into a file; what to do with them goes to
//! standard error. No secret is printed.

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headframe_config::{Flag, KeysName, ListenerConfig, Loaded, PoolConfig, Sources, load};
use headframe_server::{Authority, KeyError, KeyFacts, KeyPlace, Utc};
use headframe_work::UnixTime;

use crate::pool::environment;
use crate::{cli, data, listeners, say};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn run(command: cli::Keys) -> anyhow::Result<()> {
    use cli::KeysAction as Action;
    // On a computer that may know nothing of a pool.
    match &command.action {
        Action::Authority { file } => return make_authority(file),
        Action::Sign {
            request,
            authority,
            days,
        } => return sign(request, authority, *days),
        _ => {}
    }
    let loaded = configuration(&command)?;
    let name = command.keys.unwrap_or(KeysName::OWN);
    let directory = &loaded.config.data_dir;
    let place = KeyPlace::new(directory, &name.file_name());
    match (command.action, directory.is_dir()) {
        (Action::Request { new }, is_there) => {
            if !is_there {
                // The pool has never run: its directory is made as the pool would.
                drop(data::open(&loaded)?);
            }
            request(&place, &name, new)
        }
        (_, false) => Err(no_keys(&place)),
        (Action::Show { key }, true) => show(&place, &loaded.config, &name, key),
        (Action::Rotate, true) => rotate(&place),
        (Action::Install { certificate }, true) => install(&place, &certificate),
        (Action::Detach { file }, true) => detach(&place, &file),
        (Action::Authority { .. } | Action::Sign { .. }, true) => Ok(()),
    }
}

/// The pool may run meanwhile, and most often does: this only reads. What the file has is what the
/// pool uses; it looks at the file every few seconds.
fn show(place: &KeyPlace, config: &PoolConfig, name: &KeysName, key: bool) -> anyhow::Result<()> {
    let (facts, waiting) = (place.look()?, place.waiting()?);
    let Some(facts) = facts else {
        return Err(match waiting {
            Some((_, path)) => KeyError::Waiting { path }.into(),
            None => no_keys(place),
        });
    };
    let authority = facts.authority.to_string();
    if key {
        say(&authority);
        return Ok(());
    }
    line("authority", &authority);
    line(
        "its secret",
        match facts.can_sign {
            true => "here; the pool renews its certificate by itself",
            false => "not here; certificates come from where it is",
        },
    );
    line("static key", hex(&facts.static_key));
    line(
        "certificate",
        format_args!("{}, {}", window(&facts), left(&facts)),
    );
    if let Some((waiting, path)) = waiting {
        let waiting = hex(&waiting);
        line(
            "waiting",
            format_args!("{waiting}, for its certificate ({})", path.display()),
        );
    }
    line("file", place.path().display());
    let uses = |it: &&ListenerConfig| it.keys == *name && it.protocols.sv2;
    for listener in config.listeners.iter().filter(uses) {
        line(
            "miners",
            listeners::url(config, listener.address, &authority),
        );
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

fn request(place: &KeyPlace, name: &KeysName, new: bool) -> anyhow::Result<()> {
    let request = place.request(new)?;
    say(request.to_string().trim_end());
    advise(
        "sign it where the authority's secret is, with headframe keys sign, and install the \
         certificate here, with",
        format_args!("headframe keys install CERTIFICATE{name}"),
    );
    Ok(())
}

fn sign(request: &Path, authority: &Path, days: u16) -> anyhow::Result<()> {
    let signed = Authority::open(authority)?.sign(request, u32::from(days) * DAY)?;
    say(signed.to_string().trim_end());
    let ends = UnixTime::from_secs(signed.certificate().not_valid_after());
    advise(
        "install it at the pool, with headframe keys install; it holds until",
        Utc(ends),
    );
    Ok(())
}

fn install(place: &KeyPlace, certificate: &Path) -> anyhow::Result<()> {
    let facts = place.install(certificate)?;
    say(&format!(
        "the certificate is installed, valid {}",
        window(&facts)
    ));
    say(
        "a pool that runs takes it up within seconds; miners are configured with the authority key:",
    );
    say(&facts.authority.to_string());
    Ok(())
}

fn make_authority(file: &Path) -> anyhow::Result<()> {
    let authority = Authority::create(file)?;
    advise(
        "keep this file safe, and a copy of it; it has the authority's secret:",
        file.display(),
    );
    let key = authority.public();
    let url = format_args!("stratum2+tcp://HOST:PORT/{key}");
    advise("miners are configured with the authority key, or with", url);
    say(&key.to_string());
    Ok(())
}

fn detach(place: &KeyPlace, file: &Path) -> anyhow::Result<()> {
    let facts = place.detach(file)?;
    advise(
        "carry this file to where it is safe, and remove it here:",
        file.display(),
    );
    advise(
        "certificates come from there now; the present one is valid",
        window(&facts),
    );
    advise("miners keep the authority key:", "");
    say(&facts.authority.to_string());
    Ok(())
}

fn line(name: &str, value: impl Display) {
    say(&format!("{name:12} {value}"));
}

fn advise(text: &str, value: impl Display) {
    eprintln!("{}", format!("{text} {value}").trim_end());
}

fn window(facts: &KeyFacts) -> String {
    let times = [
        facts.certificate.valid_from(),
        facts.certificate.not_valid_after(),
    ];
    let [begins, ends] = times.map(|time| Utc(UnixTime::from_secs(time)));
    format!("from {begins} until {ends}")
}

/// How long the certificate still holds.
fn left(facts: &KeyFacts) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    let ends = u64::from(facts.certificate.not_valid_after());
    match ends.checked_sub(now) {
        None => "which is over: Stratum V2 miners turn away".to_owned(),
        Some(left) if left < DAY.as_secs() => format!("{} h left", left / 3_600),
        Some(left) => format!("{} days left", left / DAY.as_secs()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
