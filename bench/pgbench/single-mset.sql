INSERT INTO bench.single AS s (key, value) SELECT n::text, 'VXK' FROM generate_series(0, 9) n ON CONFLICT (key) DO UPDATE SET value = excluded.value;
