-- What alerting remembers: rows of `entry`, of which that with the greatest version counts; one without data was dropped.

-- name: leader
SELECT data, at FROM entry FINAL WHERE kind = 'alert-lead' AND key = '-' AND data != '';

-- name: read
SELECT key, at, data FROM entry FINAL WHERE kind = {kind:String} AND data != ''
ORDER BY at DESC, key DESC LIMIT {limit:UInt64};

-- name: beyond
SELECT key, at FROM entry FINAL WHERE kind = {kind:String} AND data != ''
ORDER BY at DESC, key DESC LIMIT 1000 OFFSET {rows:UInt64};

-- name: version
SELECT max(version) FROM entry WHERE kind IN {kinds:Array(String)};
