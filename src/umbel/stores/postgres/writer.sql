-- What the writer asks. Its tables are found by search_path.

-- name: has_table
SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %s AND relname = %s);

-- name: schema
SELECT count(DISTINCT n.oid), count(c.oid) FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid WHERE nspname = %s;

-- name: create_migrations
CREATE TABLE migration (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now());

-- name: version
SELECT coalesce(max(version), 0) FROM migration;

-- name: put_migration
INSERT INTO migration (version, name) VALUES (%s, %s);

-- name: patience
SELECT set_config('lock_timeout', %s, true);

-- name: take_lock
SELECT pg_advisory_xact_lock(%s, %s);

-- name: try_lock
SELECT pg_try_advisory_xact_lock(%s, %s);

-- name: share_lock
SELECT pg_advisory_xact_lock_shared(%s, %s);

-- name: try_session_lock
SELECT pg_try_advisory_lock(%s, %s);

-- name: notify
SELECT pg_notify(%s, '');

-- name: begin_book
INSERT INTO book (slot) VALUES (%s) ON CONFLICT DO NOTHING;

-- name: make_incoming
CREATE TEMPORARY TABLE incoming (LIKE task) ON COMMIT DELETE ROWS;

-- name: make_changed
CREATE TEMPORARY TABLE changed (LIKE task) ON COMMIT DELETE ROWS;

-- name: make_cells
CREATE TEMPORARY TABLE new_cells (LIKE rollup) ON COMMIT DELETE ROWS;

-- name: newest
SELECT number, created_at, ending, extract(epoch FROM clock_timestamp())::double precision,
    (SELECT coalesce(sum(tasks), 0)::bigint FROM share WHERE share.part = part.number)
FROM part ORDER BY number DESC LIMIT 1;

-- name: parts
SELECT number, first_n, created_at, dropping, coalesce(sum(tasks), 0)::bigint,
    coalesce(max(touched_at), created_at)
FROM part LEFT JOIN share ON share.part = part.number GROUP BY number ORDER BY number;

-- name: put_part
INSERT INTO part (number, first_n, created_at, unnoted)
SELECT coalesce(max(number), 0) + 1, (SELECT last_value + is_called::integer FROM task_n),
    least(%s, extract(epoch FROM clock_timestamp()) + %s), (SELECT coalesce(sum(commits - noted), 0) FROM book)
FROM part;

-- name: tables
SELECT c.relname, EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid),
    EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhdetachpending)
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND c.relname = ANY(%s);

-- name: part_bytes
SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint FROM unnest(%s::text[]) AS name;

-- name: bytes
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r';

-- name: set_ending
UPDATE part SET ending = true WHERE number = %s;

-- name: set_dropping
UPDATE part SET dropping = true WHERE number = %s;

-- name: forget_shares
DELETE FROM share WHERE part NOT IN (SELECT number FROM part WHERE number <> %s);

-- name: forget_zones
DELETE FROM zone WHERE part = %s;

-- name: forget_filter
DELETE FROM id_filter WHERE part = %s;

-- name: forget_part
DELETE FROM part WHERE number = %s;

-- name: where
SELECT id, part FROM task WHERE part = ANY(%s) AND id = ANY(%s);

-- name: where_in, pair by pair
SELECT task.id, task.part FROM unnest(%s::integer[], %s::text[]) AS wanted (part, id)
JOIN task ON task.part = wanted.part AND task.id = wanted.id;

-- name: part_numbers, the newest first
SELECT number FROM part ORDER BY number DESC;

-- name: filter_sizes, the newest first
SELECT part, octet_length(bits) FROM id_filter WHERE part = ANY(%s) ORDER BY part DESC;

-- name: filter
SELECT bits FROM id_filter WHERE part = %s;

-- name: numbers
SELECT nextval('task_n') FROM generate_series(1, %s);

-- name: put_share
INSERT INTO share (part, slot, tasks, first_at, last_at, first_minute, last_minute, touched_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (part, slot) DO UPDATE SET tasks = share.tasks + excluded.tasks,
    first_at = least(share.first_at, excluded.first_at), last_at = greatest(share.last_at, excluded.last_at),
    first_minute = least(share.first_minute, excluded.first_minute),
    last_minute = greatest(share.last_minute, excluded.last_minute),
    touched_at = greatest(share.touched_at, excluded.touched_at);

-- name: put_zones
INSERT INTO zone AS old (part, number, slot, first_at, last_at)
SELECT new.part, new.number, put.slot, new.first_at, new.last_at
FROM (SELECT %s::smallint AS slot) AS put, unnest(%s::integer[], %s::bigint[], %s::float8[], %s::float8[])
    AS new (part, number, first_at, last_at)
ON CONFLICT (part, number, slot) DO UPDATE SET
    first_at = least(old.first_at, excluded.first_at), last_at = greatest(old.last_at, excluded.last_at);

-- name: take_tasks
INSERT INTO share (part, slot, tasks, first_at, last_at, first_minute, last_minute, touched_at)
VALUES (%s, %s, %s, 'infinity', '-infinity', 1::bigint << 60, -1, %s)
ON CONFLICT (part, slot) DO UPDATE SET tasks = share.tasks + excluded.tasks;

-- name: cells
SELECT step, at, key, cells FROM rollup
WHERE part = %s AND slot = %s
    AND (step, at, key) IN (SELECT * FROM unnest(%s::integer[], %s::bigint[], %s::uuid[]));

-- name: put_cells
INSERT INTO rollup (part, slot, step, at, key, name, cells) SELECT part, slot, step, at, key, name, cells FROM new_cells
ON CONFLICT (step, at, key, slot, part) DO UPDATE SET cells = excluded.cells;

-- name: touch_days
INSERT INTO touched AS old (day, slot, commits, at)
SELECT day, put.slot, 1, put.at FROM (SELECT %s::smallint AS slot, %s::double precision AS at) AS put, unnest(%s::integer[]) AS day
ON CONFLICT (day, slot) DO UPDATE SET commits = old.commits + 1, at = greatest(old.at, excluded.at);

-- name: put_exception
INSERT INTO exception (part, slot, minute, key, type, name, count) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (minute, key, type, slot, part) DO UPDATE SET count = exception.count + excluded.count;

-- name: commit
UPDATE book SET commits = commits + 1, noted = noted + 1, token = %(token)s, stored = stored + %(stored)s, committed_at = %(at)s,
    commit_seconds = %(seconds)s, captured_at = greatest(captured_at, %(captured_at)s),
    quarantine_dropped = quarantine_dropped + %(dropped)s
WHERE slot = %(slot)s;

-- name: touch
UPDATE book SET commits = commits + 1, noted = noted + 1 WHERE slot = %s;

-- name: token
SELECT token FROM book WHERE slot = %s FOR UPDATE;

-- name: position
SELECT value FROM position WHERE source = %s;

-- name: positions
SELECT source, value FROM position WHERE starts_with(source, %s);

-- name: forget_position
DELETE FROM position WHERE source = %s;

-- name: put_position
INSERT INTO position (source, value) VALUES (%s, %s) ON CONFLICT (source) DO UPDATE SET value = excluded.value;

-- name: discard
INSERT INTO discarded (slot, reason, event_class, count) VALUES (%s, %s, %s, %s)
ON CONFLICT (slot, reason, event_class) DO UPDATE SET count = discarded.count + excluded.count;

-- name: miss
INSERT INTO missed (slot, worker, count) VALUES (%s, %s, %s)
ON CONFLICT (slot, worker) DO UPDATE SET count = missed.count + excluded.count;

-- name: room_to_miss
SELECT EXISTS (SELECT FROM missed WHERE slot = %s AND worker = %s) OR (SELECT count(*) FROM missed) < %s;

-- name: last_entry
SELECT id, first_at, last_at FROM ledger
WHERE slot = %s AND reason = %s AND event_class = %s AND worker = %s AND estimated = %s AND detail = %s
ORDER BY id DESC LIMIT 1;

-- name: extend_entry
UPDATE ledger SET first_at = least(first_at, %s), last_at = greatest(last_at, %s), count = count + %s WHERE id = %s;

-- name: put_entry
INSERT INTO ledger (slot, reason, event_class, first_at, last_at, count, estimated, worker, detail)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s);

-- name: trim_ledger
DELETE FROM ledger WHERE id <= (SELECT id FROM ledger ORDER BY id DESC LIMIT 1 OFFSET %s);

-- name: put_quarantine
INSERT INTO quarantine (at, reason, error, content_type, raw) VALUES (%s, %s, %s, %s, %s);

-- name: trim_quarantine
DELETE FROM quarantine WHERE id <= (
    SELECT max(id) FROM (
        SELECT id, count(*) OVER newer AS rows, sum(octet_length(raw) + octet_length(error)) OVER newer AS bytes
        FROM quarantine WINDOW newer AS (ORDER BY id DESC)
    ) AS kept WHERE rows > %s OR bytes > %s
);

-- name: worker
SELECT hostname, pid, record FROM worker WHERE slot = %s AND (hostname, pid) IN (SELECT * FROM unnest(%s::text[], %s::bigint[]));

-- name: workers
SELECT record FROM worker WHERE (hostname, pid) IN (
    SELECT hostname, pid FROM worker GROUP BY hostname, pid ORDER BY max(seen_at) DESC LIMIT %s
) ORDER BY seen_at DESC;

-- name: put_worker
INSERT INTO worker (hostname, pid, slot, seen_at, record) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (hostname, pid, slot) DO UPDATE SET seen_at = excluded.seen_at, record = excluded.record;

-- name: drop_old_workers
DELETE FROM worker WHERE (hostname, pid, slot) IN (SELECT hostname, pid, slot FROM worker WHERE seen_at < %s LIMIT 1000);

-- name: trim_workers
DELETE FROM worker WHERE (hostname, pid) IN (
    SELECT hostname, pid FROM worker GROUP BY hostname, pid ORDER BY max(seen_at) DESC LIMIT 1000 OFFSET %s
);

-- name: put_name
INSERT INTO name (key, name, seen_at) VALUES (%s, %s, %s)
ON CONFLICT (key) DO UPDATE SET seen_at = greatest(name.seen_at, excluded.seen_at);

-- name: trim_names
DELETE FROM name WHERE key IN (SELECT key FROM name ORDER BY seen_at DESC LIMIT 1000 OFFSET %s);

-- name: meter_pairs
SELECT kind, a, b, max(at) FROM meter WHERE slot = %s GROUP BY kind, a, b;

-- name: drop_meter
DELETE FROM meter WHERE slot = %s AND kind = %s AND a = %s AND b = %s;

-- name: add_meters, the kind that is put and not added up after the slot
WITH put AS (SELECT %s::smallint AS slot, %s::smallint AS latest)
INSERT INTO meter AS old (slot, kind, a, b, c, count, seconds, at)
SELECT put.slot, new.kind, new.a, new.b, new.c, new.count, new.seconds, new.at
FROM put, unnest(%s::smallint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::float8[], %s::float8[])
    AS new (kind, a, b, c, count, seconds, at)
ON CONFLICT (slot, kind, a, b, c) DO UPDATE SET count = old.count + excluded.count, at = excluded.at,
    seconds = excluded.seconds + CASE WHEN old.kind = (SELECT latest FROM put) THEN 0 ELSE old.seconds END;
