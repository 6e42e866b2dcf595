//! The list of what is judged otherwise here than in `channels_sv2` 8.0.0. `docs/channels-sv2.md` has
//! the same list.

/// Each has a test that fails when it is no longer so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Known {
    LateBlock,
    UnruledBlock,
    BlockAgain,
    BlockBelowTarget,
    LengthFirst,
    TimeAhead,
    JobsKept,
    SharesKept,
    JobNumbers,
    FixedVersion,
    Ladder,
    NoRate,
    HardestTarget,
}

/// A row of the list.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) known: Known,
    pub(crate) what: &'static str,
    pub(crate) theirs: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) why: &'static str,
}

impl Known {
    /// Those that come up when shares are sent at random.
    pub(crate) const OF_SHARES: [Self; 5] = [
        Self::LateBlock,
        Self::UnruledBlock,
        Self::BlockAgain,
        Self::LengthFirst,
        Self::TimeAhead,
    ];
}

pub(crate) const LIST: [Difference; 13] = [
    Difference {
        known: Known::LateBlock,
        what: "a block on a job of the last tip",
        theirs: "`stale-share`, and it is dropped",
        ours: "`stale-share`, and it is submitted",
        why: "the node decides which of two blocks wins; the specification says what a miner is told, not what a pool does with a block (MP-75, MP-77)",
    },
    Difference {
        known: Known::UnruledBlock,
        what: "a block with a version or time that the pool does not allow",
        theirs: "rejected, and it is dropped",
        ours: "rejected, and it is submitted",
        why: "these rules are narrower than consensus (MP-75, R-17)",
    },
    Difference {
        known: Known::BlockAgain,
        what: "one of these two once more",
        theirs: "the same code as the first time",
        ours: "`duplicate-share`",
        why: "what was submitted to the node is remembered, however the share was judged (R-18)",
    },
    Difference {
        known: Known::BlockBelowTarget,
        what: "a block that misses its job's target, which is harder than the network's only where the client's `max_target` is",
        theirs: "accepted, with the credit of the target",
        ours: "`difficulty-too-low`, and it is submitted",
        why: "the work of the target was not proven; the block counts all the same (MP-74, MP-75)",
    },
    Difference {
        known: Known::LengthFirst,
        what: "a wrong length of extranonce, for a job that is unknown or stale",
        theirs: "`invalid-job-id`, `stale-share`",
        ours: "`bad-extranonce-size`",
        why: "wrong twice; codes are for people (section 3.5), and the length is what a firmware has to mend",
    },
    Difference {
        known: Known::TimeAhead,
        what: "the latest time of a header",
        theirs: "the job's `min_ntime` and two hours, whenever it is",
        ours: "two hours less a minute ahead of the network's clock",
        why: "consensus knows the clock and not the job; a minute is for the clocks of other nodes (R-16, MP-65)",
    },
    Difference {
        known: Known::JobsKept,
        what: "jobs of the tip that were replaced",
        theirs: "the last 16 take shares, others are `invalid-job-id`",
        ours: "all of the last 120 s take shares, at most 256, and the last 15 whatever their age",
        why: "the specification sets no number; late shares are work (MP-91)",
    },
    Difference {
        known: Known::SharesKept,
        what: "the memory for shares is used up",
        theirs: "the channel takes no more, and has to be closed",
        ours: "its job takes no more (`stale-share`), and another follows",
        why: "no duplicate is credited by either; a miner that is too fast is made slower, and not sent away (R-18)",
    },
    Difference {
        known: Known::JobNumbers,
        what: "job ids",
        theirs: "a group and each of its channels count their own: one id may come twice on a channel, and a late share is judged by the wrong job",
        ours: "never twice while a job is valid",
        why: "a share names its job by the id alone (MP-91, R-10)",
    },
    Difference {
        known: Known::FixedVersion,
        what: "a rolled version where the pool forbids it",
        theirs: "`version-rolling-not-allowed`",
        ours: "accepted, where a block with it would be valid",
        why: "the work is done, and the block would count (R-17)",
    },
    Difference {
        known: Known::Ladder,
        what: "the target for a hash rate",
        theirs: "any number, the easiest that fits",
        ours: "a power of two",
        why: "exact as a double for SV1, as a target, and in sums (R-21); both are within `max_target` (MP-38)",
    },
    Difference {
        known: Known::NoRate,
        what: "a channel that declares no hash rate",
        theirs: "begins with the easiest target that its `max_target` allows",
        ours: "begins with the operator's `difficulty.start`",
        why: "a machine whose rate is unknown may flood the pool; it is eased within seconds (R-21)",
    },
    Difference {
        known: Known::HardestTarget,
        what: "a `max_target` that is harder than the pool's `difficulty.max`",
        theirs: "granted, for any target but 0",
        ours: "`max-target-out-of-range`",
        why: "mostly a target in the wrong byte order, whose device would never submit; the code is the specification's (section 5.3.4)",
    },
];
