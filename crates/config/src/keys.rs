//! The table of all keys, and the sample made of it.

use core::fmt::Write as _;

/// A key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Its table in the file.
    pub section: &'static str,
    /// Its name in that table.
    pub name: &'static str,
    /// What form its value has.
    pub kind: Kind,
    /// Its default, as TOML.
    pub default: &'static str,
    /// What it does, in a few words, and what values there are.
    pub about: &'static str,
}

/// The form of a value, in the file and as text in the environment and on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text. Empty: not set.
    Text,
    /// A text that is never shown.
    Secret,
    /// A number, whole or with decimals.
    Number,
    /// `true` or `false`.
    Switch,
    /// A list of texts; in the environment, with commas between.
    List,
}

impl Key {
    /// The name by which messages call it: `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// How its table is written in the file: `[section]`, or `[[section]]` where there may be several.
    pub(crate) fn table(&self) -> String {
        match self.section {
            LISTENER | BACKUP_NODE => format!("[[{}]]", self.section),
            section => format!("[{section}]"),
        }
    }

    /// The environment variable that sets it: `HEADFRAME_SECTION_NAME`.
    pub fn variable(&self) -> String {
        format!("{ENV_PREFIX}{}_{}", self.section, self.name).to_uppercase()
    }
}

/// What the names of all our environment variables begin with.
pub(crate) const ENV_PREFIX: &str = "HEADFRAME_";

macro_rules! keys {
    ($(#[$about_table:meta])* $table:ident: $($section:ident { $($name:ident: $kind:ident = $default:literal, $about:literal;)* })*) => {
        $(#[$about_table])*
        pub const $table: &[Key] = &[$($(Key {
            section: stringify!($section),
            name: stringify!($name),
            kind: Kind::$kind,
            default: $default,
            about: $about,
        },)*)*];
    };
}

keys! {
    /// All keys that there is one of, in the order of the sample.
    KEYS:
    pool {
        data_dir: Text = r#""~/.headframe""#, "keys, ledger, found blocks";
        listen: List = r#"["0.0.0.0:3333"]"#, "miners, SV1 (also in TLS) and SV2; add \"[::]:3333\" for IPv6";
        plaintext_sv2: Switch = "false", "SV2 without Noise; needs private addresses in listen";
        public_host: Text = r#""""#, "what miners are told to dial; empty: as in the browser";
        max_connections: Number = "10000", "miners beyond it are turned away";
        unlimited_from: List = r#"["private"]"#, "addresses that no limits apply to";
        proxy_protocol_from: List = "[]", "proxies; each connection of theirs needs a PROXY header";
        empty_block_seconds: Number = "30", "on a new tip without a template, at most; 0: never";
        version_bits: List = "[]", "\"+4\" sets bit 4 of the version, \"-4\" clears it; empty: the node's";
        move_to: Text = r#""""#, "host:port; SV2 miners that bear it are sent there at the end";
        tag: Text = r#""headframe""#, "in the coinbase, at most 32 printable ASCII characters";
    }
    node {
        network: Text = r#""""#, "mainnet, testnet4, signet or regtest; empty: as the node says";
        url: Text = r#""""#, "host:port of its RPC; empty: this machine, the usual port";
        cookie_file: Text = r#""""#, "empty: looked for in Bitcoin Core's data directories";
        user: Text = r#""""#, "RPC user, instead of the cookie";
        password: Secret = r#""""#, "or in HEADFRAME_NODE_PASSWORD";
        ipc: Text = r#""""#, "socket of bitcoin-node's mining interface, or \"auto\"";
        template_provider: Text = r#""""#, "host:port/KEY of a Template Provider";
        zmq: List = "[]", "tcp://host:port of its zmqpubrawblock, for new blocks at once";
        hold_seconds: Number = "300", "that miners are kept while it cannot be used; 0: for ever";
    }
    payout {
        fee_percent: Number = "0", "of each block, to fee_address; steps of 0.01";
        fee_address: Text = r#""""#, "";
        fee_split_percent: Number = "0", "of the fee, to fee_split_address";
        fee_split_address: Text = r#""""#, "";
        plain_name_address: Text = r#""""#, "paid for user names that are no address; empty: refused";
    }
    difficulty {
        shares_per_minute: Number = "12", "aimed at, per miner; 1 to 120";
        start: Number = "1024", "a power of two, as min and max";
        min: Number = "0", "0: as easy as the miner wants";
        max: Number = "0", "0: no limit";
    }
    sv2 {
        fixed_version: Switch = "false", "forbids version rolling; SRI's translator leaves such a pool";
        extended_channels_only: Switch = "false", "refuses standard channels";
        require_worker_names: Switch = "false", "serves only who names each share's worker";
    }
    http {
        listen: Text = r#""127.0.0.1:8080""#, "dashboard, API and metrics; empty: none";
        allowed_hosts: List = "[]", "names of it behind a reverse proxy";
    }
    log {
        level: Text = r#""info""#, "error, warn, info, debug or trace";
    }
}

keys! {
    /// The keys of a `[[backup_node]]`, of which there may be several, in order of preference after
    /// `[node]`. They have no environment variables, and each means what it means in `[node]`.
    BACKUP_NODE_KEYS:
    backup_node {
        url: Text = r#""""#, "host:port of its RPC; empty: this machine, the usual port";
        cookie_file: Text = r#""""#, "empty: looked for in Bitcoin Core's data directories";
        user: Text = r#""""#, "RPC user, instead of the cookie";
        password: Secret = r#""""#, "its password";
        ipc: Text = r#""""#, "socket of bitcoin-node's mining interface, or \"auto\"";
        template_provider: Text = r#""""#, "host:port/KEY of a Template Provider";
        zmq: List = "[]", "tcp://host:port of its zmqpubrawblock, for new blocks at once";
    }
}

keys! {
    /// The keys of a `[[listener]]`, of which there may be several. They have no environment variables.
    /// What one lacks is as for the pool; the default that stands here is that of a pool without
    /// configuration.
    LISTENER_KEYS:
    listener {
        address: Text = r#""""#, "where it listens, IP:port";
        protocols: List = r#"["sv1", "sv1_tls", "sv2"]"#, "of sv1, sv1_tls, sv2 and sv2_plain";
        keys: Text = r#""""#, "the keys of another authority; empty: the pool's own";
        tls_certificate: Text = r#""""#, "PEM; empty: made at the first start";
        tls_key: Text = r#""""#, "its key, PEM";
        password: Secret = r#""""#, "what SV1 miners have to say; empty: anything";
        proxy_protocol_from: List = "[]", "proxies; each connection of theirs needs a PROXY header";
        shares_per_minute: Number = "12", "aimed at, per miner; 1 to 120";
        difficulty_start: Number = "1024", "a power of two, as min and max";
        difficulty_min: Number = "0", "0: as easy as the miner wants";
        difficulty_max: Number = "0", "0: no limit";
        ignore_suggestions: Switch = "false", "passes over the difficulties that SV1 devices suggest";
    }
}

/// The sections of what there may be several of.
pub(crate) const LISTENER: &str = "listener";
pub(crate) const BACKUP_NODE: &str = "backup_node";

/// The entry for a section and a name.
pub(crate) fn find(section: &str, name: &str) -> Option<&'static Key> {
    all().find(|key| key.section == section && key.name == name)
}

/// The keys of all tables.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(BACKUP_NODE_KEYS).chain(LISTENER_KEYS)
}

const TAKES_ALL: &str = "a String takes all that is written to it";

/// A file with every key at its default, commented out: it fits on a screen.
pub fn sample() -> String {
    let mut text = String::from("# Every key with its default. The pool needs none of them.\n");
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            line(&mut text, &format!("[{section}]"), "");
        }
        let assignment = format!("#{} = {}", key.name, key.default);
        line(&mut text, &assignment, key.about);
    }
    let names = |keys: &[Key]| {
        let names: Vec<_> = keys.iter().map(|key| key.name).collect();
        names.join(", ")
    };
    let backup =
        "## [[backup_node]], any number of them, the preferred first: nodes for when [node] fails:";
    writeln!(text, "{backup}\n## {}", names(BACKUP_NODE_KEYS)).expect(TAKES_ALL);
    let mut keys = LISTENER_KEYS.iter();
    let difficulty = keys.position(|key| key.name == "shares_per_minute");
    let (first, rest) = LISTENER_KEYS.split_at(difficulty.expect("it is in the table"));
    let (first, rest) = (names(first), names(rest));
    let listener =
        "## [[listener]], any number of them: one more place to listen, with settings of its own:";
    writeln!(text, "{listener}\n## {first},\n## {rest}").expect(TAKES_ALL);
    text
}

fn line(text: &mut String, left: &str, about: &str) {
    let written = if about.is_empty() {
        writeln!(text, "{left}")
    } else {
        writeln!(text, "{left:32} # {about}")
    };
    written.expect(TAKES_ALL);
}
