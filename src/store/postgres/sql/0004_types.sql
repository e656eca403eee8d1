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

-- A binary that knows strings only would take the bytes of a hash for one.
UPDATE @.meta SET version = version + 1, least_binary = version + 1, migrated_at = now();
