-- What is remembered for outcomes that come later; `domain/remembered.rs` says what.
CREATE TABLE remembered (
    -- The rollout's position, which no other one of its id has. No foreign key: taking out
    -- a million rows with a rollout would keep everybody waiting, so they go later, in parts.
    owner BIGINT NOT NULL,
    kind SMALLINT NOT NULL,
    -- 64 bits, as a signed number.
    hash BIGINT NOT NULL,
    at_ms BIGINT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (owner, kind, hash)
);

-- By age, to forget.
CREATE INDEX remembered_by_age ON remembered (owner, kind, at_ms);
