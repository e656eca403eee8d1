-- Keyspace notifications. Which events an instance wants (base/keyspace_events.h): all make them.
ALTER TABLE @.instances ADD COLUMN events int NOT NULL DEFAULT 0;

-- That a key has expired is told once. The bit of batch_item that says so (ITEM_TOLD in statements.h) is
-- about the expiry there was: who changes a row by hand may give it another.
CREATE OR REPLACE FUNCTION @.entry_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := greatest(@.stamp(), ((OLD.version >> 10) + 1) << 10);
    IF NEW.value IS DISTINCT FROM OLD.value OR NEW.type <> OLD.type THEN
        NEW.value_version := NEW.version;
    END IF;
    IF NEW.expires_at IS DISTINCT FROM OLD.expires_at THEN
        NEW.batch_item := NEW.batch_item & ~67108864;
    END IF;
    NEW.revoked := CASE WHEN (NOT NEW.active OR NEW.value IS NULL) AND @.is_session(NEW.key)
        THEN NEW.version END;
    NEW.updated_at := clock_timestamp();
    NEW.expire_slot := least(OLD.expire_slot, @.slot_of(NEW.expires_at),
        CASE WHEN NEW.value IS NULL THEN @.slot_of(clock_timestamp()) END);
    PERFORM @.tell_written(NEW.key);
    RETURN NEW;
END $$;

UPDATE @.meta SET version = version + 1, migrated_at = now();
