-- What somebody would make by hand to keep sessions and counters in PostgreSQL: compared with
-- respgres.entries it has no version, no second index and no trigger.
CREATE SCHEMA bench;
CREATE TABLE bench.rows (
    key         text PRIMARY KEY,
    value       bytea NOT NULL,
    expires_at  timestamptz
) WITH (fillfactor = 70);
CREATE TABLE bench.counters (
    key         text PRIMARY KEY,
    n           bigint NOT NULL
) WITH (fillfactor = 70);
DO $$ BEGIN
    ALTER TABLE bench.rows ALTER COLUMN value SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported OR syntax_error THEN
    NULL;
END $$;
