-- Which task was sent as a new run of which other.
CREATE TABLE again (
    id TEXT PRIMARY KEY,
    original TEXT NOT NULL,
    at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX again_original ON again (original, at);

-- What was found out about tasks that did not end.
CREATE TABLE verdict (
    id TEXT PRIMARY KEY,
    at REAL NOT NULL,
    outcome TEXT NOT NULL,
    evidence TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX verdict_outcome ON verdict (outcome, at);
