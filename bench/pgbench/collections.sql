-- What somebody would make by hand in the place of one list, set, hash or sorted set: a row per element.
CREATE SCHEMA IF NOT EXISTS bench;
CREATE TABLE bench.list (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    value       text NOT NULL
);
CREATE TABLE bench.members (
    key         text NOT NULL,
    member      text NOT NULL,
    value       text NOT NULL,
    PRIMARY KEY (key, member)
) WITH (fillfactor = 70);
CREATE TABLE bench.single (
    key         text PRIMARY KEY,
    value       text NOT NULL
) WITH (fillfactor = 70);
INSERT INTO bench.list (value) SELECT 'VXK' FROM generate_series(1, 20000);
INSERT INTO bench.single SELECT n::text, 'VXK' FROM generate_series(0, 9) n;
