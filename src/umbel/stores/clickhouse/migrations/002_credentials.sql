-- Who has signed in, and API tokens: hashes alone; see access/base.py. A row that is gone replaces one that is not,
-- whatever the clocks of their writers say.
CREATE TABLE IF NOT EXISTS credential$local $on_cluster (
    digest String,
    kind LowCardinality(String),
    owner String,
    created_at Float64,
    expires_at Float64,
    about String,
    gone UInt8
) ENGINE = ${replicated}ReplacingMergeTree(gone) ORDER BY digest
TTL toDateTime(expires_at) + INTERVAL 7 DAY;
