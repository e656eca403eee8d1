SELECT value FROM bench.list ORDER BY id DESC LIMIT :size;
