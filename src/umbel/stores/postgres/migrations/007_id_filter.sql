-- Which ids a part that is over may hold; see places.py.
CREATE TABLE id_filter (
    part integer PRIMARY KEY,
    bits bytea NOT NULL                     -- a Bloom filter
);
ALTER TABLE id_filter ALTER COLUMN bits SET STORAGE EXTERNAL;
