\set k random(0, :keys - 1)
\set at random(1, :size)
INSERT INTO bench.rows AS r (key, value, expires_at) VALUES (:size || ':' || :k, substr(:pool::bytea, :at, :size), NULL) ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at;
