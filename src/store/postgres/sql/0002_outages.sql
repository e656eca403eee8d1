-- What an instance leaves behind that went on without PostgreSQL. Only expands: binaries made for
-- version 1 go on beside it.

-- The owner of the slot may hold writes that have not been merged yet, stamped with the slot's number:
-- nobody else is given it then.
ALTER TABLE @.instances ADD COLUMN holds_journal boolean NOT NULL DEFAULT false;

UPDATE @.meta SET version = 2, migrated_at = now();
