-- A migration that no released version has: what an upgrade within a major version may do. Tests add
-- it to the real ones (respgres_newer).
ALTER TABLE @.entries ADD COLUMN newer_note text NOT NULL DEFAULT 'from the newer version';
CREATE TABLE @.newer_things (id int PRIMARY KEY);
INSERT INTO @.newer_things VALUES (1);
UPDATE @.meta SET version = version + 1, migrated_at = now();
