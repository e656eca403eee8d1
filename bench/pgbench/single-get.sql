SELECT value FROM bench.single WHERE key = '0';
