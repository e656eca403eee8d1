\set k random(0, :keys - 1)
\set at random(1, :size)
SELECT value FROM bench.rows WHERE key = :size || ':' || :k AND (expires_at IS NULL OR expires_at > now());
INSERT INTO bench.rows AS r (key, value, expires_at) VALUES (:size || ':' || :k, substr(:pool::bytea, :at, :size), now() + interval '1 hour') ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at;
