-- Rollups of whole days by name, summed over the segments: worked out when a day is over, forgotten when any of its
-- segments changes.

CREATE TABLE day (
    day INTEGER PRIMARY KEY,                -- days since the epoch
    whole INTEGER NOT NULL                  -- 0: it has so many names that no sums are kept
) STRICT;

CREATE TABLE day_rollup (
    day INTEGER NOT NULL REFERENCES day (day),
    name TEXT NOT NULL,
    cells BLOB NOT NULL,                    -- as a segment's
    PRIMARY KEY (day, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER segment_made AFTER INSERT ON segment BEGIN
    DELETE FROM day WHERE day BETWEEN new.first_minute / 1440 AND new.last_minute / 1440;
END;

CREATE TRIGGER segment_changed AFTER UPDATE OF tasks, dropping ON segment BEGIN
    DELETE FROM day WHERE day BETWEEN old.first_minute / 1440 AND old.last_minute / 1440;
    DELETE FROM day WHERE day BETWEEN new.first_minute / 1440 AND new.last_minute / 1440;
END;

CREATE TRIGGER segment_gone AFTER DELETE ON segment BEGIN
    DELETE FROM day WHERE day BETWEEN old.first_minute / 1440 AND old.last_minute / 1440;
END;

CREATE TRIGGER day_gone AFTER DELETE ON day BEGIN
    DELETE FROM day_rollup WHERE day = old.day;
END;
