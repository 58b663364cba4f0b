-- What alerting remembers: a file of its own beside the store, which belongs to the collector.

-- name: lead
INSERT INTO alert (shelf, key, at, data) VALUES ('lead', '-', ?1, ?2)
ON CONFLICT DO UPDATE SET at = excluded.at, data = excluded.data WHERE alert.data = excluded.data OR alert.at <= ?3
RETURNING data;

-- name: leave
UPDATE alert SET at = 0 WHERE shelf = 'lead' AND data = ?;

-- name: leader
SELECT data, at FROM alert WHERE shelf = 'lead';

-- name: put
INSERT INTO alert (shelf, key, at, data) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET at = excluded.at, data = excluded.data;

-- name: drop
DELETE FROM alert WHERE shelf = ? AND key = ?;

-- name: trim
DELETE FROM alert WHERE shelf = ?1 AND key IN (
    SELECT key FROM alert WHERE shelf = ?1 ORDER BY at DESC, key DESC LIMIT -1 OFFSET ?2);

-- name: read
SELECT key, at, data FROM alert WHERE shelf = ? ORDER BY at DESC, key DESC LIMIT ?;
