\set k random(0, :keys - 1)
INSERT INTO bench.rows AS r (key, value, expires_at) VALUES (:size || ':' || :k, :value, NULL) ON CONFLICT (key) DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at;
