-- Paths that see through a field of a hash: Spring Session keeps each attribute as a field of its own, with a
-- serialiser's bytes in it. Functions keep their names and arguments: older binaries call them, and indexes
-- stand on them.

-- ---- what a serialiser has made of a value ----

-- A text that is JSON, and Java's serialised String and Long (Object Serialization Stream Protocol, 6.4.2), of
-- which the document has the bytes. Nothing is what Spring leaves of a removed attribute. Anything else is what
-- it is.
CREATE FUNCTION @.unwrapped(v jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    b bytea;
BEGIN
    IF v IN ('""', '"null"') THEN
        RETURN NULL;
    ELSIF jsonb_typeof(v) = 'string' AND left(ltrim(v #>> '{}', E' \t\r\n'), 1) IN ('"', '{', '[') THEN
        RETURN (v #>> '{}')::jsonb;
    ELSIF jsonb_typeof(v) = 'object' AND jsonb_typeof(v -> '$bytes') = 'string' THEN
        b := decode(v ->> '$bytes', 'base64');
        IF substr(b, 1, 5) = '\xaced000574' AND length(b) >= 7 AND
           length(b) = 7 + 256 * get_byte(b, 5) + get_byte(b, 6) THEN
            RETURN to_jsonb(convert_from(substr(b, 8), 'UTF8'));
        ELSIF substr(b, 1, 22) = '\xaced00057372000e' || 'java.lang.Long'::bytea AND length(b) = 82 THEN
            RETURN to_jsonb(('x' || encode(substr(b, 75), 'hex'))::bit(64)::bigint);
        END IF;
    END IF;
    RETURN v;
EXCEPTION WHEN OTHERS THEN
    RETURN v; -- a text that only begins like JSON, or what jsonb cannot hold
END $$;

-- '@FIELD', or '@FIELD|PATH': the name of the field as it is, whatever dots it has; PATH is one into what it holds.
CREATE FUNCTION @.field_of(doc jsonb, path text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    bar int := strpos(path, '|');
BEGIN
    IF bar = 0 THEN
        RETURN @.unwrapped(doc -> substr(path, 2));
    END IF;
    RETURN @.pick(@.unwrapped(doc -> substr(path, 2, bar - 2)), ARRAY[substr(path, bar + 1)]);
END $$;

-- No longer for parallel plans: PostgreSQL before 17 refuses EXCEPTION there. The views have never been (text_of).
CREATE OR REPLACE FUNCTION @.pick(doc jsonb, paths text[], scalar boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    path text;
    v jsonb;
BEGIN
    FOREACH path IN ARRAY paths LOOP
        IF left(path, 1) = '$' THEN
            v := jsonb_path_query_first_tz(doc, path::jsonpath, silent => true);
        ELSIF left(path, 1) = '@' THEN
            v := @.field_of(doc, path);
        ELSE
            v := doc #> string_to_array(path, '.');
        END IF;
        IF jsonb_typeof(v) <> 'null' AND NOT (scalar AND jsonb_typeof(v) IN ('object', 'array')) THEN
            RETURN v;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;
ALTER FUNCTION @.session_username(bytea, jsonb) PARALLEL UNSAFE;
ALTER FUNCTION @.says_inactive(bytea, jsonb) PARALLEL UNSAFE;
ALTER FUNCTION @.says_inactive(bytea, jsonb, smallint, int) PARALLEL UNSAFE;

-- ---- session_formats ----

CREATE OR REPLACE FUNCTION @.path_error(path text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog SET standard_conforming_strings = on AS $$
BEGIN
    IF left(path, 1) = '@' THEN
        IF path ~ '^@([|]|$)' OR path ~ '[|]$' THEN
            RETURN 'a name is missing';
        END IF;
        RETURN @.path_error(nullif(substr(path, strpos(path, '|') + 1), path));
    ELSIF left(path, 1) IS DISTINCT FROM '$' THEN
        RETURN NULL;
    ELSIF regexp_replace(path::jsonpath::text, '"(\\.|[^"\\])*"', '""', 'g') ~ '[$]""' THEN
        RETURN 'there are no variables';
    END IF;
    PERFORM jsonb_path_query_first_tz('{}', path::jsonpath, silent => true);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLERRM;
END $$;

CREATE OR REPLACE FUNCTION @.session_format_checked() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    name text;
    path text;
    why text;
BEGIN
    IF NEW.prefix = '' THEN -- before key_behind is made of it
        RAISE EXCEPTION 'session_formats.prefix cannot be empty'
            USING ERRCODE = 'check_violation',
                HINT = 'Which keys are sessions says their prefix: give the app one, as app: or session:.';
    END IF;
    FOR name, path IN SELECT v.name, u.path FROM (VALUES ('username', NEW.username),
            ('messages', NEW.messages), ('last_activity', NEW.last_activity),
            ('client_ip', NEW.client_ip), ('user_agent', NEW.user_agent),
            ('user_attributes', NEW.user_attributes), ('session_active', NEW.session_active),
            ('crisis_detected', NEW.crisis_detected)) AS v(name, paths), unnest(v.paths) AS u(path) LOOP
        why := @.path_error(path);
        IF why IS NOT NULL THEN
            RAISE EXCEPTION 'session_formats.% cannot have the path "%": %', name, path, why
                USING ERRCODE = 'invalid_parameter_value',
                    HINT = 'What begins with $ is a jsonpath, as $.user.name; with @ a field of a hash, as '
                        '@sessionAttr:user|name; user.name is a key in a key.';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;

-- Spring Session's row, unless it has been changed: what there was goes on, and the attributes come behind it.
UPDATE @.session_formats SET last_activity = '{@lastAccessedTime}'
    WHERE prefix = 'spring:session:sessions:' AND last_activity = '{lastAccessedTime}';
UPDATE @.session_formats SET username = username || ARRAY[
        '@sessionAttr:org.springframework.session.FindByIndexNameSessionRepository.PRINCIPAL_NAME_INDEX_NAME',
        '@sessionAttr:username', '@sessionAttr:user|username', '@sessionAttr:user',
        '@sessionAttr:SPRING_SECURITY_CONTEXT|authentication.principal.username',
        '@sessionAttr:SPRING_SECURITY_CONTEXT|authentication.principal',
        '@sessionAttr:SPRING_SECURITY_CONTEXT|authentication.name']
    WHERE prefix = 'spring:session:sessions:' AND username =
        '{username,user.username,user.name,user,passport.user.username,passport.user,user_name,login,email,user_id,_user_id,_auth_user_id}';

UPDATE @.meta SET version = version + 1, migrated_at = now();
