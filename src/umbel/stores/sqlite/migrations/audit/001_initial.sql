CREATE TABLE action (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    who TEXT NOT NULL,
    origin TEXT NOT NULL,
    what TEXT NOT NULL,
    via TEXT NOT NULL,
    -- JSON, cut at a bound.
    arguments TEXT NOT NULL,
    destination TEXT NOT NULL
) STRICT;

CREATE TABLE outcome (
    action INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    -- A JSON array of [worker, outcome, text].
    replies TEXT NOT NULL
) STRICT;

-- What was written stays as it was written.
CREATE TRIGGER action_stays BEFORE UPDATE ON action BEGIN SELECT raise(ABORT, 'the audit trail is only added to'); END;
CREATE TRIGGER outcome_stays BEFORE UPDATE ON outcome BEGIN SELECT raise(ABORT, 'the audit trail is only added to'); END;
