-- What people enter: a file of its own beside the store, which belongs to the collector.

-- name: put
INSERT INTO entry (kind, key, at, texts) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET at = excluded.at, texts = excluded.texts;

-- name: trim
DELETE FROM entry WHERE kind = ?1 AND key IN (
    SELECT key FROM entry WHERE kind = ?1 ORDER BY at DESC, key DESC LIMIT -1 OFFSET ?2);

-- name: drop
DELETE FROM entry WHERE kind = ? AND key = ?;

-- name: read
SELECT key, at, texts FROM entry WHERE kind = ? AND at >= ? ORDER BY at DESC, key DESC LIMIT ?;

-- name: find
SELECT key, at, texts FROM entry WHERE kind = ? AND key = ?;

-- name: under
-- The unary plus keeps it from walking all of the kind by time.
SELECT key, at, texts FROM entry WHERE kind = ?1 AND key >= ?2 AND key < ?2 || char(0x10FFFF)
ORDER BY +at DESC, key DESC LIMIT ?3;
