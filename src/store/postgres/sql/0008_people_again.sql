-- Rows for people, looked after: paths that cannot be used are refused, the row of session_formats that
-- counts for a key is the same for every question, and doc follows what people write. Functions keep
-- their names and arguments: older binaries call them, and indexes stand on them.

-- ---- paths ----

-- Why this path cannot be used; NULL = it can. A jsonpath is written out in one form: there a variable
-- is a text behind a $, and the only thing that looks so when all texts are empty.
CREATE FUNCTION @.path_error(path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog SET standard_conforming_strings = on AS $$
BEGIN
    IF left(path, 1) IS DISTINCT FROM '$' THEN
        RETURN NULL;
    ELSIF regexp_replace(path::jsonpath::text, '"(\\.|[^"\\])*"', '""', 'g') ~ '[$]""' THEN
        RETURN 'there are no variables';
    END IF;
    PERFORM jsonb_path_query_first_tz('{}', path::jsonpath, silent => true);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;

-- Those that are there already stay to be seen, as keys that no document has.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['username', 'messages', 'last_activity', 'client_ip', 'user_agent',
                                'user_attributes', 'session_active', 'crisis_detected'] LOOP
        EXECUTE format('UPDATE @.session_formats SET %1$I = ARRAY(SELECT CASE '
            'WHEN @.path_error(u.path) IS NULL THEN u.path ELSE ''unusable: '' || u.path END '
            'FROM unnest(%1$I) WITH ORDINALITY AS u(path, n) ORDER BY u.n) '
            'WHERE EXISTS (SELECT FROM unnest(%1$I) AS u(path) WHERE @.path_error(u.path) IS NOT NULL)', name);
    END LOOP;
END $$;

CREATE FUNCTION @.session_format_checked() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text;
    path text;
    why text;
BEGIN
    FOR name, path IN SELECT v.name, u.path FROM (VALUES ('username', NEW.username),
            ('messages', NEW.messages), ('last_activity', NEW.last_activity),
            ('client_ip', NEW.client_ip), ('user_agent', NEW.user_agent),
            ('user_attributes', NEW.user_attributes), ('session_active', NEW.session_active),
            ('crisis_detected', NEW.crisis_detected)) AS v(name, paths), unnest(v.paths) AS u(path) LOOP
        why := @.path_error(path);
        IF why IS NOT NULL THEN
            RAISE EXCEPTION 'session_formats.% cannot have the path "%": %', name, path, why
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'What begins with $ is a jsonpath, as $.user.name; user.name is a key in a key.';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER session_format_checked BEFORE INSERT OR UPDATE ON @.session_formats FOR EACH ROW
    EXECUTE FUNCTION @.session_format_checked();

-- With time zones: a path that compares times of both kinds would be an error only with some documents.
CREATE OR REPLACE FUNCTION @.pick(doc jsonb, paths text[], scalar boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    path text;
    v jsonb;
BEGIN
    FOREACH path IN ARRAY paths LOOP
        IF left(path, 1) = '$' THEN
            v := jsonb_path_query_first_tz(doc, path::jsonpath, silent => true);
        ELSE
            v := doc #> string_to_array(path, '.');
        END IF;
        IF jsonb_typeof(v) <> 'null' AND NOT (scalar AND jsonb_typeof(v) IN ('object', 'array')) THEN
            RETURN v;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- ---- which row counts ----

-- Writers lock entries, and then look into session_formats.
LOCK TABLE @.entries IN SHARE ROW EXCLUSIVE MODE;

-- key_end: the bytes of the suffix. by_db: the key alone does not tell that this row counts, and not one of
-- another database or of all, so session_username cannot be asked; session_formats_changed keeps it.
ALTER TABLE @.session_formats
    ADD COLUMN key_end bytea GENERATED ALWAYS AS (decode(replace(suffix, '\', '\\'), 'escape')) STORED,
    ADD COLUMN by_db boolean NOT NULL DEFAULT false;

-- The row of the longest prefix that is for all databases or for this one counts, and no other: the key is
-- one of a session only if suffix and type are that row's, too. Here for a row of entries; the view
-- `sessions` says the same.
CREATE FUNCTION @.session_format_of(key bytea, type smallint, space int) RETURNS SETOF @.session_formats
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT f.* FROM (SELECT x.* FROM @.session_formats x
        WHERE session_format_of.key >= x.key_from AND session_format_of.key < x.key_behind
        AND (x.db IS NULL OR x.db = (SELECT s.db FROM @.spaces s WHERE s.space = session_format_of.space))
        ORDER BY length(x.prefix) DESC, x.db LIMIT 1) f
    WHERE f.kind = 'session' AND (f.type IS NULL OR f.type = session_format_of.type)
      AND length(session_format_of.key) > length(f.key_from) + length(f.key_end)
      AND substr(session_format_of.key, length(session_format_of.key) - length(f.key_end) + 1) = f.key_end $$;

CREATE FUNCTION @.is_session(key bytea, type smallint, space int) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT EXISTS (SELECT FROM @.session_format_of(is_session.key, is_session.type, is_session.space)) $$;

CREATE FUNCTION @.says_inactive(key bytea, doc jsonb, type smallint, space int) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    paths text[];
BEGIN
    SELECT f.session_active INTO paths FROM @.session_format_of(key, type, space) f;
    RETURN FOUND AND coalesce(@.as_boolean(@.pick(doc, paths, true)) = false, false);
END $$;

-- For those who have only the key: rows that are for all databases first. Older binaries ask the second.
CREATE OR REPLACE FUNCTION @.session_username(key bytea, doc jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    paths text[];
BEGIN
    IF doc IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT f.username INTO paths FROM @.session_formats f
        WHERE f.kind = 'session' AND session_username.key >= f.key_from AND session_username.key < f.key_behind
        ORDER BY f.db IS NOT NULL, length(f.prefix) DESC, f.db LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    RETURN @.pick(doc, paths, true) #>> '{}';
END $$;
CREATE OR REPLACE FUNCTION @.says_inactive(key bytea, doc jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    paths text[];
BEGIN
    FOR paths IN SELECT f.session_active FROM @.session_formats f
            WHERE f.kind = 'session' AND says_inactive.key >= f.key_from
            AND says_inactive.key < f.key_behind
            ORDER BY f.db IS NOT NULL, length(f.prefix) DESC, f.db LIMIT 1 LOOP
        RETURN coalesce(@.as_boolean(@.pick(doc, paths, true)) = false, false);
    END LOOP;
    RETURN false;
END $$;

-- A row for one database is what session_username finds by the key unless a row for all has the same keys,
-- or a row for another database has some of them. The second UPDATE finds nothing more to do.
CREATE OR REPLACE FUNCTION @.session_formats_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    wrong int[];
BEGIN
    UPDATE @.meta SET other_flags = EXISTS (SELECT FROM @.session_formats f
        WHERE f.session_active <> '{session_active}');
    SELECT array_agg(f.id) INTO wrong FROM @.session_formats f
        WHERE f.by_db <> (f.db IS NOT NULL AND EXISTS (SELECT FROM @.session_formats g
            WHERE g.kind = 'session' AND (
                g.db IS NULL AND f.key_from >= g.key_from AND f.key_from < g.key_behind OR
                g.db <> f.db AND g.key_from >= f.key_from AND g.key_from < f.key_behind AND
                (g.key_from <> f.key_from OR g.db < f.db))));
    IF wrong IS NOT NULL THEN
        UPDATE @.session_formats f SET by_db = NOT f.by_db WHERE f.id = ANY (wrong);
    END IF;
    RETURN NULL;
END $$;
UPDATE @.session_formats SET id = id WHERE false; -- once for the rows that are there

-- The rows that the view has to ask by their database. One is expected, whatever the table's statistics.
CREATE FUNCTION @.formats_by_db() RETURNS SETOF @.session_formats
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT f.* FROM @.session_formats f WHERE f.by_db AND f.kind = 'session' $$;

-- Two parts, so that an index on session_username answers the first.
CREATE OR REPLACE VIEW @.sessions AS
    SELECT @.text_of(substr(x.key, length(x.key_from) + 1,
               length(x.key) - length(x.key_from) - length(x.key_end))) AS session_id,
           x.username,
           @.pick(x.doc, x.messages) AS messages,
           coalesce(@.as_time(@.pick(x.doc, x.last_activity, true)), x.updated_at) AS last_activity,
           @.pick(x.doc, x.client_ip, true) #>> '{}' AS client_ip,
           @.pick(x.doc, x.user_agent, true) #>> '{}' AS user_agent,
           @.pick(x.doc, x.user_attributes) AS user_attributes,
           x.active AS session_active,
           @.as_boolean(@.pick(x.doc, x.crisis_detected, true)) AS crisis_detected,
           x.created_at, x.updated_at, x.expires_at,
           @.text_of(x.key) AS key,
           x.doc, x.db, x.size, x.client, x.key AS key_bytes
    FROM (SELECT e.key, e.doc, @.session_username(e.key, e.doc) AS username, e.active, e.created_at,
                 e.updated_at, e.expires_at, length(e.value) AS size, s.db, f.client, f.key_from, f.key_end,
                 f.messages, f.last_activity, f.client_ip, f.user_agent, f.user_attributes, f.crisis_detected
          FROM @.entries e JOIN @.spaces s USING (space)
          CROSS JOIN LATERAL (SELECT y.* FROM @.session_formats y
              WHERE e.key >= y.key_from AND e.key < y.key_behind AND (y.db IS NULL OR y.db = s.db)
              ORDER BY length(y.prefix) DESC, y.db LIMIT 1) f
          WHERE f.kind = 'session' AND NOT f.by_db AND (f.type IS NULL OR f.type = e.type)
            AND e.value IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > clock_timestamp())
            AND length(e.key) > length(f.key_from) + length(f.key_end)
            AND substr(e.key, length(e.key) - length(f.key_end) + 1) = f.key_end
          UNION ALL
          SELECT e.key, e.doc, @.pick(e.doc, f.username, true) #>> '{}', e.active, e.created_at,
                 e.updated_at, e.expires_at, length(e.value), s.db, f.client, f.key_from, f.key_end,
                 f.messages, f.last_activity, f.client_ip, f.user_agent, f.user_attributes, f.crisis_detected
          FROM @.formats_by_db() f JOIN @.spaces s ON s.db = f.db
          JOIN @.entries e ON e.space = s.space AND e.key >= f.key_from AND e.key < f.key_behind
          WHERE (f.type IS NULL OR f.type = e.type)
            AND e.value IS NOT NULL AND (e.expires_at IS NULL OR e.expires_at > clock_timestamp())
            AND length(e.key) > length(f.key_from) + length(f.key_end)
            AND substr(e.key, length(e.key) - length(f.key_end) + 1) = f.key_end
            AND NOT EXISTS (SELECT FROM @.session_formats y
                WHERE e.key >= y.key_from AND e.key < y.key_behind AND (y.db IS NULL OR y.db = f.db)
                AND length(y.prefix) > length(f.prefix))) x;

-- ---- the index on session_username does not know of a change ----

CREATE FUNCTION @.session_index_outdated() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    changed boolean := true;
    remedy text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        changed := EXISTS (SELECT FROM new_rows WHERE kind = 'session');
    ELSIF TG_OP = 'DELETE' THEN
        changed := EXISTS (SELECT FROM old_rows WHERE kind = 'session');
    ELSIF TG_OP = 'UPDATE' THEN
        changed := EXISTS (SELECT prefix, db, username FROM old_rows WHERE kind = 'session'
                           EXCEPT SELECT prefix, db, username FROM new_rows WHERE kind = 'session')
                OR EXISTS (SELECT prefix, db, username FROM new_rows WHERE kind = 'session'
                           EXCEPT SELECT prefix, db, username FROM old_rows WHERE kind = 'session');
    END IF;
    IF NOT changed THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(format('REINDEX INDEX CONCURRENTLY %s;', i.indexrelid::regclass), ' '
                      ORDER BY i.indexrelid::regclass::text) INTO remedy
        FROM pg_index i WHERE i.indrelid = '@.entries'::regclass AND EXISTS (SELECT FROM pg_depend d
            WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
            AND d.refclassid = 'pg_proc'::regclass
            AND d.refobjid = '@.session_username(bytea, jsonb)'::regprocedure);
    IF remedy IS NOT NULL THEN
        RAISE WARNING 'an index on session_username does not know of this change: sessions are not found, or under another name'
            USING HINT = remedy;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER session_index_outdated_1 AFTER INSERT ON @.session_formats
    REFERENCING NEW TABLE AS new_rows EXECUTE FUNCTION @.session_index_outdated();
CREATE TRIGGER session_index_outdated_2 AFTER UPDATE ON @.session_formats
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows EXECUTE FUNCTION @.session_index_outdated();
CREATE TRIGGER session_index_outdated_3 AFTER DELETE ON @.session_formats
    REFERENCING OLD TABLE AS old_rows EXECUTE FUNCTION @.session_index_outdated();
CREATE TRIGGER session_index_outdated_4 AFTER TRUNCATE ON @.session_formats
    EXECUTE FUNCTION @.session_index_outdated();

-- ---- doc follows what people write ----

-- What SQL can tell of a value: JSON's objects and arrays, of strings. NULL = a client's next write tells more.
CREATE FUNCTION @.json_of(type smallint, value bytea) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    doc jsonb;
BEGIN
    IF type = 0 AND octet_length(value) <= 262144 AND current_setting('server_encoding') = 'UTF8' AND
       left(encode(btrim(substr(value, 1, 256), decode('20090a0d', 'hex')), 'escape'), 1) IN ('{', '[') THEN
        doc := @.as_json(value);
    END IF;
    RETURN doc;
END $$;

-- Which keys are decoded says an option of the instances. Here it is those that the views are about.
CREATE FUNCTION @.has_format(key bytea) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT FROM @.session_formats f
        WHERE has_format.key >= f.key_from AND has_format.key < f.key_behind) $$;

CREATE OR REPLACE FUNCTION @.entry_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := greatest(@.stamp(), ((OLD.version >> 10) + 1) << 10);
    IF NEW.value IS DISTINCT FROM OLD.value OR NEW.type <> OLD.type THEN
        NEW.value_version := NEW.version;
        IF NEW.doc IS NULL OR NEW.doc IS NOT DISTINCT FROM OLD.doc THEN
            NEW.doc := CASE WHEN OLD.doc IS NOT NULL OR @.has_format(NEW.key)
                THEN @.json_of(NEW.type, NEW.value) END;
            NEW.active := NEW.active AND NOT (NEW.doc IS NOT NULL AND
                @.says_inactive(NEW.key, NEW.doc, NEW.type, NEW.space));
        END IF;
    END IF;
    IF NEW.expires_at IS DISTINCT FROM OLD.expires_at THEN
        NEW.batch_item := NEW.batch_item & ~67108864;
    END IF;
    NEW.revoked := CASE WHEN (NOT NEW.active OR NEW.value IS NULL) AND
        @.is_session(NEW.key, NEW.type, NEW.space) THEN NEW.version END;
    NEW.updated_at := clock_timestamp();
    NEW.expire_slot := least(OLD.expire_slot, @.slot_of(NEW.expires_at),
        CASE WHEN NEW.value IS NULL THEN @.slot_of(clock_timestamp()) END);
    PERFORM @.tell_written(NEW.key);
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION @.entry_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v bigint := greatest(@.stamp(), ((OLD.version >> 10) + 1) << 10);
BEGIN
    IF EXISTS (SELECT FROM @.spaces s WHERE s.space = OLD.space) THEN
        INSERT INTO @.entries AS e (space, key, value, version, value_version, expire_slot, revoked)
        VALUES (OLD.space, OLD.key, NULL, v, 0, @.slot_of(clock_timestamp()),
            CASE WHEN @.is_session(OLD.key, OLD.type, OLD.space) THEN v END)
        ON CONFLICT (space, key) DO NOTHING;
        PERFORM @.tell_written(OLD.key);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION @.entry_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF @.has_format(NEW.key) THEN
        NEW.doc := @.json_of(NEW.type, NEW.value);
        NEW.active := NEW.active AND NOT (NEW.doc IS NOT NULL AND
            @.says_inactive(NEW.key, NEW.doc, NEW.type, NEW.space));
    END IF;
    RETURN NEW;
END $$;

-- Of a DELETE, too, what a client has removed meanwhile is not there any more: its tombstone stays.
CREATE OR REPLACE FUNCTION @.session_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    rest @.sessions%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM @.entries e
            WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db) AND e.value IS NOT NULL;
        RETURN CASE WHEN FOUND THEN OLD END;
    END IF;
    rest := NEW;
    rest.session_active := OLD.session_active;
    IF rest IS DISTINCT FROM OLD OR NEW.session_active IS NULL THEN
        RAISE EXCEPTION 'only session_active of a session can be changed, to true or false'
            USING ERRCODE = 'feature_not_supported',
            HINT = 'The value belongs to the client that wrote it: change it in the application.';
    END IF;
    UPDATE @.entries e SET active = NEW.session_active
        WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db) AND e.value IS NOT NULL;
    RETURN CASE WHEN FOUND THEN NEW END;
END $$;

-- ---- state that an app shares ----

CREATE OR REPLACE FUNCTION @.global_state_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    f @.session_formats%ROWTYPE;
BEGIN
    IF TG_OP = 'DELETE' THEN
        DELETE FROM @.entries e
            WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db) AND e.value IS NOT NULL;
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
        IF NEW.queue_data IS NULL THEN
            RAISE EXCEPTION 'queue_data of the row of global_state with the key "%" would be NULL', OLD.key
                USING ERRCODE = 'not_null_violation',
                    HINT = 'DELETE ends the key. A function with a NULL among its arguments, as jsonb_set, is NULL.';
        END IF;
        UPDATE @.entries e SET value = convert_to(NEW.queue_data::text, 'UTF8'), doc = NEW.queue_data
            WHERE e.key = OLD.key_bytes AND e.space = @.space_of(OLD.db) AND e.value IS NOT NULL;
        RETURN CASE WHEN FOUND THEN NEW END;
    END IF;
    SELECT * INTO f FROM @.session_formats x
        WHERE x.kind = 'global' AND (NEW.db IS NULL OR coalesce(x.db, 0) = NEW.db) ORDER BY x.id LIMIT 1;
    IF NOT FOUND AND NEW.db IS NOT NULL THEN
        RAISE EXCEPTION 'global_state has no rows in database %', NEW.db
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Which database has them says the row of kind global in session_formats.';
    END IF;
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

-- ---- the way out ----

-- The value as json where it is an object, else NULL. (json can hold what jsonb cannot.)
CREATE FUNCTION @.json_object_of(value bytea) RETURNS json LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    doc json;
BEGIN
    doc := convert_from(value, 'UTF8')::json;
    RETURN CASE WHEN json_typeof(doc) = 'object' THEN doc END;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

-- ---- the trigger of what people insert ----

-- Our own writes have a document, or a version with the number of a slot in it: a comparison or two.
CREATE TRIGGER entry_inserted BEFORE INSERT ON @.entries FOR EACH ROW
    WHEN (NEW.doc IS NULL AND NEW.value IS NOT NULL AND NEW.version & 1023 = 0)
    EXECUTE FUNCTION @.entry_inserted();

UPDATE @.meta SET version = version + 1, migrated_at = now();
