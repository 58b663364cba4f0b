-- What the writer asks of the catalog.

-- name: begin_book
INSERT OR IGNORE INTO book (id, born) VALUES (1, ?);

-- name: clean
SELECT clean FROM book;

-- name: set_clean
UPDATE book SET clean = ?;

-- name: commit
UPDATE book SET commits = commits + 1, stored = stored + :stored, committed_at = :at, commit_seconds = :seconds,
    captured_at = max(captured_at, :captured_at), quarantine_dropped = quarantine_dropped + :dropped;

-- name: touch
UPDATE book SET commits = commits + 1;

-- name: position
SELECT value FROM position WHERE source = ?;

-- name: positions
SELECT source, value FROM position WHERE substr(source, 1, ?) = ?;

-- name: forget_position
DELETE FROM position WHERE source = ?;

-- name: put_position
INSERT INTO position (source, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value;

-- name: discard
INSERT INTO discarded (reason, event_class, count) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count;

-- name: miss
INSERT INTO missed (worker, count) VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count;

-- name: is_missed
SELECT 1 FROM missed WHERE worker = ?;

-- name: count_missed
SELECT count(*) FROM missed;

-- name: last_entry
SELECT id, first_at, last_at FROM ledger WHERE reason = ? AND event_class = ? AND worker = ? AND estimated = ? AND detail = ?
ORDER BY id DESC LIMIT 1;

-- name: extend_entry
UPDATE ledger SET first_at = min(first_at, ?), last_at = max(last_at, ?), count = count + ? WHERE id = ?;

-- name: put_entry
INSERT INTO ledger (reason, event_class, first_at, last_at, count, estimated, worker, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: trim_ledger
DELETE FROM ledger WHERE id <= (SELECT max(id) FROM ledger) - ?;

-- name: put_quarantine
INSERT INTO quarantine (at, reason, error, content_type, raw) VALUES (?, ?, ?, ?, ?);

-- name: quarantine_sizes
SELECT id, length(raw) + length(error) FROM quarantine ORDER BY id DESC;

-- name: trim_quarantine
DELETE FROM quarantine WHERE id <= ?;

-- name: worker
SELECT record FROM worker WHERE hostname = ? AND pid = ?;

-- name: workers
SELECT record FROM worker ORDER BY seen_at DESC LIMIT ?;

-- name: put_worker
INSERT INTO worker (hostname, pid, seen_at, record) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET seen_at = excluded.seen_at, record = excluded.record;

-- name: drop_old_workers
DELETE FROM worker WHERE (hostname, pid) IN (SELECT hostname, pid FROM worker WHERE seen_at < ? ORDER BY seen_at LIMIT 1000);

-- name: trim_workers
DELETE FROM worker WHERE (hostname, pid) IN (SELECT hostname, pid FROM worker ORDER BY seen_at DESC LIMIT 1000 OFFSET ?);

-- name: put_name
INSERT INTO name (name, seen_at) VALUES (?, ?) ON CONFLICT DO UPDATE SET seen_at = max(seen_at, excluded.seen_at);

-- name: trim_names
DELETE FROM name WHERE name IN (SELECT name FROM name ORDER BY seen_at DESC LIMIT 1000 OFFSET ?);

-- name: segments
SELECT number, first_n, tasks, first_at, last_at, first_minute, last_minute, created_at, touched_at, filtered, dropping,
    generation
FROM segment ORDER BY number;

-- name: put_segment
INSERT INTO segment (number, first_n, tasks, first_at, last_at, first_minute, last_minute, created_at, touched_at)
VALUES (:number, :first_n, :tasks, :first_at, :last_at, :first_minute, :last_minute, :created_at, :touched_at)
ON CONFLICT DO UPDATE SET first_n = excluded.first_n, tasks = excluded.tasks, first_at = excluded.first_at,
    last_at = excluded.last_at, first_minute = excluded.first_minute, last_minute = excluded.last_minute,
    created_at = excluded.created_at, touched_at = excluded.touched_at;

-- name: set_sealed
UPDATE segment SET generation = ?, sealed_at = ?, dropped = ? WHERE number = ?;

-- name: days
SELECT day FROM day;

-- name: put_day
INSERT OR REPLACE INTO day (day, whole) VALUES (?, ?);

-- name: put_day_rollup
INSERT INTO day_rollup (day, name, cells) VALUES (?, ?, ?);

-- The latest block that is not there although both of its halves are.
-- name: missing_block
SELECT half.first, 2 * half.days FROM unit AS half
WHERE half.days < ? AND half.first % (2 * half.days) = 0
    AND EXISTS (SELECT 1 FROM unit WHERE first = half.first + half.days AND days = half.days)
    AND NOT EXISTS (SELECT 1 FROM block WHERE first = half.first AND days = 2 * half.days)
ORDER BY half.first DESC LIMIT 1;

-- name: unit_rollups
SELECT name, cells FROM unit_rollup WHERE first = ? AND days = ?;

-- name: put_block
INSERT INTO block (first, days) VALUES (?, ?);

-- name: put_block_rollup
INSERT INTO block_rollup (first, days, name, cells) VALUES (?, ?, ?, ?);

-- name: hours
SELECT first FROM hours WHERE first >= ? AND hours = 2;

-- name: put_hours
INSERT OR REPLACE INTO hours (first, hours, whole) VALUES (?, ?, ?);

-- name: put_hours_rollup
INSERT INTO hours_rollup (first, hours, name, cells) VALUES (?, ?, ?, ?);

-- The latest sum that is not there although both of its halves are.
-- name: missing_hours
SELECT half.first, 2 * half.hours FROM hours AS half
WHERE half.whole AND half.hours < ? AND half.first % (2 * half.hours) = 0
    AND EXISTS (SELECT 1 FROM hours WHERE first = half.first + half.hours AND hours = half.hours AND whole)
    AND NOT EXISTS (SELECT 1 FROM hours WHERE first = half.first AND hours = 2 * half.hours)
ORDER BY half.first DESC LIMIT 1;

-- name: hours_rollups
SELECT name, cells FROM hours_rollup WHERE first = ? AND hours = ?;

-- name: dropped
SELECT dropped FROM segment WHERE number = ?;

-- name: set_filtered
UPDATE segment SET filtered = ? WHERE number = ?;

-- name: set_dropping
UPDATE segment SET dropping = 1 WHERE number = ?;

-- name: forget_segment
DELETE FROM segment WHERE number = ?;

-- name: put_set_aside
INSERT INTO set_aside (at, file) VALUES (?, ?);

-- name: trim_set_aside
DELETE FROM set_aside WHERE id <= (SELECT max(id) FROM set_aside) - ?;

-- name: stored_and_tasks
SELECT stored, (SELECT coalesce(sum(tasks - dropped), 0) FROM segment) FROM book;
