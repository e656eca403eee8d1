INSERT INTO bench.counters AS c (key, n) VALUES ('hot', 1) ON CONFLICT (key) DO UPDATE SET n = c.n + 1 RETURNING c.n;
