-- What readers ask.

-- name: version
SELECT (SELECT born FROM store), (SELECT coalesce(sum(commits), 0) FROM book);

-- name: parts
SELECT number, first_n, (SELECT last_value + is_called::integer FROM task_n), sum(tasks)::bigint,
    min(first_at), max(last_at), min(first_minute), max(last_minute), max(touched_at)
FROM part JOIN share ON share.part = part.number
WHERE NOT dropping GROUP BY number ORDER BY number DESC;

-- Zones in which no task has a time in a span, of the parts of which zones tell all.
-- name: zones
SELECT part, zone.number FROM zone JOIN part ON part.number = zone.part
WHERE part = ANY(%s) AND unnoted = (SELECT sum(commits - noted) FROM book)
GROUP BY part, zone.number HAVING max(last_at) < %s OR min(first_at) > %s;

-- Parts whose texts are indexed.
-- name: indexed
SELECT substring(c.relname FROM '[0-9]+')::integer FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname ~ '^task_[0-9]+_texts$' AND i.indisvalid;

-- name: first_seen
SELECT coalesce(sent_at, received_at, started_at, finished_at, updated_at) FROM task WHERE part = %s AND n = %s;

-- name: part_bytes
SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint FROM unnest(%s::text[]) AS name;

-- name: older
SELECT name, state, width_bucket(updated_at, %s::double precision[]) AS reached, count(*) FROM task WHERE part = %s
GROUP BY name, state, reached;

-- name: positions
SELECT source, value FROM position;

-- name: where
SELECT id, part FROM task WHERE id = ANY(%s);

-- name: tasks
SELECT coalesce(sum(tasks), 0)::bigint FROM part JOIN share ON share.part = part.number WHERE NOT dropping;

-- name: names
SELECT name FROM name ORDER BY seen_at DESC, name LIMIT %s;

-- name: workers
SELECT record FROM worker WHERE (hostname, pid) IN (
    SELECT hostname, pid FROM worker GROUP BY hostname, pid ORDER BY max(seen_at) DESC LIMIT 10000
);

-- name: ledger
SELECT reason, event_class, first_at, last_at, count, estimated, worker, detail FROM ledger
WHERE last_at >= %s ORDER BY id DESC LIMIT %s;

-- name: quarantine
SELECT at, reason, error, content_type, raw FROM quarantine ORDER BY id DESC LIMIT %s;

-- name: book
SELECT coalesce(sum(stored), 0)::bigint, coalesce(max(committed_at), 0), coalesce(max(captured_at), 0),
    coalesce((SELECT commit_seconds FROM book ORDER BY committed_at DESC LIMIT 1), 0),
    (SELECT count(*) FROM quarantine),
    (SELECT coalesce(sum(tasks), 0)::bigint FROM part JOIN share ON share.part = part.number WHERE NOT dropping),
    (SELECT coalesce(max(number), 0) || ':' || count(*) FROM part)
FROM book;

-- name: discarded
SELECT reason, event_class, sum(count)::bigint FROM discarded GROUP BY reason, event_class ORDER BY reason, event_class;

-- name: meters, added up over slots but for the kind that is put: there the latest
SELECT kind, a, b, c, sum(count)::bigint,
    CASE WHEN kind = 4 THEN (array_agg(seconds ORDER BY at DESC))[1] ELSE sum(seconds) END
FROM meter GROUP BY kind, a, b, c;

-- name: missed
SELECT worker, sum(count)::bigint FROM missed GROUP BY worker ORDER BY worker;

-- name: bytes
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint
FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r';

-- name: rollup
SELECT at, cells FROM rollup WHERE part = ANY(%s) AND step = %s AND at >= %s AND at < %s AND key = %s;

-- name: rollup_names
SELECT name, cells FROM rollup WHERE part = ANY(%s) AND step = %s AND at >= %s AND at < %s AND key <> %s;

-- name: exceptions
SELECT type, name, sum(count)::bigint FROM exception WHERE part = ANY(%s) AND minute >= %s AND minute < %s GROUP BY type, name;
