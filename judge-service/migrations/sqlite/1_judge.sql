-- The plan's revision: one row.
CREATE TABLE revision (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    generation INTEGER NOT NULL,
    counter INTEGER NOT NULL
);

CREATE TABLE rollouts (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    identity_key TEXT NOT NULL
);

CREATE TABLE sums (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    epoch INTEGER NOT NULL,
    -- Empty for the requests that are in no segment, which no name is.
    segment TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (rollout, epoch, segment)
);

-- `unit` is the 64-bit pseudonym, as a signed number.
CREATE TABLE units (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    unit INTEGER NOT NULL,
    record BLOB NOT NULL,
    PRIMARY KEY (rollout, unit)
) WITHOUT ROWID;

-- The last report counted of each worker session: what makes a resent report
-- count once.
CREATE TABLE sessions (
    session TEXT PRIMARY KEY,
    sequence INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE decisions (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (rollout, sequence)
);
