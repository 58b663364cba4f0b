-- The records of tasks that came whole, some 64 together, compressed, until the segment is sealed; what was written of
-- one of them later is in `record` and takes its place. `first` is the least n among them.
CREATE TABLE bundle (
    first INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
