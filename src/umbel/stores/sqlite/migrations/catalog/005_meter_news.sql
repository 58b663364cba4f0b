-- What commits added to the counters since they were last added up; see meters.py.
CREATE TABLE meter_news (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,                       -- wall time of the commit
    news BLOB NOT NULL                      -- msgpack: [[kind, a, b, {third label: [count, seconds]}], ...]
) STRICT;
