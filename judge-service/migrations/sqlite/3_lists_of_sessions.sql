-- The last report counted of each worker session, which makes a resent report count
-- once, as lists, one behind the other: see `unit_lists`. `domain/sessions.rs` says what a
-- list is.
CREATE TABLE session_lists (
    position INTEGER PRIMARY KEY,
    list BLOB NOT NULL
);

-- Each row becomes a list of one session, in hex digits.
INSERT INTO session_lists (list)
SELECT CAST('0' || session || printf('%016x', sequence) AS BLOB) FROM sessions ORDER BY seen_ms;

DROP TABLE sessions;
