-- Who the shares are of. Worker 0 is the pool.
CREATE TABLE workers (
    id            INTEGER PRIMARY KEY,
    user          TEXT    NOT NULL,
    payout        TEXT    NOT NULL,
    first_seen    INTEGER NOT NULL, -- all times: seconds since 1970
    last_seen     INTEGER NOT NULL,
    last_accepted INTEGER,
    client        TEXT,             -- sv1, sv2-standard, sv2-extended
    user_agent    TEXT,
    best_hash     BLOB,             -- 32 bytes, big-endian: the smallest is the best
    best_at       INTEGER,
    UNIQUE (user, payout)
) STRICT;

-- What came of their shares. Clustered by time, so that a commit touches few pages; the index
-- serves a worker's history and is written only when a row is new.
CREATE TABLE sums (
    span   INTEGER NOT NULL, -- seconds: 60, 3600, 86400; 0 is the whole life
    start  INTEGER NOT NULL,
    worker INTEGER NOT NULL,
    kind   TEXT    NOT NULL, -- accepted, not-durable, block, or why rejected
    count  INTEGER NOT NULL,
    work   BLOB    NOT NULL, -- 16 bytes, big-endian, units of 2^-32 difficulty
    PRIMARY KEY (span, start, worker, kind)
) STRICT, WITHOUT ROWID;

CREATE INDEX sums_of_worker ON sums (worker, span, start);

-- The pool's best shares. They outlive the worker's row, so they carry its name.
CREATE TABLE best_shares (
    hash   BLOB    NOT NULL PRIMARY KEY, -- 32 bytes, big-endian
    user   TEXT    NOT NULL,
    payout TEXT    NOT NULL,
    at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE blocks (
    id            INTEGER PRIMARY KEY, -- the order of recording
    hash          BLOB    NOT NULL UNIQUE, -- 32 bytes, big-endian
    height        INTEGER NOT NULL,
    found_at      INTEGER NOT NULL,
    user          TEXT    NOT NULL,
    payout        TEXT    NOT NULL,
    paid          INTEGER NOT NULL, -- satoshi
    job           TEXT    NOT NULL,
    fate          TEXT    NOT NULL, -- found, submitted, accepted, confirmed, orphaned, refused
    confirmations INTEGER,
    reason        TEXT,
    settled       INTEGER NOT NULL
) STRICT;

CREATE INDEX blocks_unsettled ON blocks (id) WHERE settled = 0;

CREATE TABLE answers (
    block    INTEGER NOT NULL REFERENCES blocks (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    node     TEXT    NOT NULL,
    answer   TEXT    NOT NULL,
    first_at INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    times    INTEGER NOT NULL,
    PRIMARY KEY (block, position)
) STRICT, WITHOUT ROWID;
