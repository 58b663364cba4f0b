-- Counters that only grow; see model/meter.py.
CREATE TABLE meter (
    slot smallint NOT NULL,
    kind smallint NOT NULL,
    a text COLLATE "C" NOT NULL,
    b text COLLATE "C" NOT NULL,
    c text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    seconds double precision NOT NULL,
    at double precision NOT NULL,           -- wall time of the latest change
    PRIMARY KEY (slot, kind, a, b, c)
);
