INSERT INTO bench.list (value) VALUES ('VXK');
