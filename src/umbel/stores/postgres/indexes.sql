-- What making indexes of texts asks.

-- name: extension
SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = %s;

-- name: state
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s);

-- name: tasks
SELECT coalesce(sum(tasks), 0)::bigint FROM share WHERE part = %s;

-- name: ids
SELECT id FROM task WHERE part = %s;

-- name: put_filter
INSERT INTO id_filter (part, bits) VALUES (%s, %s) ON CONFLICT DO NOTHING;
