-- Who has signed in, and API tokens: hashes alone.

-- name: get
SELECT digest, kind, owner, created_at, expires_at, about FROM credential FINAL
WHERE digest = {digest:String} AND gone = 0;

-- name: listed
SELECT digest, kind, owner, created_at, expires_at, about FROM credential FINAL
WHERE kind = {kind:String} AND ({any:UInt8} = 1 OR owner = {owner:String}) AND gone = 0
ORDER BY created_at DESC, digest LIMIT {limit:UInt32};

-- name: drop
INSERT INTO credential SELECT digest, kind, owner, created_at, expires_at, '{}', 1 FROM credential FINAL
WHERE digest = {digest:String} AND gone = 0;

-- name: drop_all
INSERT INTO credential SELECT digest, kind, owner, created_at, expires_at, '{}', 1 FROM credential FINAL
WHERE kind = {kind:String} AND owner = {owner:String} AND gone = 0;

-- name: prune
INSERT INTO credential SELECT digest, kind, owner, created_at, expires_at, '{}', 1 FROM credential FINAL
WHERE expires_at < {now:Float64} AND gone = 0;
