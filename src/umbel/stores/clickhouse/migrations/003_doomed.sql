-- Tasks that rules of retention are dropping just now, by their least n.
CREATE TABLE IF NOT EXISTS doomed$local $on_cluster (
    n UInt64,
    id String
) ENGINE = ${replicated}MergeTree
PARTITION BY intDiv(n, $part) ORDER BY id;
