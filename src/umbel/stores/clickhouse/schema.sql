-- name: make_database
CREATE DATABASE IF NOT EXISTS $database $on_cluster;

-- name: make_migration
CREATE TABLE IF NOT EXISTS migration$local $on_cluster (version UInt32, name String, at Float64)
ENGINE = ${replicated}MergeTree ORDER BY version;

-- name: distribute
CREATE TABLE IF NOT EXISTS {table} $on_cluster AS {table}_local
ENGINE = Distributed('{cluster}', '{database}', '{table}_local', {key});

-- name: version
SELECT max(version) FROM migration;
