//! A connection's side of a trace: what is said there is copied while somebody listens.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use headframe_mining::server::Protocol;

use super::{Probe, Speaker, Tracer};

/// What a client says before its first worker is known is kept while a trace runs: it may be the one that is
/// traced, and how it introduced itself is what a bug report needs.
pub(super) const MAX_SETUP: usize = 64;
/// Bytes of that.
const MAX_SETUP_BYTES: usize = 32 * 1024;

/// On one connection.
#[derive(Debug)]
pub(crate) struct Tap {
    tracer: Arc<Tracer>,
    connection: u64,
    protocol: Protocol,
    /// The generation of the traces that were looked at last.
    seen: u64,
    /// `None` while nothing is traced.
    open: Option<Box<Open>>,
}

/// While traces run.
#[derive(Debug)]
struct Open {
    running: Vec<Arc<Probe>>,
    /// Those whose worker is on this connection.
    listening: Vec<Arc<Probe>>,
    /// How the connection began, if it began while a trace ran.
    setup: Option<Setup>,
}

#[derive(Debug, Default)]
struct Setup {
    said: Vec<(Instant, Speaker, Box<[u8]>)>,
    bytes: usize,
    /// Messages for which there was no room.
    left_out: u64,
}

impl Tap {
    /// On a connection that begins.
    pub(crate) fn new(tracer: Arc<Tracer>, connection: u64, protocol: Protocol) -> Self {
        let mut tap = Self {
            tracer,
            connection,
            protocol,
            seen: 0,
            open: None,
        };
        tap.look(Vec::new);
        if let Some(open) = &mut tap.open {
            open.setup = Some(Setup::default());
        }
        tap
    }

    /// Whether traces have begun or ended since the last look.
    pub(crate) fn is_outdated(&self) -> bool {
        self.tracer.generation.load(Ordering::Relaxed) != self.seen
    }

    /// Looks at which traces run. `users` are the workers of this connection.
    pub(crate) fn look<'a>(&mut self, users: impl FnOnce() -> Vec<&'a str>) {
        let (seen, running) = self.tracer.running();
        self.seen = seen;
        let before = self.open.take().map(|open| *open);
        if running.is_empty() {
            return;
        }
        let users = users();
        let (mut listening, setup) = match before {
            Some(open) => (open.listening, open.setup),
            None => (Vec::new(), None),
        };
        listening.retain(|probe| is_among(probe, &running));
        self.open = Some(Box::new(Open {
            running,
            listening,
            // A trace that has just begun wants nothing of what was before.
            setup: setup.filter(|_| users.is_empty()),
        }));
        users.into_iter().for_each(|user| self.handle_user(user));
    }

    /// A worker with this user name is on the connection, or was refused there.
    pub(crate) fn handle_user(&mut self, user: &str) {
        let (connection, protocol) = (self.connection, self.protocol);
        let Some(open) = &mut self.open else { return };
        for probe in &open.running {
            if probe.user == user && !is_among(probe, &open.listening) {
                if let Some(setup) = &open.setup {
                    setup.tell(probe, (connection, protocol));
                }
                open.listening.push(Arc::clone(probe));
            }
        }
    }

    /// Something is said: a frame with its header, or lines.
    pub(crate) fn note(&mut self, from: Speaker, said: &[u8]) {
        let Some(open) = &mut self.open else { return };
        let at = Instant::now();
        for probe in &open.listening {
            probe.say((self.connection, self.protocol), at, from, said);
        }
        if let Some(setup) = &mut open.setup {
            setup.keep(at, from, said);
        }
    }

    /// The connection is over.
    pub(crate) fn end(&mut self, by: Speaker) {
        let open = self.open.take();
        for probe in open.iter().flat_map(|open| &open.listening) {
            probe.end((self.connection, self.protocol), Instant::now(), by);
        }
    }
}

impl Setup {
    fn keep(&mut self, at: Instant, from: Speaker, said: &[u8]) {
        let has_room = self.said.len() < MAX_SETUP && self.bytes + said.len() <= MAX_SETUP_BYTES;
        // What comes after a gap would look like what comes next.
        if !has_room || self.left_out > 0 {
            self.left_out += 1;
            return;
        }
        self.bytes += said.len();
        self.said.push((at, from, said.into()));
    }

    fn tell(&self, probe: &Probe, connection: (u64, Protocol)) {
        for (at, from, said) in &self.said {
            probe.say(connection, *at, *from, said);
        }
        probe.leave_out(self.left_out);
    }
}

fn is_among(probe: &Arc<Probe>, probes: &[Arc<Probe>]) -> bool {
    probes.iter().any(|other| Arc::ptr_eq(probe, other))
}
