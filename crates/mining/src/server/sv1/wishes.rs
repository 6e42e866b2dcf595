//! What a client wants for itself, by `mining.configure` and by suggestions: version bits to roll, and
//! how hard its shares are.
//!
//! Not here: what a person asks for in a name or a password, which `asked.rs` reads and which goes
//! before any suggestion.

use std::time::Instant;

use headframe_channels::SV1_VERSION_MASK;
use headframe_sv1_wire::{Answer, Configure, Id, Reply, Terms, VersionRollingAnswer};
use headframe_work::{Difficulty, Rung, Target};

use super::{Sv1Session, WorkFlow, answer};

impl Sv1Session {
    pub(super) fn handle_configure(&mut self, now: Instant, id: Id<'_>, configure: &Configure<'_>) {
        let wanted = configure.minimum_difficulty.and_then(of_wire);
        let minimum = wanted.and_then(|wanted| self.minimum(wanted));
        let configured = configure.answer(Terms {
            version_mask: SV1_VERSION_MASK,
            keeps_minimum: minimum.is_some(),
            follows_suggestion: self.follows_suggestions(),
        });
        if let Some(VersionRollingAnswer::Granted { mask }) = configured.version_rolling {
            self.version_mask = mask;
            if let Some(seat) = &mut self.seat {
                seat.channel.set_version_mask(mask);
            }
        }
        self.replies
            .push(&answer(id, Answer::Configured(configured)));
        self.minimum = minimum.unwrap_or(self.minimum);
        self.keep_least(now);
        if let Some(difficulty) = configure.suggest_difficulty.and_then(of_wire) {
            self.suggest(now, difficulty);
        }
    }

    /// The rung for a minimum difficulty that a client asks for, if neither the operator's hardest
    /// rung nor the network's difficulty is below it.
    fn minimum(&self, wanted: Difficulty) -> Option<Rung> {
        let network = self.desk.work.prepared.target();
        let hardest = self.desk.rules.difficulty.max.no_harder_than(network);
        let rung = Rung::at_least(wanted);
        (rung <= hardest && rung.difficulty() >= wanted).then_some(rung)
    }

    /// What the client would begin with: what a person asked for is before what the device suggests.
    pub(super) fn wish(&self) -> Option<Rung> {
        self.asked.or(self.suggested)
    }

    /// Shares are no easier than the client would have them, or than suits the device.
    pub(super) fn least(&self) -> Rung {
        self.minimum.max(self.quirks.least(self.wish()))
    }

    pub(super) fn keep_least(&mut self, now: Instant) {
        let least = self.least();
        if let Some(seat) = &mut self.seat {
            seat.control.handle_least(now, least);
        }
    }

    pub(super) fn handle_suggestion(
        &mut self,
        now: Instant,
        id: Id<'_>,
        difficulty: Option<Difficulty>,
    ) {
        self.replies.push(&Reply::yes(id));
        if let Some(difficulty) = difficulty {
            self.suggest(now, difficulty);
        }
    }

    /// None counts beside what a person asked for, or where the listener decides.
    fn follows_suggestions(&self) -> bool {
        self.asked.is_none() && !self.desk.rules.ignores_suggestions
    }

    /// The same suggestion again is a keep-alive, and changes nothing.
    pub(super) fn suggest(&mut self, now: Instant, difficulty: Difficulty) {
        if !self.follows_suggestions() {
            return;
        }
        let rung = Rung::at_most(difficulty);
        if self.suggested.replace(rung) == Some(rung) {
            return;
        }
        self.keep_least(now);
        if let Some(seat) = &mut self.seat {
            seat.control.handle_suggestion(now, rung);
        }
        if let WorkFlow::HeldUntil(end) = &mut self.work {
            *end = now.min(*end);
        }
    }

    /// Begins with the difficulty that a person asks for. The first counts for all of the connection,
    /// and is not asked for anew by who is authorized again.
    pub(super) fn ask(&mut self, now: Instant, difficulty: Option<Difficulty>) {
        let Some(rung) = difficulty
            .map(Rung::at_most)
            .filter(|_| self.asked.is_none())
        else {
            return;
        };
        self.asked = Some(rung);
        self.keep_least(now);
        if let Some(seat) = &mut self.seat {
            seat.control.handle_suggestion(now, rung);
        }
    }
}

pub(super) fn of_wire(difficulty: headframe_sv1_wire::Difficulty) -> Option<Difficulty> {
    Difficulty::from_f64(difficulty.as_f64())
}

pub(super) fn of_target(target: [u8; 32]) -> Difficulty {
    Difficulty::of_target(Target::from_be_bytes(target))
}
