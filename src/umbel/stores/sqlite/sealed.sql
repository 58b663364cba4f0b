-- What only a sealed segment has. Positions count its tasks from 0: n - first_n.

-- name: schema
CREATE TABLE sealed (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at REAL NOT NULL,
    generation INTEGER NOT NULL,
    dropped INTEGER NOT NULL,               -- tasks that rules of retention have dropped
    grams INTEGER NOT NULL                  -- 1: its texts are indexed
) STRICT;
-- The records of 64 positions, compressed; what came later is in `record` and takes their place.
CREATE TABLE block (
    k INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
-- Which positions have a value, as a compressed set of bits; see bitmaps.py for the keys.
CREATE TABLE bitmap (
    key INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
-- How many tasks of a name and state there are, and when the last of them was last seen.
CREATE TABLE tally (
    name INTEGER NOT NULL,                  -- a word, 0 for ""
    state INTEGER NOT NULL,
    count INTEGER NOT NULL,
    last_at REAL NOT NULL,
    PRIMARY KEY (name, state)
) STRICT, WITHOUT ROWID;
-- The first and last of each time (sent, received, started, finished: field 0 to 3) in 4,096 positions.
CREATE TABLE zone (
    field INTEGER NOT NULL,
    k INTEGER NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    PRIMARY KEY (field, k)
) STRICT, WITHOUT ROWID;
DROP INDEX IF EXISTS task_name;
DROP INDEX IF EXISTS task_open;
CREATE INDEX task_root ON task (root) WHERE root IS NOT NULL;
-- Entries that the index of texts may lack though a text has them; see fragments.py.
CREATE TABLE left_out (
    gram TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- name: grams
CREATE VIRTUAL TABLE grams USING fts5 (texts, content = '', columnsize = 0, detail = none, tokenize = 'trigram');

-- name: groups
SELECT DISTINCT name, state FROM old.task NOT INDEXED;

-- name: cutoff
CREATE TEMP TABLE cutoff (name INTEGER, state INTEGER, before REAL);

-- name: put_cutoff
INSERT INTO cutoff (name, state, before) VALUES (?, ?, ?);

-- name: copy_tasks
INSERT INTO main.task SELECT t.* FROM old.task AS t WHERE NOT EXISTS (
    SELECT 1 FROM cutoff AS c WHERE c.state = t.state AND c.name IS t.name AND coalesce(t.updated_at, t.finished_at) < c.before
) ORDER BY t.n;

-- name: copy_rollups
-- Packed as what is written seldom; see vectors.py.
INSERT INTO main.rollup (step, at, name, cells) SELECT step, at, name, packed(cells) FROM old.rollup;

-- name: put_tally
INSERT INTO tally (name, state, count, last_at)
SELECT coalesce(name, 0), state, count(*), max(coalesce(updated_at, finished_at)) FROM main.task NOT INDEXED GROUP BY 1, 2;

-- name: put_sealed
INSERT INTO sealed (id, at, generation, dropped, grams) VALUES (1, ?, ?, ?, ?);

-- name: records
SELECT t.n, r.body, r.args, r.kwargs, r.result, r.traceback, t.exception
FROM main.task AS t LEFT JOIN old.record AS r ON r.n = t.n ORDER BY t.n;

-- name: columns
SELECT n, name, state, worker, queue, run, wait FROM main.task ORDER BY n;

-- name: put_block
INSERT INTO block (k, data) VALUES (?, ?);

-- name: put_bitmap
INSERT INTO bitmap (key, data) VALUES (?, ?);

-- name: put_grams
INSERT INTO grams (rowid, texts) VALUES (?, ?);

-- name: sample
-- Some records evenly spread, as `records`.
SELECT t.n, r.body, r.args, r.kwargs, r.result, r.traceback, t.exception
FROM main.task AS t LEFT JOIN old.record AS r ON r.n = t.n WHERE t.n % ? = 0 ORDER BY t.n;

-- name: put_left_out
INSERT INTO left_out (gram) VALUES (?);

-- name: has_left_out
SELECT count(*) FROM sqlite_schema WHERE name = 'left_out';

-- name: left_out
SELECT gram FROM left_out;

-- name: block
SELECT data FROM {schema}.block WHERE k = ?;

-- name: bitmap
SELECT data FROM bitmap WHERE key = ?;

-- name: bitmap_sizes
-- SQLite knows the length of what it has not read.
SELECT key, length(data) FROM bitmap WHERE key >= ? AND key < ? ORDER BY key;

-- name: sealed
SELECT at, generation, dropped, grams FROM sealed;

-- name: later
SELECT n FROM record;

-- name: texts
SELECT rowid FROM grams WHERE grams MATCH ?;

-- name: gram_pages
-- Where FTS5 looks for an entry: the first one on each page (shortened), with whether there is more about it in its last bit.
SELECT term, pgno >> 1 FROM grams_idx ORDER BY segid, term;

-- name: tally
SELECT coalesce((SELECT word FROM word WHERE id = name), ''), state, count, last_at FROM tally;

-- name: words
SELECT id, word FROM word WHERE typeof(word) = 'text';

-- name: put_zones
INSERT INTO zone (field, k, first_at, last_at)
SELECT :field, (n - :first_n) / :size, min({column}), max({column}) FROM main.task NOT INDEXED
WHERE {column} IS NOT NULL GROUP BY 2;

-- name: zones
SELECT k, first_at, last_at FROM zone WHERE field = ? ORDER BY k;

-- name: is_sealed
SELECT count(*) FROM sqlite_schema WHERE name = 'sealed';
