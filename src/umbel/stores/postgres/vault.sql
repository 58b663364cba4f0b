-- Who has signed in, and API tokens: hashes alone.

-- name: put
INSERT INTO credential (digest, kind, owner, created_at, expires_at, about) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (digest) DO NOTHING;

-- name: get
SELECT digest, kind, owner, created_at, expires_at, about FROM credential WHERE digest = %s;

-- name: listed
SELECT digest, kind, owner, created_at, expires_at, about FROM credential
WHERE kind = %s AND (%s::text IS NULL OR owner = %s) ORDER BY created_at DESC, digest LIMIT %s;

-- name: drop
DELETE FROM credential WHERE digest = %s;

-- name: drop_all
DELETE FROM credential WHERE kind = %s AND owner = %s;

-- name: prune
DELETE FROM credential WHERE expires_at < %s;
