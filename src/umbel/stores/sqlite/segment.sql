-- What the writer asks of a segment.

-- name: create
INSERT INTO segment (id, number, first_n, tasks, first_at, last_at, first_minute, last_minute, created_at, touched_at)
VALUES (1, :number, :first_n, :tasks, :first_at, :last_at, :first_minute, :last_minute, :created_at, :touched_at);

-- name: lay_out
-- What a new segment has instead of the table of the migrations, which sealed ones keep: in one index over all ids, which
-- are random, each commit dirties nearly every page; by stretches of 8,192 tasks it dirties those of the last stretch.
DROP TABLE task;
CREATE TABLE task (
    n INTEGER PRIMARY KEY,
    id ANY NOT NULL,
    name INTEGER,
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
    updated_at REAL,
    rerun INTEGER NOT NULL,
    root ANY,
    parent ANY,
    exception TEXT
) STRICT;
CREATE UNIQUE INDEX task_id ON task (n >> 13, id);
CREATE INDEX task_name ON task (name);
CREATE INDEX task_parent ON task (parent) WHERE parent IS NOT NULL AND parent <> id;
CREATE INDEX task_open ON task (n) WHERE state < 5;

-- name: info
SELECT number, first_n, tasks, first_at, last_at, first_minute, last_minute, created_at, touched_at FROM segment;

-- name: update
UPDATE segment SET tasks = :tasks, first_at = :first_at, last_at = :last_at,
    first_minute = :first_minute, last_minute = :last_minute, touched_at = :touched_at;

-- name: note_tens
INSERT INTO tens (id) VALUES (1);

-- name: has_tens
SELECT count(*) FROM tens;

-- name: find_word
SELECT id FROM word WHERE word = ?;

-- name: put_word
INSERT INTO word (word) VALUES (?) RETURNING id;

-- name: word
SELECT word FROM word WHERE id = ?;

-- name: put_task
-- Stand-ins for NULL, which costs more to hand over: 0 for words, root and parent, '' for the exception.
INSERT INTO task (n, id, name, state, worker, queue, sent_at, received_at, started_at, finished_at, wait, run,
    retries, updated_at, rerun, root, parent, exception)
VALUES (?1, ?2, nullif(?3, 0), ?4, nullif(?5, 0), nullif(?6, 0), ?7, ?8, ?9, ?10, ?11, ?12, ?13, nullif(?14, ?10), ?15,
    nullif(?16, 0), nullif(?17, 0), nullif(?18, ''))
ON CONFLICT (n) DO UPDATE SET name = excluded.name, state = excluded.state, worker = excluded.worker,
    queue = excluded.queue, sent_at = excluded.sent_at, received_at = excluded.received_at,
    started_at = excluded.started_at, finished_at = excluded.finished_at, wait = excluded.wait, run = excluded.run,
    retries = excluded.retries, updated_at = excluded.updated_at, rerun = excluded.rerun, root = excluded.root,
    parent = excluded.parent, exception = excluded.exception;

-- name: add_usual_task
-- A new one with nothing special about it, succeeded (state 5), its own root; see plain.py.
INSERT INTO task (n, id, name, state, worker, queue, sent_at, received_at, started_at, finished_at, wait, run,
    retries, updated_at, rerun, root, parent, exception)
VALUES (?1, ?2, ?3, 5, nullif(?4, 0), nullif(?5, 0), ?6, ?7, ?8, ?9, ?10, ?11, 0, NULL, 0, NULL, NULL, NULL);

-- name: put_bundle
INSERT INTO bundle (first, data) VALUES (?, ?);

-- name: has_bundles
SELECT count(*) FROM {schema}.sqlite_schema WHERE name = 'bundle';

-- name: bundle_at
-- The bundle that a record is in, if it is in any.
SELECT first, data FROM {schema}.bundle WHERE first <= ? ORDER BY first DESC LIMIT 1;

-- name: bundles
-- Those that may have records with ?1 <= n < ?2.
SELECT data FROM bundle
WHERE first >= coalesce((SELECT max(first) FROM bundle WHERE first <= ?1), ?1) AND first < ?2 ORDER BY first;

-- name: put_record
INSERT OR REPLACE INTO record (n, body, args, kwargs, result, traceback) VALUES (?, ?, ?, ?, ?, ?);

-- name: put_late
INSERT OR IGNORE INTO late (n) VALUES (?);

-- name: ids
SELECT id FROM task;

-- name: sums
SELECT coalesce((SELECT word FROM word WHERE id = name), ''), cells FROM rollup
WHERE step = ? AND at >= ? AND at < ? AND name <> 0;

-- name: ids_by_stretches
SELECT count(*) FROM sqlite_schema WHERE name = 'task_id';

-- name: names
SELECT word FROM word WHERE id IN (SELECT DISTINCT name FROM task) LIMIT 10000;

-- name: rollup
SELECT cells FROM rollup WHERE step = ? AND at = ? AND name = ?;

-- name: first_of
SELECT 1 FROM main.rollup WHERE step = ? LIMIT 1;

-- name: minutes
SELECT at, name, cells FROM main.rollup WHERE step = ? ORDER BY at;

-- name: put_rollup
INSERT OR REPLACE INTO rollup (step, at, name, cells) VALUES (?, ?, ?, ?);

-- name: drop_rollup
DELETE FROM rollup WHERE step = ? AND at = ? AND name = ?;

-- name: put_exception
INSERT INTO exception (minute, name, type, count) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET count = count + excluded.count;

-- name: drop_exceptions
DELETE FROM exception WHERE minute = ? AND name = ? AND type = ? AND count = 0;
