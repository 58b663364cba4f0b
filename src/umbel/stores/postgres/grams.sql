-- What making indexes of texts asks.

-- name: extension
SELECT nspname FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = %s;

-- name: state
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s);
