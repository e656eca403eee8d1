-- Values of other types than strings: hashes, lists, sets, sorted sets. Their bytes are an encoding of
-- respgres' own; people read `doc`.

CREATE FUNCTION @.type_name(type smallint) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce((ARRAY['string', 'list', 'set', 'zset', 'hash'])[type + 1], 'unknown') $$;

CREATE OR REPLACE VIEW @.keys AS
    SELECT s.db,
           @.text_of(e.key) AS key,
           @.type_name(e.type) AS type,
           e.expires_at - clock_timestamp() AS ttl,
           octet_length(e.value) AS size,
           CASE WHEN e.type = 0 THEN @.text_of(e.value) END AS value,
           e.doc, e.expires_at, e.created_at, e.updated_at, e.version, e.key AS key_bytes
    FROM @.entries e JOIN @.spaces s USING (space)
    WHERE e.value IS NOT NULL AND e.active
      AND (e.expires_at IS NULL OR e.expires_at > clock_timestamp());

CREATE OR REPLACE VIEW @.lost AS
    SELECT c.id, c.at, c.db, @.text_of(c.key) AS key, c.reason, c.lost,
           CASE WHEN c.type = 0 THEN @.text_of(c.value) END AS value,
           c.expires_at, c.instance, c.base, c.group_id, c.restored_at, c.key AS key_bytes,
           @.type_name(c.type) AS type
    FROM @.conflicts c;

-- Seconds or milliseconds since 1970 may stand in a text, too: a field of a hash is one.
CREATE OR REPLACE FUNCTION @.as_time(v jsonb) RETURNS timestamptz LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF v IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(v) = 'number' OR v #>> '{}' ~ '^[0-9]{9,14}([.][0-9]+)?$' THEN
        RETURN to_timestamp((v #>> '{}')::float8 / CASE WHEN (v #>> '{}')::float8 > 1e11 THEN 1000 ELSE 1 END);
    END IF;
    RETURN (v #>> '{}')::timestamptz;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- Spring Session: a hash per session, and beside it strings and sets that are none.
ALTER TABLE @.session_formats ADD COLUMN type smallint;  -- only values of this type; NULL = any
INSERT INTO @.session_formats (prefix, client, type, last_activity) VALUES
    ('spring:session:sessions:', 'Spring Session', 4, '{lastAccessedTime}')
    ON CONFLICT DO NOTHING;

CREATE OR REPLACE VIEW @.sessions AS
    SELECT @.text_of(substr(e.key, octet_length(f.key_from) + 1,
               length(e.key) - octet_length(f.key_from) - octet_length(f.suffix))) AS session_id,
           @.session_username(e.key, e.doc) AS username,
           @.pick(e.doc, f.messages) AS messages,
           coalesce(@.as_time(@.pick(e.doc, f.last_activity, true)), e.updated_at) AS last_activity,
           @.pick(e.doc, f.client_ip, true) #>> '{}' AS client_ip,
           @.pick(e.doc, f.user_agent, true) #>> '{}' AS user_agent,
           @.pick(e.doc, f.user_attributes) AS user_attributes,
           e.active AS session_active,
           @.as_boolean(@.pick(e.doc, f.crisis_detected, true)) AS crisis_detected,
           e.created_at, e.updated_at, e.expires_at,
           @.text_of(e.key) AS key,
           e.doc, s.db, length(e.value) AS size, f.client, e.key AS key_bytes
    FROM @.entries e JOIN @.spaces s USING (space)
    CROSS JOIN LATERAL (SELECT x.* FROM @.session_formats x
        WHERE e.key >= x.key_from AND e.key < x.key_behind AND (x.db IS NULL OR x.db = s.db)
        ORDER BY length(x.prefix) DESC, x.db LIMIT 1) f
    WHERE f.kind = 'session' AND (f.type IS NULL OR f.type = e.type)
      AND e.value IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > clock_timestamp())
      AND length(e.key) > octet_length(f.key_from) + octet_length(f.suffix)
      AND (f.suffix = '' OR right(encode(e.key, 'escape'), length(f.suffix)) = f.suffix);

-- State that is a list or a hash, say, is shown by its document, and not changed here.
CREATE OR REPLACE VIEW @.global_state AS
    SELECT @.text_of(substr(e.key, octet_length(f.key_from) + 1)) AS key,
           coalesce(e.doc, CASE WHEN e.type = 0 THEN @.as_json(e.value) END) AS queue_data,
           e.updated_at, s.db, e.key AS key_bytes
    FROM @.session_formats f
    JOIN @.entries e ON e.key >= f.key_from AND e.key < f.key_behind
    JOIN @.spaces s ON s.space = e.space AND s.db = coalesce(f.db, 0)
    WHERE f.kind = 'global' AND e.value IS NOT NULL AND e.active
      AND (e.expires_at IS NULL OR e.expires_at > clock_timestamp());
CREATE OR REPLACE FUNCTION @.global_state_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    f @.session_formats%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM @.entries e WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db);
        RETURN CASE WHEN FOUND THEN OLD END;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM FROM @.entries e WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db) AND e.type <> 0;
        IF FOUND THEN
            RAISE EXCEPTION 'the row of global_state with the key "%" is no string', OLD.key
                USING ERRCODE = 'feature_not_supported',
                    HINT = 'Lists, hashes, sets and sorted sets are changed by commands of Redis.';
        END IF;
        IF (NEW.key, NEW.updated_at, NEW.db, NEW.key_bytes) IS DISTINCT FROM
           (OLD.key, OLD.updated_at, OLD.db, OLD.key_bytes) THEN
            RAISE EXCEPTION 'only queue_data of global_state can be changed'
                USING ERRCODE = 'feature_not_supported', HINT = 'Delete the row and insert another.';
        END IF;
        UPDATE @.entries e SET value = convert_to(NEW.queue_data::text, 'UTF8'), doc = NEW.queue_data
            WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db) AND e.value IS NOT NULL;
        RETURN CASE WHEN FOUND THEN NEW END;
    END IF;
    SELECT * INTO f FROM @.session_formats x WHERE x.kind = 'global' ORDER BY x.id LIMIT 1;
    IF NOT FOUND OR NEW.key IS NULL OR NEW.queue_data IS NULL THEN
        RAISE EXCEPTION 'a row of global_state needs key and queue_data, and a prefix in session_formats'
            USING ERRCODE = 'not_null_violation';
    END IF;
    NEW.db := coalesce(f.db, 0);
    NEW.key_bytes := convert_to(f.prefix || NEW.key, 'UTF8');
    INSERT INTO @.entries AS e (space, key, value, doc)
        VALUES (@.space_of(NEW.db), NEW.key_bytes, convert_to(NEW.queue_data::text, 'UTF8'), NEW.queue_data)
        ON CONFLICT (key, space) DO UPDATE SET value = excluded.value, doc = excluded.doc,
            type = 0, expires_at = NULL, active = true
        WHERE e.value IS NULL OR NOT e.active OR e.expires_at <= clock_timestamp();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'global_state has a row with the key "%"', NEW.key
            USING ERRCODE = 'unique_violation', HINT = 'Use UPDATE.';
    END IF;
    NEW.updated_at := clock_timestamp();
    RETURN NEW;
END $$;

-- The document was that of the value which goes.
CREATE OR REPLACE FUNCTION @.restore_conflict(conflict bigint) RETURNS boolean LANGUAGE plpgsql AS $$
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
            expires_at = excluded.expires_at, active = true, doc = NULL;
    PERFORM @.tell_written(c.key);
    UPDATE @.conflicts SET restored_at = clock_timestamp() WHERE id = conflict;
    RETURN true;
END $$;

-- A binary that knows strings only would take the bytes of a hash for one.
UPDATE @.meta SET version = version + 1, least_binary = version + 1, migrated_at = now();
