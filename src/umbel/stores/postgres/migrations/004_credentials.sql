-- Who has signed in, and API tokens: hashes alone; see access/base.py.
CREATE TABLE credential (
    digest text COLLATE "C" PRIMARY KEY,
    kind text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    created_at double precision NOT NULL,
    expires_at double precision NOT NULL,
    about text NOT NULL                     -- a JSON object
);
CREATE INDEX credential_owner ON credential (kind, owner);
CREATE INDEX credential_end ON credential (expires_at);
