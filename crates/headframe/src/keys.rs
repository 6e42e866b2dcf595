//! `headframe keys`: the keys by which miners know the pool.
//!
//! Results go to standard output, so that they can be written into a file; what to do with them goes to
//! standard error. No secret is printed.

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headframe_config::{KeysName, ListenerConfig, Loaded};
use headframe_server::{Authority, KeyError, KeyFacts, KeyPlace, Utc};
use headframe_work::UnixTime;

use crate::{cli, data, listeners, say};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn run(command: cli::Keys) -> anyhow::Result<()> {
    use cli::KeysAction as Action;
    match &command.action {
        // On a computer that may know nothing of a pool.
        Action::Authority { file } => make_authority(file),
        Action::Sign {
            request,
            authority,
            days,
        } => sign(request, authority, *days),
        Action::Request { new } => AtPool::new(&command)?.request(*new),
        Action::Show { key } => AtPool::with_directory(&command)?.show(*key),
        Action::Rotate => AtPool::with_directory(&command)?.rotate(),
        Action::Install { certificate } => AtPool::with_directory(&command)?.install(certificate),
        Action::Detach { file } => AtPool::with_directory(&command)?.detach(file),
    }
}

/// A set of keys where a pool has them. The pool may run meanwhile, and most often does.
struct AtPool {
    loaded: Loaded,
    name: KeysName,
    place: KeyPlace,
}

impl AtPool {
    fn new(command: &cli::Keys) -> anyhow::Result<Self> {
        let loaded = data::configuration(
            command.config.as_deref(),
            data::data_dir_flag(command.data_dir.as_ref()),
        )?;
        let name = command.keys.clone().unwrap_or(KeysName::OWN);
        let place = KeyPlace::new(&loaded.config.data_dir, &name.file_name());
        Ok(Self {
            loaded,
            name,
            place,
        })
    }

    fn with_directory(command: &cli::Keys) -> anyhow::Result<Self> {
        let pool = Self::new(command)?;
        match pool.loaded.config.data_dir.is_dir() {
            true => Ok(pool),
            false => Err(pool.no_keys()),
        }
    }

    /// What the file has is what a pool uses; it looks at the file every few seconds.
    fn show(&self, key: bool) -> anyhow::Result<()> {
        let (facts, waiting) = (self.place.look()?, self.place.waiting()?);
        let Some(facts) = facts else {
            return Err(match waiting {
                Some((_, path)) => KeyError::Waiting { path }.into(),
                None => self.no_keys(),
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
        let (window, left) = (window(&facts), left(&facts));
        line("certificate", format_args!("{window}, {left}"));
        if let Some((waiting, path)) = waiting {
            let (waiting, path) = (hex(&waiting), path.display());
            line(
                "waiting",
                format_args!("{waiting}, for its certificate ({path})"),
            );
        }
        line("file", self.place.path().display());
        let config = &self.loaded.config;
        // What a pool was started with need not be what this command was.
        let is_told = |(key, _): &(String, _)| key == "pool.listen" || key == "listener.address";
        let doubt = match self.loaded.set.iter().any(is_told) {
            true => "",
            false => ", unless the pool listens elsewhere (show its port with -c FILE)",
        };
        let uses = |it: &&ListenerConfig| it.keys == self.name && it.protocols.sv2;
        for listener in config.listeners.iter().filter(uses) {
            line(
                "miners",
                listeners::url(config, listener.address, &authority) + doubt,
            );
        }
        Ok(())
    }

    fn rotate(&self) -> anyhow::Result<()> {
        let facts = self.place.rotate()?;
        say("the static key and its certificate are new; miners keep the authority key:");
        say(&facts.authority.to_string());
        Ok(())
    }

    fn request(&self, new: bool) -> anyhow::Result<()> {
        if !self.loaded.config.data_dir.is_dir() {
            // The pool has never run: its directory is made as the pool would.
            drop(data::open(&self.loaded)?);
        }
        let request = self.place.request(new)?;
        say(request.to_string().trim_end());
        advise(
            "sign it where the authority's secret is, with headframe keys sign, and install the \
             certificate here, with",
            format_args!("headframe keys install CERTIFICATE{}", self.name),
        );
        Ok(())
    }

    fn install(&self, certificate: &Path) -> anyhow::Result<()> {
        let facts = self.place.install(certificate)?;
        let window = window(&facts);
        say(&format!("the certificate is installed, valid {window}"));
        say(
            "a pool that runs takes it up within seconds; miners are configured with the authority \
             key:",
        );
        say(&facts.authority.to_string());
        Ok(())
    }

    fn detach(&self, file: &Path) -> anyhow::Result<()> {
        let facts = self.place.detach(file)?;
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

    fn no_keys(&self) -> anyhow::Error {
        let path = self.place.path().to_owned();
        KeyError::NoKeys { path }.into()
    }
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
