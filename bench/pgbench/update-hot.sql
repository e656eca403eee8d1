UPDATE bench.counters SET n = n + 1 WHERE key = 'hot';
