-- What searches of texts ask of a segment that is not sealed.

-- name: made
SELECT number, created_at FROM segment;

-- name: late
SELECT n FROM late LIMIT ?;

-- name: ended
-- Numbers of pieces that have tasks of these that have ended since.
SELECT DISTINCT (task.n - ?1) / ?2 FROM json_each(?3) AS open CROSS JOIN task ON task.n = open.value
WHERE task.state IN (SELECT value FROM json_each(?4));

-- name: pack
SELECT count(*), json_group_array(n) FILTER (WHERE state NOT IN (SELECT value FROM json_each(?3))),
    CAST(group_concat(exception, char(10)) AS BLOB)
FROM task WHERE n >= ?1 AND n < ?2;

-- name: texts
SELECT CAST(group_concat(args, char(10)) AS BLOB), CAST(group_concat(kwargs, char(10)) AS BLOB),
    CAST(group_concat(result, char(10)) AS BLOB)
FROM record WHERE n >= ?1 AND n < ?2;

-- name: words
SELECT word FROM word WHERE typeof(word) = 'text';
