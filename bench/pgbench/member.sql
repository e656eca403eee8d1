INSERT INTO bench.members AS m (key, member, value) VALUES ('k', 'element:000000000000', 'VXK') ON CONFLICT (key, member) DO UPDATE SET value = excluded.value;
