\set k random(0, :keys - 1)
INSERT INTO bench.counters AS c (key, n) VALUES ('' || :k, 1) ON CONFLICT (key) DO UPDATE SET n = c.n + 1 RETURNING c.n;
