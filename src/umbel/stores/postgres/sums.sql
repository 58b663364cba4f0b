-- Sums of days, for readers and for the collector that makes them.

-- name: stamps, each day's commits and when the latest was
SELECT day, sum(commits)::bigint, max(at) FROM touched WHERE day >= %s AND day < %s GROUP BY day;

-- name: unnoted, commits of collectors that enter nothing in `touched`, and all commits
SELECT coalesce(sum(commits - noted), 0)::bigint, coalesce(sum(commits), 0)::bigint FROM book;

-- name: sums
SELECT first, days, stamp, names IS NOT NULL FROM day_sum WHERE first >= %s AND first + days <= %s;

-- name: names
SELECT stamp, names FROM day_sum WHERE first = %s AND days = %s;

-- name: day, by name, of the parts that are there
SELECT name, cells FROM rollup
WHERE step = 86400 AND at = %s AND key <> %s AND part = ANY(ARRAY(SELECT number FROM part WHERE NOT dropping));

-- name: put
INSERT INTO day_sum (first, days, stamp, names) VALUES (%s, %s, %s, %s)
ON CONFLICT (first, days) DO UPDATE SET stamp = excluded.stamp, names = excluded.names;

-- name: forget
DELETE FROM day_sum;

-- name: forget_touched, of days before every part's
DELETE FROM touched WHERE day < (SELECT min(first_minute) / 1440 FROM share);
