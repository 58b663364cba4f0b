-- What was asked for and not allowed: the action, and how often it was tried.
CREATE TABLE denied (
    action INTEGER PRIMARY KEY,
    -- Of all that makes two attempts the same, and of the minute.
    alike TEXT NOT NULL UNIQUE,
    who TEXT NOT NULL,
    why TEXT NOT NULL,
    times INTEGER NOT NULL,
    last_at REAL NOT NULL
) STRICT;
CREATE INDEX denied_who ON denied (who, action);
