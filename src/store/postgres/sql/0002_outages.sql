-- What an instance leaves behind that went on without PostgreSQL. Only expands: binaries made for
-- version 1 go on beside it.

-- The owner of the slot may hold writes that have not been merged yet, stamped with the slot's number:
-- nobody else is given it then.
ALTER TABLE @.instances ADD COLUMN holds_journal boolean NOT NULL DEFAULT false;

-- How far each journal has been merged. A merge counts if and only if its number stands here, and
-- carries the epoch: who raises that fences merges that are still under way.
CREATE TABLE @.journals (
    journal         text PRIMARY KEY,
    instance        text NOT NULL,
    merged          bigint NOT NULL DEFAULT 0,           -- number of the last batch
    epoch           bigint NOT NULL DEFAULT 1,
    pid             int NOT NULL DEFAULT 0,              -- backend of the current epoch
    at              timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which rows a merge has written in a way that other journals have to know: while `version` is the
-- row's, it was written without knowing what was there (1), or removed (2).
CREATE TABLE @.merges (
    space           int NOT NULL,
    version         bigint NOT NULL,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind            smallint NOT NULL,
    key             bytea NOT NULL,
    PRIMARY KEY (key, space)
);
CREATE INDEX merges_at ON @.merges (at);

-- What lost when a journal was merged.
CREATE TABLE @.conflicts (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    instance        text NOT NULL,
    journal         text NOT NULL,
    reason          text NOT NULL,
    lost            text NOT NULL CHECK (lost IN ('journal', 'row')),
    db              int NOT NULL,
    type            smallint NOT NULL,
    key             bytea NOT NULL,
    value           bytea NOT NULL,
    expires_at      timestamptz,
    base            text NOT NULL,                       -- of the journal's write
    base_version    bigint NOT NULL,
    lost_version    bigint NOT NULL,
    kept_version    bigint NOT NULL,
    group_id        int,                                 -- written by one MULTI or one command with
                                                         -- others of this number in this journal
    restored_at     timestamptz
);
CREATE INDEX conflicts_at ON @.conflicts (at);

-- For people: the same, readable.
CREATE VIEW @.lost AS
    SELECT c.id, c.at, c.db, @.text_of(c.key) AS key, c.reason, c.lost, @.text_of(c.value) AS value,
           c.expires_at, c.instance, c.base, c.group_id, c.restored_at, c.key AS key_bytes
    FROM @.conflicts c;

-- Makes what has lost the value of its key, as a write by SQL. False if it is not there (any more), or
-- has expired.
CREATE FUNCTION @.restore_conflict(conflict bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    c @.conflicts;
BEGIN
    SELECT * INTO c FROM @.conflicts x WHERE x.id = conflict
        AND (x.expires_at IS NULL OR x.expires_at > clock_timestamp());
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO @.entries AS e (space, key, type, value, expires_at)
        VALUES (@.space_of(c.db), c.key, c.type, c.value, c.expires_at)
        ON CONFLICT (key, space) DO UPDATE SET type = excluded.type, value = excluded.value,
            expires_at = excluded.expires_at, active = true;
    PERFORM @.tell_written(c.key);
    UPDATE @.conflicts SET restored_at = clock_timestamp() WHERE id = conflict;
    RETURN true;
END $$;

UPDATE @.meta SET version = 2, migrated_at = now();
