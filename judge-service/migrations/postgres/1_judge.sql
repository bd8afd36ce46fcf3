-- The plan's revision and the plan as workers get it: one row.
CREATE TABLE revision (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    generation BIGINT NOT NULL,
    counter BIGINT NOT NULL,
    plan BYTEA
);

CREATE TABLE rollouts (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL,
    identity_key TEXT NOT NULL
);

CREATE TABLE sums (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    epoch BIGINT NOT NULL,
    -- Empty for the requests that are in no segment, which no name is.
    segment TEXT COLLATE "C" NOT NULL,
    document BYTEA NOT NULL,
    PRIMARY KEY (rollout, epoch, segment)
) WITH (fillfactor = 50);

-- Packed numbers do not get smaller, and trying costs more than writing them.
ALTER TABLE sums ALTER COLUMN document SET STORAGE EXTERNAL;

-- Users as lists, one behind the other: later lists replace earlier ones.
CREATE TABLE unit_lists (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    list BYTEA NOT NULL
);

ALTER TABLE unit_lists ALTER COLUMN list SET STORAGE EXTERNAL;

CREATE INDEX unit_lists_of_rollout ON unit_lists (rollout, position);

-- The last report counted of each worker session: what makes a resent report
-- count once.
CREATE TABLE sessions (
    session TEXT COLLATE "C" PRIMARY KEY,
    sequence BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE decisions (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (rollout, sequence)
);

-- Which judge judges: one row. A judge that was overtaken has another token.
CREATE TABLE lease (
    one SMALLINT PRIMARY KEY CHECK (one = 1),
    token BIGINT NOT NULL,
    address TEXT NOT NULL,
    until TIMESTAMPTZ NOT NULL
);

-- What other judges took, until the one that judges has counted it.
CREATE TABLE letters (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind SMALLINT NOT NULL,
    body BYTEA NOT NULL
);
