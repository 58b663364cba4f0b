-- Who has signed in, and API tokens: hashes alone.

-- name: put
INSERT INTO credential (digest, kind, owner, created_at, expires_at, about) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO NOTHING;

-- name: get
SELECT digest, kind, owner, created_at, expires_at, about FROM credential WHERE digest = ?;

-- name: listed
SELECT digest, kind, owner, created_at, expires_at, about FROM credential
WHERE kind = ? AND (? IS NULL OR owner = ?) ORDER BY created_at DESC, digest LIMIT ?;

-- name: drop
DELETE FROM credential WHERE digest = ?;

-- name: drop_all
DELETE FROM credential WHERE kind = ? AND owner = ?;

-- name: prune
DELETE FROM credential WHERE expires_at < ?;
