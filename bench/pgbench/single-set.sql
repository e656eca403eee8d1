INSERT INTO bench.single AS s (key, value) VALUES ('0', 'VXK') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
