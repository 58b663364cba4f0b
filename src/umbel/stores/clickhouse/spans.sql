-- Spans of n: what was written to them, and what of it stands in `rollup`.

-- Each span with the touches of its own and of those that hold rows of its tasks.
-- name: spans
SELECT span, sumIf(version, touch), maxIf(at, touch), minIf(first_at, touch) AS first, maxIf(last_at, touch) AS last,
    maxIf(other, kind = 'rolled'), maxIf(version, kind = 'rolled'),
    if(countIf(kind = 'weeded') > 0, maxIf(tasks, kind = 'weeded'), maxIf(tasks, kind = 'rolled')),
    toBool(countIf(kind = 'weeded') > 0)
FROM (
    SELECT kind, kind = 'touch' AS touch, version, at, first_at, last_at, entry.other AS other,
        toUInt64OrZero(data) AS tasks,
        arrayJoin(if(touch, arrayPushFront(link.spans, entry.number), [entry.number])) AS span
    FROM entry FINAL
    LEFT JOIN (
        SELECT other, groupUniqArray(number) AS spans FROM entry WHERE kind = 'link' GROUP BY other
    ) AS link ON link.other = entry.number
    WHERE kind IN ('touch', 'rolled', 'weeded')
)
GROUP BY span HAVING first < {end:Float64} AND last >= {first:Float64}
ORDER BY span;

-- Rows by span, name, minute and code of the tasks whose least n lies in the spans; $source and $chosen say which.
-- A cell is a time (-1: none), a code, a duration that gives its bucket (-1: none), and the type of an exception.
-- name: cells
SELECT span, f_name AS name, toUInt32(intDiv(toUInt64(floor(cell.1)), 60)) AS minute,
    toUInt16(cell.2 + multiIf(cell.3 < 0, 0, cell.3 < $smallest, 0,
        toInt32(round(log(least(cell.3, $largest)) * $scale)) + $offset)) AS code,
    cell.4 AS type, count() AS count
FROM (
    SELECT f_name, intDiv(n0, $span) AS span, arrayJoin(arrayFilter(c -> c.1 >= 0, arrayConcat(
        [(f_sent_at, 0, -1., ''), (if(f_received < 0, -1., f_first), 1, -1., ''), (f_started, 2, -1., ''),
        (if(f_wait < 0, -1., f_started), 1000, f_wait, ''),
        (f_end, transform(f_top.3, [$ends], [$series], 0), -1., ''),
        (if(f_run < 0, -1., f_end), 2000, f_run, ''),
        (if(f_top.3 = $failed, f_end, -1.), 3000, -1., f_failed_type),
        (arrayMax(arrayPushBack(arrayMap(run -> if(run.1 = $rejected, run.2, -1.), f_runs), -1.)), 7, -1., '')],
        arrayMap(run -> (run.2, 5, -1., ''),
            arraySlice(arrayReverseSort(arrayFilter(run -> run.1 = $retried, f_runs)), 1, $most))
    ))) AS cell
    FROM (
        SELECT *, ifNull($wait, -1.) AS f_wait, ifNull($run, -1.) AS f_run, if(f_top.1 = 2, f_top.2, -1.) AS f_end
        FROM (SELECT $facts FROM task WHERE $source GROUP BY id) WHERE $chosen
    )
)
GROUP BY span, name, minute, code, type;

-- name: put_rollup
INSERT INTO rollup (span, version, step, minute, name, code, type, count)
SELECT span, {version:UInt64}, step, intDiv(minute, step) * step AS at, name, code, type, sum(count)
FROM ($cells) ARRAY JOIN [1, 60] AS step
GROUP BY span, step, at, name, code, type;

-- Tasks by the span of their least n.
-- name: tasks
SELECT intDiv(n0, $span) AS span, count() FROM (SELECT id, min(n) AS n0 FROM task WHERE $source GROUP BY id)
WHERE $chosen GROUP BY span;

-- name: sums
SELECT $key AS key, code, type, sum(count) FROM ($rows) WHERE $what GROUP BY key, code, type;

-- name: clean
SELECT minute, name, code, type, count FROM rollup
WHERE $covered AND span NOT IN {dirty:Array(UInt64)}
    AND (span, version) IN (SELECT number, version FROM entry FINAL WHERE kind = 'rolled');

-- name: live
SELECT minute, name, code, type, count FROM ($cells) WHERE minute >= {first:UInt64} AND minute < {end:UInt64};
