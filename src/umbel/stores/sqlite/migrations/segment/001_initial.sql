-- A segment: some 250,000 tasks, and what they add to the rollups. Times are UTC seconds, durations seconds.

CREATE TABLE segment (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL,
    first_n INTEGER NOT NULL,
    tasks INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    first_minute INTEGER NOT NULL,
    last_minute INTEGER NOT NULL,
    created_at REAL NOT NULL,
    touched_at REAL NOT NULL
) STRICT;

-- Texts that many tasks share, each once; blobs are msgpack: [worker, pid], [client, queue, exchange, routing_key].
CREATE TABLE word (
    id INTEGER PRIMARY KEY,
    word ANY NOT NULL UNIQUE
) STRICT;

-- What lists and filters look at. The order of `n` is the order in which tasks were first seen.
CREATE TABLE task (
    n INTEGER PRIMARY KEY,
    id ANY NOT NULL UNIQUE,                 -- 16 bytes of a canonical UUID, else the text itself
    name INTEGER,                           -- a word, NULL for ""
    state INTEGER NOT NULL,
    worker INTEGER,
    queue INTEGER,
    sent_at REAL,
    received_at REAL,
    started_at REAL,
    finished_at REAL,
    wait REAL,
    run REAL,
    retries INTEGER NOT NULL,
    updated_at REAL,                        -- NULL: as finished_at
    rerun INTEGER NOT NULL,
    root ANY,                               -- as id; NULL: itself
    parent ANY,                             -- as id; NULL: none
    exception TEXT                          -- NULL: none; last, because it may be long
) STRICT;
CREATE INDEX task_name ON task (name);
CREATE INDEX task_parent ON task (parent) WHERE parent IS NOT NULL AND parent <> id;

-- The rest of a task's record: with the row above and the words it is restored exactly.
CREATE TABLE record (
    n INTEGER PRIMARY KEY,
    body BLOB NOT NULL,
    args TEXT NOT NULL,
    kwargs TEXT NOT NULL,
    result TEXT NOT NULL,
    traceback TEXT NOT NULL
) STRICT;

-- Counts of the tasks here by span of time and name; `at` counts steps since the epoch, name 0 is all names.
CREATE TABLE rollup (
    step INTEGER NOT NULL,                  -- seconds: 60, 3600 or 86400
    at INTEGER NOT NULL,
    name INTEGER NOT NULL,
    cells BLOB NOT NULL,                    -- msgpack: {code: count}
    PRIMARY KEY (step, at, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE exception (
    minute INTEGER NOT NULL,
    name INTEGER NOT NULL,
    type TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (minute, name, type)
) STRICT, WITHOUT ROWID;
