-- $local, $on_cluster, $replicated, $part and $per_part are filled in by schema.py.

-- A task's record as aggregate states, one row for each (n, id) after merges. n: when it was first seen, microseconds
-- since the epoch, made unique by its writer. An absent register has the time -1, which loses against any other.
CREATE TABLE IF NOT EXISTS task$local $on_cluster (
    n UInt64 CODEC(Delta, ZSTD),
    id String CODEC(ZSTD),
    description SimpleAggregateFunction(max, Tuple(rank Int8, at Float64, name String, args String, kwargs String,
        root_id String, parent_id String, eta String, expires String, eta_at Float64)) CODEC(ZSTD),
    -- Class, time and rank of what the state follows from.
    top SimpleAggregateFunction(max, Tuple(class UInt8, at Float64, rank UInt8, worker String)) CODEC(ZSTD),
    sent SimpleAggregateFunction(max, Tuple(at Float64, client String, queue String, exchange String,
        routing_key String)) CODEC(ZSTD),
    received_first SimpleAggregateFunction(min, Float64) CODEC(ZSTD),
    received SimpleAggregateFunction(max, Float64) CODEC(ZSTD),
    started SimpleAggregateFunction(max, Float64) CODEC(ZSTD),
    succeeded SimpleAggregateFunction(max, Tuple(at Float64, worker String, pid UInt64, result String,
        runtime Float64)) CODEC(ZSTD),
    failed SimpleAggregateFunction(max, Tuple(at Float64, worker String, pid UInt64, exception String,
        exception_type String, traceback String)) CODEC(ZSTD),
    retried SimpleAggregateFunction(max, Tuple(at Float64, worker String, pid UInt64, exception String,
        traceback String)) CODEC(ZSTD),
    custom SimpleAggregateFunction(max, Tuple(at Float64, worker String, type String, fields String)) CODEC(ZSTD),
    retries SimpleAggregateFunction(max, UInt64) CODEC(ZSTD),
    -- Every run event, registers and history: kind, time and the other fields as a JSON array.
    runs SimpleAggregateFunction(groupUniqArrayArray, Array(Tuple(kind UInt8, at Float64, rest String))) CODEC(ZSTD),
    INDEX parent description.parent_id TYPE bloom_filter(0.001) GRANULARITY 1
) ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY intDiv(n, $part) ORDER BY (n, id);

-- Where the rows of an id are, or are about to be.
CREATE TABLE IF NOT EXISTS place$local $on_cluster (
    n UInt64 CODEC(ZSTD),
    id String CODEC(ZSTD)
) ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY intDiv(n, $part) ORDER BY (id, n)
SETTINGS index_granularity = 256, min_compress_block_size = 4096, max_compress_block_size = 16384;

-- Tasks with rows at more than one n: writers that did not know of each other saw them.
CREATE TABLE IF NOT EXISTS stray$local $on_cluster (
    n UInt64,
    id String,
    ns SimpleAggregateFunction(groupUniqArrayArray, Array(UInt64))
) ENGINE = ${replicated}AggregatingMergeTree
PARTITION BY intDiv(n, $part) ORDER BY (n, id);

CREATE TABLE IF NOT EXISTS worker$local $on_cluster (
    hostname String,
    pid UInt64,
    online_at SimpleAggregateFunction(max, Float64),
    offline_at SimpleAggregateFunction(max, Float64),
    heartbeat SimpleAggregateFunction(max, Tuple(at Float64, freq Float64, active UInt64, processed UInt64,
        loadavg Array(Float64), clock UInt64)),
    software SimpleAggregateFunction(max, Tuple(at Float64, ident String, version String, system String)),
    first_seen_at SimpleAggregateFunction(min, Float64),
    seen_at SimpleAggregateFunction(max, Float64),
    task_seen_at SimpleAggregateFunction(max, Float64),
    tally SimpleAggregateFunction(max, Tuple(clock Int64, starts UInt64, latest UInt64, processed Int64, at Float64))
) ENGINE = ${replicated}AggregatingMergeTree ORDER BY (hostname, pid);

-- Everything else of a commit, written as one block after its tasks; of one key the greatest version counts.
--   book        key: the source; data: its position and all that it ever brought, as JSON
--   ledger      key: the entry; data: the entry
--   quarantine  key: the event; data: the event
--   name        key: a task name; at: when it was last seen
--   touch       number: a span; version: how often a writer has written to it; first_at and last_at of events
--   link        number: a span that has a task with rows in the span `other` as well
--   rolled      number: a span; version: of its rows in `rollup`; other: touches that these hold; data: its tasks
CREATE TABLE IF NOT EXISTS entry$local $on_cluster (
    kind LowCardinality(String),
    key String,
    version UInt64,
    at Float64,
    number UInt64,
    other UInt64,
    first_at Float64,
    last_at Float64,
    data String CODEC(ZSTD)
) ENGINE = ${replicated}ReplacingMergeTree(version) ORDER BY (kind, key);

-- Counts of events of the tasks first seen in one span: by minute (step 1) and by hour (step 60).
CREATE TABLE IF NOT EXISTS rollup$local $on_cluster (
    span UInt64,
    version UInt64,
    step UInt8,
    minute UInt32,
    name String,
    -- A Series, a latency cell, or 3000 for an exception of that type.
    code UInt16,
    type String,
    count UInt64
) ENGINE = ${replicated}MergeTree
PARTITION BY intDiv(span, $per_part) ORDER BY (step, minute, name, code, type, span, version);
