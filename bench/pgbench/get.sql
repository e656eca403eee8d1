\set k random(0, :keys - 1)
SELECT value FROM bench.rows WHERE key = :size || ':' || :k AND (expires_at IS NULL OR expires_at > now());
