-- The catalog: everything in the store that is no task. Times are UTC seconds since the epoch.

CREATE TABLE book (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    born TEXT NOT NULL,                     -- random: tells this catalog from one that it replaced
    clean INTEGER NOT NULL DEFAULT 0,       -- 1 while no writer has it open and all rows agree with the segments
    commits INTEGER NOT NULL DEFAULT 0,
    stored INTEGER NOT NULL DEFAULT 0,      -- events
    committed_at REAL NOT NULL DEFAULT 0,
    commit_seconds REAL NOT NULL DEFAULT 0,
    captured_at REAL NOT NULL DEFAULT 0,
    quarantine_dropped INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE position (
    source TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE discarded (
    reason TEXT NOT NULL,
    event_class TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (reason, event_class)
) STRICT, WITHOUT ROWID;

CREATE TABLE missed (
    worker TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    event_class TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    count INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    worker TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX ledger_kind ON ledger (reason, event_class, worker);

CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    reason TEXT NOT NULL,
    error TEXT NOT NULL,
    content_type TEXT NOT NULL,
    raw BLOB NOT NULL
) STRICT;

CREATE TABLE worker (
    hostname TEXT NOT NULL,
    pid INTEGER NOT NULL,
    seen_at REAL NOT NULL,
    record BLOB NOT NULL,                   -- the whole record, msgpack
    PRIMARY KEY (hostname, pid)
) STRICT, WITHOUT ROWID;
CREATE INDEX worker_seen ON worker (seen_at);

CREATE TABLE name (
    name TEXT PRIMARY KEY,
    seen_at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX name_seen ON name (seen_at);

-- A copy of what each segment file says about itself, so that readers need not open them all.
CREATE TABLE segment (
    number INTEGER PRIMARY KEY,
    first_n INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    first_at REAL NOT NULL,                 -- of any time of any of its tasks, by the emitters' clocks
    last_at REAL NOT NULL,
    first_minute INTEGER NOT NULL,          -- of its rollups
    last_minute INTEGER NOT NULL,
    created_at REAL NOT NULL,               -- by Umbel's clock
    touched_at REAL NOT NULL,
    filtered INTEGER NOT NULL DEFAULT 0,    -- 1: its ids are all in the filter file
    dropping INTEGER NOT NULL DEFAULT 0     -- 1: the file is to be deleted, if it is not yet
) STRICT;

CREATE TABLE set_aside (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    file TEXT NOT NULL
) STRICT;
