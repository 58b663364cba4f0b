-- Sums of 2, 4 and 8 whole hours by name, of which the first is a multiple of as many: worked out once all segments that
-- touch them are sealed, forgotten when any of these changes. What spans of time do not begin and end with days needs.

CREATE TABLE hours (
    first INTEGER NOT NULL,                 -- hours since the epoch
    hours INTEGER NOT NULL,
    whole INTEGER NOT NULL,                 -- 0: they have so many names that no sums are kept
    PRIMARY KEY (first, hours)
) STRICT, WITHOUT ROWID;

CREATE TABLE hours_rollup (
    first INTEGER NOT NULL,
    hours INTEGER NOT NULL,
    name TEXT NOT NULL,
    cells BLOB NOT NULL,                    -- as a segment's
    PRIMARY KEY (first, hours, name)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER segment_made_hours AFTER INSERT ON segment BEGIN
    DELETE FROM hours WHERE first BETWEEN new.first_minute / 60 - 7 AND new.last_minute / 60
        AND first + hours > new.first_minute / 60;
END;

CREATE TRIGGER segment_changed_hours AFTER UPDATE OF tasks, dropping ON segment BEGIN
    DELETE FROM hours WHERE first BETWEEN old.first_minute / 60 - 7 AND old.last_minute / 60
        AND first + hours > old.first_minute / 60;
    DELETE FROM hours WHERE first BETWEEN new.first_minute / 60 - 7 AND new.last_minute / 60
        AND first + hours > new.first_minute / 60;
END;

CREATE TRIGGER segment_gone_hours AFTER DELETE ON segment BEGIN
    DELETE FROM hours WHERE first BETWEEN old.first_minute / 60 - 7 AND old.last_minute / 60
        AND first + hours > old.first_minute / 60;
END;

CREATE TRIGGER hours_gone AFTER DELETE ON hours BEGIN
    DELETE FROM hours_rollup WHERE first = old.first AND hours = old.hours;
END;
