-- What readers ask.

-- The rows of a stretch, and the others of its strays.
-- name: source
(n >= {low:UInt64} AND n < {high:UInt64} OR (n, id) IN (
    SELECT arrayJoin(ns), id FROM stray WHERE n >= {low:UInt64} AND n < {high:UInt64}))

-- name: newest_stretch
SELECT count(), min(n) FROM (
    SELECT n FROM task WHERE n >= {low:UInt64} AND n < {high:UInt64} ORDER BY n DESC LIMIT {length:UInt64});

-- name: oldest_stretch
SELECT count(), max(n) FROM (
    SELECT n FROM task WHERE n >= {low:UInt64} AND n < {high:UInt64} ORDER BY n LIMIT {length:UInt64});

-- name: records
SELECT $record FROM task WHERE (n, id) IN (SELECT n, id FROM place WHERE id IN {ids:Array(String)}) GROUP BY id;

-- name: children
SELECT DISTINCT id FROM task WHERE description.parent_id = {parent:String} AND id != {parent:String} LIMIT 10000;

-- name: version
SELECT toString(groupBitXor(cityHash64(key, latest))) FROM (
    SELECT key, max(version) AS latest FROM entry WHERE kind = 'book' GROUP BY key);

-- name: of_kind
SELECT data FROM entry FINAL WHERE kind = {kind:String} ORDER BY at DESC, key DESC LIMIT {limit:UInt64};

-- name: books
SELECT key, data FROM entry FINAL WHERE kind = 'book';

-- name: ledger
SELECT data FROM entry FINAL WHERE kind = 'ledger' AND at >= {since:Float64} ORDER BY number DESC, key DESC
LIMIT {limit:UInt64};

-- name: names
SELECT key FROM entry FINAL WHERE kind = 'name' ORDER BY at DESC, key LIMIT {limit:UInt64};

-- name: meters
SELECT data FROM entry FINAL WHERE kind = 'meter';

-- name: quarantined
SELECT count() FROM entry FINAL WHERE kind = 'quarantine';

-- name: workers
SELECT hostname, pid, max(online_at), max(offline_at), max(heartbeat), max(software), min(first_seen_at),
    max(seen_at) AS seen, max(task_seen_at), max(tally)
FROM worker GROUP BY hostname, pid ORDER BY seen DESC, hostname, pid LIMIT {limit:UInt64};

-- name: bytes
SELECT toUInt64(sum(bytes_on_disk)) FROM system.parts WHERE database = {database:String} AND active;

-- name: cluster_bytes
SELECT toUInt64(sum(bytes_on_disk)) FROM cluster({cluster:String}, system.parts)
WHERE database = {database:String} AND active;
