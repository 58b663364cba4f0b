-- What the operator's side asks.

-- name: tables
SELECT c.relname, EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid), pg_total_relation_size(c.oid)
FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' ORDER BY c.relname;

-- name: parts
SELECT number, dropping, coalesce(sum(tasks), 0)::bigint FROM part LEFT JOIN share ON share.part = part.number
GROUP BY number ORDER BY number;

-- name: count
SELECT count(*), count(DISTINCT n) FROM task WHERE part = %s;

-- name: doubled
SELECT count(*) FROM (SELECT id FROM task GROUP BY id HAVING count(*) > 1) AS twice;

-- name: size
SELECT pg_total_relation_size(to_regclass(%s));
