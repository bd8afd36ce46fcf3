-- Who did what to which rollout, and why: it outlives the rollouts.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    document TEXT NOT NULL
);
