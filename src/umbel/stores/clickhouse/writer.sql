-- What the writer asks.

-- name: last
SELECT max(n) FROM task WHERE n < {bound:UInt64};

-- name: book
SELECT version, data FROM entry FINAL WHERE kind = 'book' AND key = {source:String};

-- name: positions
SELECT key, version, data FROM entry FINAL WHERE kind = 'book' AND startsWith(key, {prefix:String});

-- name: meters
SELECT key, version, data FROM entry FINAL WHERE kind = 'meter' AND startsWith(key, {prefix:String});

-- Of some ids, those that have rows in more than one place.
-- name: strays
SELECT id, groupUniqArray(n) AS ns FROM place WHERE id IN {ids:Array(String)} GROUP BY id HAVING length(ns) > 1;
