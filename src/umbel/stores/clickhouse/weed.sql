-- Dropping tasks by rules: $told are tasks with what rules ask of them, $cutoff when one is too old.

-- Tasks of each span that go, and that stay.
-- name: weeds
SELECT intDiv(n0, $span) AS span, countIf(updated_at < $cutoff) AS gone, countIf(NOT updated_at < $cutoff) AS staying
FROM ($told) GROUP BY span;

-- name: doom
INSERT INTO doomed (n, id) SELECT n0, id FROM ($told) WHERE updated_at < $cutoff;

-- name: any_doomed
SELECT count() FROM doomed;

-- Partitions that hold rows of what is doomed, and between which n.
-- name: places
SELECT intDiv(m, $part) AS number, min(m), max(m) FROM (
    SELECT n AS m FROM doomed
    UNION ALL SELECT arrayJoin(ns) AS m FROM stray WHERE (n, id) IN (SELECT n, id FROM doomed)
)
GROUP BY number ORDER BY number;

-- All rows of a task lie on one shard, so each looks at its own.
-- name: drop_doomed
DELETE FROM $table$local $on_cluster IN PARTITION $number
WHERE n >= $low AND n <= $high AND id IN (SELECT id FROM doomed$local);

-- name: forget_doomed
TRUNCATE TABLE doomed$local $on_cluster;
