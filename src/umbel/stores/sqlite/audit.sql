-- The audit trail: a file of its own, because several webs write to it and the store belongs to the collector.

-- name: begin
INSERT INTO action (at, who, origin, what, via, arguments, destination) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: end
INSERT INTO outcome (action, at, replies) VALUES (?, ?, ?);

-- name: denied_again
UPDATE denied SET times = times + 1, last_at = max(last_at, :at) WHERE alike = :alike;

-- name: denied
INSERT INTO denied (action, alike, who, why, times, last_at) VALUES (:action, :alike, :who, :why, 1, :at);

-- name: trim_denied
DELETE FROM action WHERE id IN (
    SELECT action FROM denied
    WHERE who = (SELECT who FROM denied GROUP BY who ORDER BY count(*) DESC LIMIT 1)
    ORDER BY action LIMIT max(0, (SELECT count(*) FROM denied) - ?)
);

-- name: forget_denied
DELETE FROM denied WHERE NOT EXISTS (SELECT 1 FROM action WHERE action.id = denied.action);

-- name: read
SELECT action.id, action.at, action.who, origin, what, via, arguments, destination, outcome.at, replies, times, last_at, why
FROM action LEFT JOIN outcome ON outcome.action = action.id LEFT JOIN denied ON denied.action = action.id
WHERE action.id < ? ORDER BY action.id DESC LIMIT ?;

-- name: trim
DELETE FROM action WHERE id NOT IN (SELECT action FROM denied) AND id <= (
    SELECT id FROM action WHERE id NOT IN (SELECT action FROM denied) ORDER BY id DESC LIMIT 1 OFFSET ?
);

-- name: trim_bytes
DELETE FROM action WHERE id IN (
        SELECT id FROM action WHERE id NOT IN (SELECT action FROM denied) ORDER BY id LIMIT 1000
    )
    AND (SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size())
        - (SELECT freelist_count * page_size FROM pragma_freelist_count(), pragma_page_size()) > ?;

-- name: trim_outcomes
DELETE FROM outcome WHERE NOT EXISTS (SELECT 1 FROM action WHERE action.id = outcome.action);
