//! Where values come from: the file, the environment, the command line; the later one wins.

use core::fmt;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use toml::de::{DeArray, DeTable, DeValue};

use crate::error::{ConfigError, ConfigErrors, Origin};
use crate::field::{Field, Raw};
use crate::keys::{self, BACKUP_NODE, ENV_PREFIX, KEYS, LISTENER};
use crate::{PoolConfig, read, suggest};

/// The largest file that is read; the sample has two thousand bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Where to read a configuration from.
#[derive(Debug, Clone, Default)]
pub struct Sources<'a> {
    /// The file, if there is one.
    pub file: Option<&'a Path>,
    /// The environment. Its `HOME` stands for `~` in paths.
    pub environment: Vec<(String, String)>,
    /// What the command line sets.
    pub flags: Vec<Flag<'a>>,
}

/// A flag of the command line that sets a key.
#[derive(Debug, Clone)]
pub struct Flag<'a> {
    /// The flag as the user writes it, such as `--listen`.
    pub flag: &'a str,
    /// The key's section and name.
    pub key: (&'a str, &'a str),
    /// The value as text, as in the environment.
    pub value: String,
}

/// A valid configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: PoolConfig,
    /// Which keys were set, in the order of the table, and by what; those of tables of which there may be several
    /// come last, table by table.
    pub set: Vec<(String, Origin)>,
    /// What the operator should know.
    pub notices: Vec<Notice>,
}

/// Something that is not wrong, and yet perhaps not what was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// An environment variable that looks like one of ours and is none. Not an error: container
    /// platforms invent variables with the program's name.
    UnknownVariable {
        /// The variable.
        name: String,
        /// The one that may have been meant.
        meant: String,
    },
    /// What came later than the file says where to listen.
    ListenersReplaced {
        /// The flag or the variable.
        by: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownVariable { name, meant } => {
                write!(f, "{name} sets nothing; did you mean {meant}?")
            }
            Self::ListenersReplaced { by } => {
                write!(f, "{by} says where to listen, in place of all of the file")
            }
        }
    }
}

/// Reads and validates a configuration.
///
/// # Errors
///
/// All mistakes at once, all of them the operator's.
pub fn load(sources: &Sources<'_>) -> Result<Loaded, ConfigErrors> {
    let mut fields = Fields::default();
    if let Some(path) = sources.file {
        match read_file(path) {
            Ok(text) => fields.take_toml(path, &text),
            Err(source) => fields.errors.push(ConfigError::Unreadable {
                path: path.into(),
                source,
            }),
        }
    }
    fields.take_environment(&sources.environment);
    fields.take_flags(&sources.flags);
    let home = sources
        .environment
        .iter()
        .find(|(name, value)| name == "HOME" && !value.is_empty())
        .map(|(_, home)| PathBuf::from(home));
    let set = fields.set();
    let notices = core::mem::take(&mut fields.notices);
    read::config(fields, home.as_deref()).map(|config| Loaded {
        config,
        set,
        notices,
    })
}

/// What was set, by section and name, and what was wrong with the setting of it.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    fields: HashMap<(&'static str, &'static str), Field>,
    /// The `[[listener]]`s of the file, unless something later says where to listen.
    pub(crate) listeners: Vec<TableFields>,
    /// The `[[backup_node]]`s of the file.
    pub(crate) backup_nodes: Vec<TableFields>,
    pub(crate) errors: Vec<ConfigError>,
    notices: Vec<Notice>,
}

/// What was set in one of several tables of the same name.
#[derive(Debug)]
pub(crate) struct TableFields {
    section: &'static str,
    fields: HashMap<&'static str, Field>,
    /// Where it begins.
    origin: Origin,
}

impl TableFields {
    /// The value of a key of this table; `None`: not set.
    pub(crate) fn field(&self, name: &'static str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// The error that a key has to be there.
    pub(crate) fn lacks(&self, name: &'static str, expected: &str) -> ConfigError {
        let key = keys::find(self.section, name).expect("a key of the table");
        ConfigError::BadValue {
            origin: self.origin.clone(),
            key: key.path(),
            value: key.default.to_owned(),
            expected: expected.to_owned(),
        }
    }
}

impl Fields {
    /// The value of a key: what was set, else its default.
    pub(crate) fn field(&self, section: &'static str, name: &'static str) -> Field {
        match self.fields.get(&(section, name)) {
            Some(field) => field.clone(),
            None => Field::default_of(section, name),
        }
    }

    fn set(&self) -> Vec<(String, Origin)> {
        let single = KEYS
            .iter()
            .filter_map(|key| self.fields.get(&(key.section, key.name)));
        let tables = self.backup_nodes.iter().chain(&self.listeners);
        let several = tables.flat_map(|table| {
            let keys = keys::all().filter(move |key| key.section == table.section);
            keys.filter_map(move |key| table.fields.get(key.name))
        });
        let all = single.chain(several);
        all.map(|field| (field.key.path(), field.origin.clone()))
            .collect()
    }

    fn take_toml(&mut self, file: &Path, text: &str) {
        let origin = |offset: usize| Origin::Line {
            file: file.into(),
            line: 1 + text
                .bytes()
                .take(offset)
                .filter(|byte| *byte == b'\n')
                .count(),
        };
        let (document, errors) = DeTable::parse_recoverable(text);
        if let Some(error) = errors.first() {
            // Only the first: what follows a slip is often its echo.
            self.errors.push(ConfigError::Syntax {
                origin: origin(error.span().map_or(0, |span| span.start)),
                detail: error.message().to_owned(),
            });
            return;
        }
        for (section, value) in document.get_ref() {
            let place = origin(section.span().start);
            let section = section.get_ref().as_ref();
            match value.get_ref() {
                DeValue::Table(table) if KEYS.iter().any(|key| key.section == section) => {
                    let fields = self.take_table(section, table, &origin);
                    let fields = fields.into_iter();
                    self.fields
                        .extend(fields.map(|field| ((field.key.section, field.key.name), field)));
                }
                DeValue::Array(tables) if section == LISTENER => {
                    self.listeners = self.take_tables(LISTENER, tables, &origin);
                }
                DeValue::Array(tables) if section == BACKUP_NODE => {
                    self.backup_nodes = self.take_tables(BACKUP_NODE, tables, &origin);
                }
                _ => self.errors.push(ConfigError::UnknownKey {
                    origin: place,
                    key: section.to_owned(),
                    hint: suggest::section_hint(section),
                }),
            }
        }
    }

    fn take_tables(
        &mut self,
        section: &'static str,
        tables: &DeArray<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) -> Vec<TableFields> {
        let mut taken = Vec::new();
        for table in tables {
            let place = origin(table.span().start);
            match table.get_ref() {
                DeValue::Table(table) => {
                    let fields = self.take_table(section, table, origin);
                    let fields = fields.into_iter().map(|field| (field.key.name, field));
                    taken.push(TableFields {
                        section,
                        fields: fields.collect(),
                        origin: place,
                    });
                }
                _ => self.errors.push(ConfigError::UnknownKey {
                    origin: place,
                    key: section.to_owned(),
                    hint: suggest::section_hint(section),
                }),
            }
        }
        taken
    }

    /// The keys of a table that there are.
    fn take_table(
        &mut self,
        section: &str,
        table: &DeTable<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) -> Vec<Field> {
        let mut fields = Vec::new();
        for (name, value) in table {
            let origin = origin(name.span().start);
            let name = name.get_ref().as_ref();
            match keys::find(section, name) {
                Some(key) => {
                    let raw = Raw::from_toml(value.get_ref());
                    fields.push(Field { key, origin, raw });
                }
                None => self.errors.push(ConfigError::UnknownKey {
                    origin,
                    key: format!("{section}.{name}"),
                    hint: suggest::hint(section, name),
                }),
            }
        }
        fields
    }

    fn take_environment(&mut self, environment: &[(String, String)]) {
        for (name, value) in environment {
            if !name.starts_with(ENV_PREFIX) {
                continue;
            }
            match KEYS.iter().find(|key| key.variable() == *name) {
                Some(key) => {
                    let raw = Raw::from_text(key.kind, value);
                    self.insert(key.section, key.name, Origin::Variable(name.clone()), raw);
                }
                None => self.notices.extend(suggest::variable(name).map(|meant| {
                    Notice::UnknownVariable {
                        name: name.clone(),
                        meant,
                    }
                })),
            }
        }
    }

    fn take_flags(&mut self, flags: &[Flag<'_>]) {
        for Flag {
            flag,
            key: (section, name),
            value,
        } in flags
        {
            let origin = Origin::Flag((*flag).to_owned());
            match keys::find(section, name) {
                Some(key) => {
                    let raw = Raw::from_text(key.kind, value);
                    self.insert(section, name, origin, raw);
                }
                None => self.errors.push(ConfigError::UnknownKey {
                    origin,
                    key: format!("{section}.{name}"),
                    hint: suggest::hint(section, name),
                }),
            }
        }
    }

    /// Takes a value that comes after the file.
    fn insert(&mut self, section: &str, name: &str, origin: Origin, raw: Raw) {
        if (section, name) == ("pool", "listen") && !self.listeners.is_empty() {
            self.listeners.clear();
            self.notices.push(Notice::ListenersReplaced {
                by: origin.to_string(),
            });
        }
        if let Some(key) =
            keys::find(section, name).filter(|key| ![LISTENER, BACKUP_NODE].contains(&key.section))
        {
            let field = Field { key, origin, raw };
            self.fields.insert((key.section, key.name), field);
        }
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?
        .take(MAX_FILE + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_FILE {
        return Err(io::Error::other("larger than a configuration can be"));
    }
    Ok(text)
}
