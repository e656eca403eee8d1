-- Scripts that clients have sent, under their SHA1: what one instance knows, all know.

CREATE TABLE @.scripts (
    sha             text PRIMARY KEY,                    -- 40 hex digits
    body            bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How often all have been forgotten. Whoever keeps scripts in memory looks here.
CREATE TABLE @.script_flushes (
    one             boolean PRIMARY KEY DEFAULT true CHECK (one),
    number          bigint NOT NULL
);
INSERT INTO @.script_flushes VALUES (true, 0);

UPDATE @.meta SET version = version + 1, migrated_at = now();
