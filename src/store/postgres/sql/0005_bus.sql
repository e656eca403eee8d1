-- What instances tell each other is asked for: which keys are written, and what is published.

-- What NOTIFY cannot carry. Nothing here is promised to last: a crash of the server may empty it.
--   body    a message that is too long, to be fetched by sender and number
--   packet  what NOTIFY would say, for instances that cannot LISTEN; they read it in the order of id
CREATE UNLOGGED TABLE @.messages (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at              timestamptz NOT NULL DEFAULT clock_timestamp(),
    sender          bigint NOT NULL,                     -- random, of one life of an instance
    number          bigint NOT NULL,
    packet          text,
    body            bytea
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200,
        toast.autovacuum_vacuum_scale_factor = 0.02, toast.autovacuum_vacuum_threshold = 200);
CREATE INDEX messages_body ON @.messages (sender, number) WHERE body IS NOT NULL;

-- What an instance wants to be told: 1 and 2 = which keys are written (to answer from memory; because
-- clients wait for them), 4 = what is published, 8 = the same, in the table above. `caching` is true
-- with 1 and 2: triggers and older binaries look at that.
ALTER TABLE @.instances ADD COLUMN wants int NOT NULL DEFAULT 0;

CREATE OR REPLACE VIEW @.fleet AS
    SELECT slot, name, host, pid, binary_version,
           caching AND (wants = 0 OR wants & 1 <> 0) AS caching, started_at, seen_at,
           wants & 12 <> 0 AS subscribed
    FROM @.instances WHERE seen_at > clock_timestamp() - interval '30 seconds';

UPDATE @.meta SET version = version + 1, migrated_at = now();
