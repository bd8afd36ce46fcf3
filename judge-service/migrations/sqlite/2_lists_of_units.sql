-- Users are written as lists, one behind the other: a row for each user is written in a
-- random place of the tree, which is a page for each. Later lists replace earlier ones;
-- `domain/units/stored.rs` says what a list is.
CREATE TABLE unit_lists (
    position INTEGER PRIMARY KEY,
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    list BLOB NOT NULL
);

CREATE INDEX unit_lists_of_rollout ON unit_lists (rollout, position);

-- Each row becomes a list of one user, in hex digits.
INSERT INTO unit_lists (rollout, list)
SELECT rollout, CAST('0' || printf('%016x', unit) || hex(record) AS BLOB) FROM units;

DROP TABLE units;
