-- What people enter.

-- name: put
INSERT INTO journal (kind, key, at, texts) VALUES (%s, %s, %s, %s)
ON CONFLICT (kind, key) DO UPDATE SET at = excluded.at, texts = excluded.texts;

-- name: trim
DELETE FROM journal WHERE kind = %s AND key IN (
    SELECT key FROM journal WHERE kind = %s ORDER BY at DESC, key DESC OFFSET %s);

-- name: drop
DELETE FROM journal WHERE kind = %s AND key = ANY(%s);

-- name: read
SELECT key, at, texts FROM journal WHERE kind = %s AND at >= %s ORDER BY at DESC, key DESC LIMIT %s;

-- name: find
SELECT key, at, texts FROM journal WHERE kind = %s AND key = ANY(%s);

-- name: under
SELECT key, at, texts FROM journal WHERE kind = %s AND key >= %s AND starts_with(key, %s)
ORDER BY at DESC, key DESC LIMIT %s;
