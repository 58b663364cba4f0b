-- The store. Times are UTC seconds since the epoch, durations seconds. Texts compare byte by byte, as Python's do.
-- Tasks, and what they add to the rollups, lie in parts: a day's, or less where retention asks for it. A new task goes
-- to the newest part and stays in its part for ever; retention drops whole parts.
-- A slot is a collector's place while it is connected. What every commit changes has a row for each slot, so that
-- collectors never wait for each other there; readers add the rows up.

CREATE TABLE store (
    id smallint PRIMARY KEY CHECK (id = 1),
    born text NOT NULL                      -- tells this store from one that stood in its place before
);
INSERT INTO store VALUES (1, gen_random_uuid()::text);

CREATE TABLE part (
    number integer PRIMARY KEY,
    first_n bigint NOT NULL,                -- its tasks have this order number or a greater one
    created_at double precision NOT NULL,   -- by the clock of the collector that began it
    ending boolean NOT NULL DEFAULT false,  -- the next new task belongs to another part
    dropping boolean NOT NULL DEFAULT false -- to be dropped, or half dropped
);

-- What each slot has put into each part.
CREATE TABLE share (
    part integer NOT NULL,
    slot smallint NOT NULL,
    tasks bigint NOT NULL,
    first_at double precision NOT NULL,     -- of any time of any task touched, by the emitters' clocks
    last_at double precision NOT NULL,
    first_minute bigint NOT NULL,           -- of rollups
    last_minute bigint NOT NULL,
    touched_at double precision NOT NULL,   -- by the collector's clock
    PRIMARY KEY (part, slot)
);

-- The order of n is the order in which tasks were first seen.
CREATE SEQUENCE task_n AS bigint;
CREATE TABLE task (
    n bigint NOT NULL,
    part integer NOT NULL,
    id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    state smallint NOT NULL,
    worker text COLLATE "C" NOT NULL,
    queue text COLLATE "C" NOT NULL,
    sent_at double precision,
    received_at double precision,
    started_at double precision,
    finished_at double precision,
    wait double precision,
    run double precision,
    retries bigint NOT NULL,
    updated_at double precision NOT NULL,
    rerun boolean NOT NULL,
    root text COLLATE "C" NOT NULL,
    parent text COLLATE "C" NOT NULL,
    exception text COLLATE "C" NOT NULL,
    args text COLLATE "C" NOT NULL,
    kwargs text COLLATE "C" NOT NULL,
    result text COLLATE "C" NOT NULL,
    traceback text COLLATE "C" NOT NULL,
    body bytea NOT NULL,                    -- the rest of the record, msgpack
    PRIMARY KEY (id, part)
) PARTITION BY LIST (part);
-- Only what never changes is indexed: other updates then touch no index. Long texts don't fit into one, so they are cut.
CREATE INDEX task_order ON task (n);
CREATE INDEX task_name ON task (left(name, 200), n);
CREATE INDEX task_parent ON task (left(parent, 200), n) WHERE parent <> '';

-- Counts of tasks by span of time and name; `at` counts steps since the epoch.
CREATE TABLE rollup (
    part integer NOT NULL,
    slot smallint NOT NULL,
    step integer NOT NULL,                  -- seconds: 60, 3600 or 86400
    at bigint NOT NULL,
    key uuid NOT NULL,                      -- a digest of the name; zero: all names together
    name text COLLATE "C" NOT NULL,
    cells bytea NOT NULL,                   -- msgpack: {code: count}
    PRIMARY KEY (step, at, key, slot, part)
) PARTITION BY LIST (part);

CREATE TABLE exception (
    part integer NOT NULL,
    slot smallint NOT NULL,
    minute bigint NOT NULL,
    key uuid NOT NULL,
    type text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (minute, key, type, slot, part)
) PARTITION BY LIST (part);

CREATE TABLE book (
    slot smallint PRIMARY KEY,
    token text NOT NULL DEFAULT '',         -- of its latest commit
    commits bigint NOT NULL DEFAULT 0,
    stored bigint NOT NULL DEFAULT 0,       -- events
    committed_at double precision NOT NULL DEFAULT 0,
    commit_seconds double precision NOT NULL DEFAULT 0,
    captured_at double precision NOT NULL DEFAULT 0,
    quarantine_dropped bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE position (
    source text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);

CREATE TABLE discarded (
    slot smallint NOT NULL,
    reason text NOT NULL,
    event_class text NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (slot, reason, event_class)
);

CREATE TABLE missed (
    slot smallint NOT NULL,
    worker text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (slot, worker)
);

CREATE TABLE ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slot smallint NOT NULL,
    reason text NOT NULL,
    event_class text NOT NULL,
    first_at double precision NOT NULL,
    last_at double precision NOT NULL,
    count bigint NOT NULL,
    estimated boolean NOT NULL,
    worker text COLLATE "C" NOT NULL,
    detail text COLLATE "C" NOT NULL
);
CREATE INDEX ledger_kind ON ledger (slot, reason, event_class, worker, id);

CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at double precision NOT NULL,
    reason text NOT NULL,
    error text COLLATE "C" NOT NULL,
    content_type text COLLATE "C" NOT NULL,
    raw bytea NOT NULL
);

CREATE TABLE worker (
    hostname text COLLATE "C" NOT NULL,
    pid bigint NOT NULL,
    slot smallint NOT NULL,
    seen_at double precision NOT NULL,
    record bytea NOT NULL,                  -- what this slot saw of it, msgpack
    PRIMARY KEY (hostname, pid, slot)
) WITH (fillfactor = 50);

CREATE TABLE name (
    key uuid PRIMARY KEY,
    name text COLLATE "C" NOT NULL,
    seen_at double precision NOT NULL
);
