-- What upkeep does.

-- name: lease
SELECT version, at, data FROM entry FINAL WHERE kind = 'lease';

-- name: drop_part
ALTER TABLE $table$local $on_cluster DROP PARTITION $number;

-- name: tasks_of_part
SELECT uniqExact(id) FROM place WHERE n >= {low:UInt64} AND n < {high:UInt64};

-- Spans outside of a part that hold rows of tasks first seen in it.
-- name: left_behind
SELECT DISTINCT intDiv(arrayJoin(ns) AS other, $span) FROM stray
WHERE n >= {low:UInt64} AND n < {high:UInt64} AND (other < {low:UInt64} OR other >= {high:UInt64});

-- name: drop_spans
DELETE FROM entry$local $on_cluster
WHERE kind IN ('touch', 'rolled', 'link', 'weeded') AND number >= {low:UInt64} AND number < {high:UInt64};

-- name: old_rollups
SELECT DISTINCT span, version FROM rollup
WHERE version < {before:UInt64} AND (span, version) NOT IN (
    SELECT number, version FROM entry FINAL WHERE kind = 'rolled')
LIMIT {most:UInt64};

-- name: drop_old_rollups
DELETE FROM rollup$local $on_cluster WHERE (span, version) IN {old:Array(Tuple(UInt64, UInt64))};

-- name: old_workers
SELECT hostname, pid FROM worker GROUP BY hostname, pid HAVING max(seen_at) < {oldest:Float64} LIMIT {most:UInt64};

-- name: drop_old_workers
DELETE FROM worker$local $on_cluster WHERE (hostname, pid) IN {old:Array(Tuple(String, UInt64))};

-- When the worker beyond the bound was seen.
-- name: surplus_workers
SELECT max(seen_at) AS seen FROM worker GROUP BY hostname, pid ORDER BY seen DESC LIMIT 1 OFFSET {rows:UInt64};

-- name: sizes
SELECT kind, count(), sum(number) FROM entry FINAL WHERE kind IN ('ledger', 'quarantine', 'name') GROUP BY kind;

-- The last that is kept of a kind: where count or bytes run out, newest first.
-- name: last_kept
SELECT at, key FROM (
    SELECT at, key, row_number() OVER newest AS rows, sum(number) OVER newest AS bytes
    FROM entry FINAL WHERE kind = {kind:String}
    WINDOW newest AS (ORDER BY at DESC, key DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))
WHERE rows <= {rows:UInt64} AND ({bytes:UInt64} = 0 OR bytes <= {bytes:UInt64})
ORDER BY at, key LIMIT 1;

-- name: trim
DELETE FROM entry$local $on_cluster WHERE kind = {kind:String} AND (at, key) < ({at:Float64}, {key:String});
