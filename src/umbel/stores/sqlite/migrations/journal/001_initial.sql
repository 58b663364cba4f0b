-- What people entered; of one kind and key the latest entry.
CREATE TABLE entry (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    at REAL NOT NULL,                       -- UTC seconds
    texts TEXT NOT NULL,                    -- JSON
    PRIMARY KEY (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_at ON entry (kind, at);
