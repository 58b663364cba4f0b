-- The audit trail: a file of its own, because several webs write to it and the store belongs to the collector.

-- name: begin
INSERT INTO action (at, who, origin, what, via, arguments, destination) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: end
INSERT INTO outcome (action, at, replies) VALUES (?, ?, ?);

-- name: read
SELECT action.id, action.at, who, origin, what, via, arguments, destination, outcome.at, replies
FROM action LEFT JOIN outcome ON outcome.action = action.id
WHERE action.id < ? ORDER BY action.id DESC LIMIT ?;

-- name: trim
DELETE FROM action WHERE id <= (SELECT max(id) FROM action) - ?;

-- name: trim_bytes
DELETE FROM action WHERE id IN (SELECT id FROM action ORDER BY id LIMIT 1000)
    AND (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())
        - (SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()) > ?;

-- name: trim_outcomes
DELETE FROM outcome WHERE action < (SELECT coalesce(min(id), 0) FROM action);
