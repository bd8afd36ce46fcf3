-- What is remembered for outcomes that come later; `domain/remembered.rs` says what.
CREATE TABLE remembered (
    rollout TEXT NOT NULL REFERENCES rollouts (id) ON DELETE CASCADE,
    kind SMALLINT NOT NULL,
    -- 64 bits, as a signed number.
    hash BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (rollout, kind, hash)
);

-- By age, to forget.
CREATE INDEX remembered_by_age ON remembered (rollout, kind, at_ms);
