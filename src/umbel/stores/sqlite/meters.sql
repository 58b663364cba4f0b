-- Counters that only grow, in the catalog.

-- name: pairs
SELECT kind, a, b, at FROM meter;

-- name: counters
SELECT counters FROM meter WHERE kind = ? AND a = ? AND b = ?;

-- name: put
INSERT OR REPLACE INTO meter (kind, a, b, at, counters) VALUES (?, ?, ?, ?, ?);

-- name: drop
DELETE FROM meter WHERE kind = ? AND a = ? AND b = ?;

-- name: news
SELECT at, news FROM meter_news ORDER BY id;

-- name: put_news
INSERT INTO meter_news (at, news) VALUES (?, ?);

-- name: drop_news
DELETE FROM meter_news;
