-- Addresses that are not served for a while.
CREATE TABLE bans (
    address TEXT    NOT NULL PRIMARY KEY, -- of IPv6 the first of its /64
    since   INTEGER NOT NULL,
    until   INTEGER NOT NULL,
    reason  TEXT    NOT NULL,
    times   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX bans_until ON bans (until);
