-- Sums of the rollups of days that are over; see sums.py.
-- Commits that an Umbel made which enters the days it changes in `touched`.
ALTER TABLE book ADD COLUMN noted bigint NOT NULL DEFAULT 0;

-- How often commits have changed the rollups of a day; each slot has its own row, as elsewhere.
CREATE TABLE touched (
    day integer NOT NULL,                   -- since the epoch
    slot smallint NOT NULL,
    commits bigint NOT NULL,
    at double precision NOT NULL,           -- the latest, by the collector's clock
    PRIMARY KEY (day, slot)
) WITH (fillfactor = 50);

-- One, two, four or eight days, the first of which is a multiple of as many.
CREATE TABLE day_sum (
    first integer NOT NULL,
    days integer NOT NULL,
    stamp bigint[] NOT NULL,                -- what `book` and `touched` said: the sum holds while they still do
    names bytea,                            -- msgpack: {name: {code: count}}; NULL: too many names to keep
    PRIMARY KEY (first, days)
);

INSERT INTO touched SELECT DISTINCT at, 0, 0, 0 FROM rollup WHERE step = 86400;
