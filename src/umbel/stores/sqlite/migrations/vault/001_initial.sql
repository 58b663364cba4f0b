CREATE TABLE credential (
    digest TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    -- A JSON object.
    about TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_owner ON credential (kind, owner);
CREATE INDEX credential_end ON credential (expires_at);
