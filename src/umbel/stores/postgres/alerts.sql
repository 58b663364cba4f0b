-- What alerting remembers.

-- name: lead
INSERT INTO alert (shelf, key, at, data) VALUES ('lead', '-', %s, %s)
ON CONFLICT (shelf, key) DO UPDATE SET at = excluded.at, data = excluded.data
WHERE alert.data = excluded.data OR alert.at <= %s
RETURNING data;

-- name: leave
UPDATE alert SET at = 0 WHERE shelf = 'lead' AND data = %s;

-- name: leader
SELECT data, at FROM alert WHERE shelf = 'lead';

-- name: hold
SELECT data FROM alert WHERE shelf = 'lead' FOR UPDATE;

-- name: put
INSERT INTO alert (shelf, key, at, data) VALUES (%s, %s, %s, %s)
ON CONFLICT (shelf, key) DO UPDATE SET at = excluded.at, data = excluded.data;

-- name: drop
DELETE FROM alert WHERE shelf = %s AND key = %s;

-- name: trim
DELETE FROM alert WHERE shelf = %s AND key IN (
    SELECT key FROM alert WHERE shelf = %s ORDER BY at DESC, key DESC OFFSET %s);

-- name: read
SELECT key, at, data FROM alert WHERE shelf = %s ORDER BY at DESC, key DESC LIMIT %s;
