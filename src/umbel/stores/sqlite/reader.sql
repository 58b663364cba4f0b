-- What readers ask of the catalog and the segments.

-- name: version
SELECT born, commits FROM book;

-- name: segments
SELECT number, first_n, tasks, first_at, last_at, first_minute, last_minute, filtered, generation, dropped FROM segment
WHERE dropping = 0 AND tasks > 0 ORDER BY number DESC;

-- name: names
SELECT name FROM name ORDER BY seen_at DESC, name LIMIT ?;

-- name: workers
SELECT record FROM worker ORDER BY seen_at DESC, hostname, pid LIMIT 10000;

-- name: meters
-- The sums first, then what came since in its order; one statement, so that no commit comes between.
SELECT 0 AS id, kind, a, b, counters FROM meter UNION ALL SELECT id, NULL, NULL, NULL, news FROM meter_news ORDER BY id;

-- name: ledger
SELECT reason, event_class, first_at, last_at, count, estimated, worker, detail FROM ledger
WHERE last_at >= ? ORDER BY id DESC LIMIT ?;

-- name: quarantine
SELECT at, reason, error, content_type, raw FROM quarantine ORDER BY id DESC LIMIT ?;

-- name: book
SELECT stored, committed_at, commit_seconds, captured_at FROM book;

-- name: positions
SELECT source, value FROM position;

-- name: discarded
SELECT reason, event_class, count FROM discarded;

-- name: missed
SELECT worker, count FROM missed;

-- name: tasks
SELECT coalesce(sum(tasks - dropped), 0) FROM segment WHERE dropping = 0;

-- name: set_aside
SELECT file FROM set_aside ORDER BY id DESC;

-- name: quarantined
SELECT count(*) FROM quarantine;

-- name: touched
SELECT touched_at FROM segment;

-- name: rollup_all
SELECT at, cells FROM rollup WHERE step = ? AND at >= ? AND at < ? AND name = 0;

-- name: rollup_name
SELECT at, cells FROM rollup WHERE step = ? AND at >= ? AND at < ? AND name = (SELECT id FROM word WHERE word = ?);

-- name: units
SELECT first, max(days) FROM unit WHERE first >= ?1 AND first + days <= ?2 GROUP BY first;

-- name: unit_rollups
SELECT name, cells FROM unit_rollup WHERE first = ? AND days = ?;

-- name: hours
SELECT first, max(hours) FROM hours WHERE first >= ?1 AND first + hours <= ?2 AND whole GROUP BY first;

-- name: hours_rollups
SELECT name, cells FROM hours_rollup WHERE first = ? AND hours = ?;

-- name: rollup_names
SELECT name, cells FROM rollup WHERE step = ? AND at >= ? AND at < ? AND name <> 0;

-- name: exceptions
SELECT type, name, sum(count) FROM exception WHERE minute >= ? AND minute < ? GROUP BY type, name;

-- name: generation
SELECT generation FROM segment WHERE number = ? AND dropping = 0;

-- name: notes_late
SELECT count(*) FROM sqlite_schema WHERE name = 'late';

-- name: has_tens_table
SELECT count(*) FROM sqlite_schema WHERE name = 'tens';

-- name: has_tens
SELECT count(*) FROM tens;

-- name: notes_open
SELECT count(*) FROM sqlite_schema WHERE name = 'task_open';

-- name: open
SELECT n FROM task INDEXED BY task_open WHERE state < 5 LIMIT ?;
