-- Counters that only grow; see model/meter.py.
CREATE TABLE meter (
    kind INTEGER NOT NULL,
    a TEXT NOT NULL,
    b TEXT NOT NULL,
    at REAL NOT NULL,                       -- wall time of the latest change
    counters BLOB NOT NULL,                 -- msgpack: {third label: [count, seconds]}
    PRIMARY KEY (kind, a, b)
) STRICT, WITHOUT ROWID;
