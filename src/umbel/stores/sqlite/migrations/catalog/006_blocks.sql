-- Sums of 2, 4 and 8 whole days, of which the first is a multiple of as many: worked out from two halves, and forgotten
-- as soon as one of their days is.

CREATE TABLE block (
    first INTEGER NOT NULL,                 -- days since the epoch
    days INTEGER NOT NULL,
    PRIMARY KEY (first, days)
) STRICT, WITHOUT ROWID;

CREATE TABLE block_rollup (
    first INTEGER NOT NULL,
    days INTEGER NOT NULL,
    name TEXT NOT NULL,
    cells BLOB NOT NULL,                    -- as a segment's
    PRIMARY KEY (first, days, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER day_of_blocks_gone AFTER DELETE ON day BEGIN
    DELETE FROM block WHERE days IN (2, 4, 8) AND first = old.day - old.day % days;
END;

CREATE TRIGGER block_gone AFTER DELETE ON block BEGIN
    DELETE FROM block_rollup WHERE first = old.first AND days = old.days;
END;

-- Days and blocks alike.
CREATE VIEW unit AS SELECT day AS first, 1 AS days FROM day WHERE whole UNION ALL SELECT first, days FROM block;

CREATE VIEW unit_rollup AS
SELECT day AS first, 1 AS days, name, cells FROM day_rollup
UNION ALL SELECT first, days, name, cells FROM block_rollup;
