-- What the store holds, part by part.

-- name: part_bytes
SELECT partition, toUInt64(sum(bytes_on_disk)) FROM system.parts
WHERE database = {database:String} AND active AND table IN {tables:Array(String)} GROUP BY partition;

-- name: cluster_part_bytes
SELECT partition, toUInt64(sum(bytes_on_disk)) FROM cluster({cluster:String}, system.parts)
WHERE database = {database:String} AND active AND table IN {tables:Array(String)} GROUP BY partition;

-- Tasks with what rules of retention ask of them.
-- name: told
SELECT id, n0, f_name AS name, f_top.3 AS rank,
    greatest(f_sent_at, if(f_received < 0, -1., f_first), f_started, f_custom.1,
        arrayMax(arrayPushBack(arrayMap(run -> if(run.1 > 2, run.2, -1.), f_runs), -1.))) AS updated_at
FROM (SELECT $facts FROM task WHERE $source GROUP BY id) WHERE $chosen;

-- By name and state, how many tasks there are and how many of them are older than each of some times.
-- name: ages
SELECT name, rank, count(), $older FROM ($told) GROUP BY name, rank;
