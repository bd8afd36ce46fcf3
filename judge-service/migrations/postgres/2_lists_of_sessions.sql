-- The last report counted of each worker session, which makes a resent report count
-- once, as lists, one behind the other: later lists replace earlier ones.
-- `domain/sessions.rs` says what a list is.
CREATE TABLE session_lists (
    position BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    list BYTEA NOT NULL
);

ALTER TABLE session_lists ALTER COLUMN list SET STORAGE EXTERNAL;

-- Each row becomes a list of one session, in hex digits.
INSERT INTO session_lists (list)
SELECT convert_to('0' || session || lpad(to_hex(sequence), 16, '0'), 'UTF8')
FROM sessions ORDER BY seen_ms;

DROP TABLE sessions;
