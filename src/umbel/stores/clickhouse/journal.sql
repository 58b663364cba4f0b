-- What people enter: rows of `entry`, of which that with the greatest version counts; one without data was dropped.

-- name: read
SELECT key, at, data FROM entry FINAL WHERE kind = {kind:String} AND at >= {since:Float64} AND data != ''
ORDER BY at DESC, key DESC LIMIT {limit:UInt64};

-- name: versions
SELECT key, max(version) FROM entry WHERE kind = {kind:String} AND key IN {keys:Array(String)} GROUP BY key;

-- name: find
SELECT key, at, data FROM entry FINAL WHERE kind = {kind:String} AND key IN {keys:Array(String)} AND data != '';

-- name: under
SELECT key, at, data FROM entry FINAL WHERE kind = {kind:String} AND startsWith(key, {stem:String}) AND data != ''
ORDER BY at DESC, key DESC LIMIT {limit:UInt64};

-- name: beyond
SELECT key, at FROM entry FINAL WHERE kind = {kind:String} AND data != ''
ORDER BY at DESC, key DESC LIMIT 1000 OFFSET {entries:UInt64};
